/**
 * Tidy: what the compiler and the linter do not check about this house. The rules are in
 * tidy-rules.ts; this file finds where they are broken.
 *
 * `tidy(files)` is pure, so that its own tests can hand it a small house with a planted fault.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import ts from 'typescript';
import {
  BANNED_NAMES,
  BANNED_SYNTAX,
  BANNED_TEXT,
  BANNED_WORDS,
  type Ban,
  EXCEPTIONS,
  LIMITS,
  NODE_DOORS,
  NODE_FILES,
  NODE_IMPORT,
  ROOMS,
  type Scope,
} from './tidy-rules.ts';

/** A file of the project. The path is relative to its root, with `/`. */
export interface ProjectFile {
  readonly path: string;
  readonly text: string;
}

interface Code extends ProjectFile {
  readonly source: ts.SourceFile;
  readonly imports: readonly Import[];
  /** The room of src/ it is in, or undefined outside src/. */
  readonly room: string | undefined;
  readonly test: boolean;
}

interface Import {
  readonly specifier: string;
  readonly line: number;
  /** True if it imports nothing while modules are being loaded. */
  readonly typeOnly: boolean;
}

interface Finding {
  readonly path: string;
  readonly line: number;
  readonly rule: string;
  readonly message: string;
}

/** One line for each broken rule: `path:line: rule: what is wrong; what to do instead`. */
export function tidy(files: readonly ProjectFile[], exceptions = EXCEPTIONS): string[] {
  const code = files.filter((file) => /\.(?:ts|mjs|js)$/.test(file.path)).map(parse);
  const sources = code.filter((file) => file.room !== undefined && !file.test);
  const findings = [
    ...files.flatMap(checkText),
    ...code.flatMap(checkSizes),
    ...code.flatMap(checkTokens),
    ...sources.flatMap(checkImports),
    ...checkCycles(sources),
    ...checkDoors(sources),
  ];
  return [...excuse(findings, exceptions), ...stale(findings, exceptions)].map(
    ({ path, line, rule, message }) => `${path}:${line}: ${rule}: ${message}`,
  );
}

/** Every text file below `root` that is ours. */
export function readProject(root: string, directory = ''): ProjectFile[] {
  const skipped = ['node_modules', 'dist', 'coverage', '.git'];
  return readdirSync(posix.join(root, directory), { withFileTypes: true }).flatMap((entry) => {
    const path = posix.join(directory, entry.name);
    if (entry.isDirectory()) return skipped.includes(entry.name) ? [] : readProject(root, path);
    const text = /\.(?:ts|mjs|js|json|md|sh|yml|html|css)$|^\.?[^.]+$/.test(entry.name);
    return text ? [{ path, text: readFileSync(posix.join(root, path), 'utf8') }] : [];
  });
}

function excuse(findings: Finding[], exceptions: typeof EXCEPTIONS): Finding[] {
  return findings.filter(
    ({ path, rule }) => !exceptions.some((known) => known.path === path && known.rule === rule),
  );
}

function stale(findings: Finding[], exceptions: typeof EXCEPTIONS): Finding[] {
  return exceptions
    .filter(({ path, rule }) => !findings.some((it) => it.path === path && it.rule === rule))
    .map(({ path, rule }) => ({
      path,
      line: 1,
      rule: 'exception',
      message: `breaks no rule '${rule}' any more; take it out of tools/tidy-rules.ts`,
    }));
}

// --- Reading a file ---------------------------------------------------------------------------

function parse(file: ProjectFile): Code {
  const source = ts.createSourceFile(file.path, file.text, ts.ScriptTarget.Latest, true);
  const [top, ...below] = file.path.split('/');
  const room = top === 'src' ? (below.length > 1 ? below[0] : '.') : undefined;
  const test = /\.test\.ts$/.test(file.path) || top === 'test';
  const imports: Import[] = [];
  visit(source, (node) => imports.push(...importOf(node)));
  return { ...file, source, room, test, imports };
}

function importOf(node: ts.Node): Import[] {
  const found = (name: ts.Node | undefined, typeOnly: boolean): Import[] =>
    name !== undefined && ts.isStringLiteral(name)
      ? [{ specifier: name.text, line: lineOf(node), typeOnly }]
      : [];
  if (ts.isImportDeclaration(node)) {
    const typeOnly = node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword;
    return found(node.moduleSpecifier, typeOnly);
  }
  if (ts.isExportDeclaration(node)) return found(node.moduleSpecifier, node.isTypeOnly);
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
    return found(node.argument.literal, true);
  }
  // `import()` runs later, when every module is there: it cannot close a circle.
  const dynamic = ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword;
  return dynamic ? found(node.arguments[0], true) : [];
}

function lineOf(node: ts.Node): number {
  const source = node.getSourceFile();
  return source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1;
}

/** The file an import names, relative to the project's root; undefined for a package. */
function targetOf(file: Code, { specifier }: Import): string | undefined {
  return specifier.startsWith('.') ? posix.join(posix.dirname(file.path), specifier) : undefined;
}

function inScope(file: Code, scope: Scope): boolean {
  if (scope === 'everywhere') return true;
  const engine = file.room !== undefined && !file.test && ROOMS[file.room]?.engine === true;
  const allowsNode = isForNode(file);
  if (scope === 'engine') return engine && !allowsNode;
  if (scope === 'repeatable') return engine || file.test;
  if (scope === 'portable') return file.room !== undefined && !file.test && !allowsNode;
  return file.room !== undefined ? file.room !== 'cli' : file.test;
}

// --- Text and sizes ---------------------------------------------------------------------------

function checkText({ path, text }: ProjectFile): Finding[] {
  return text.split('\n').flatMap((content, index) =>
    BANNED_TEXT.filter(({ pattern }) => pattern.test(content)).map(
      ({ rule, pattern, instead }) => ({
        path,
        line: index + 1,
        rule,
        message: `'${pattern.exec(content)?.[0]}': ${instead}`,
      }),
    ),
  );
}

function checkSizes({ path, text, source }: Code): Finding[] {
  const found: Finding[] = [];
  const report = (line: number, rule: string, message: string): number =>
    found.push({ path, line, rule, message });
  const lines = text.trimEnd().split('\n');
  if (lines.length > LIMITS.fileLines) {
    const message = `${lines.length} lines, limit ${LIMITS.fileLines}; give a part its own file`;
    report(LIMITS.fileLines + 1, 'file-length', message);
  }
  lines.forEach((content, index) => {
    if (content.length <= LIMITS.columns) return;
    report(
      index + 1,
      'width',
      `${content.length} columns, limit ${LIMITS.columns}; break the line`,
    );
  });
  visit(source, (node) => {
    if (!ts.isFunctionLike(node) || !('body' in node) || node.body === undefined) return;
    const length = linesOf(node) - linesOfTests(node);
    if (length <= LIMITS.functionLines) return;
    const message = `${nameOf(node)} has ${length} lines, limit ${LIMITS.functionLines}; `;
    report(lineOf(node), 'function-length', `${message}name a part of it`);
  });
  return found;
}

function linesOf(node: ts.Node): number {
  const source = node.getSourceFile();
  return source.getLineAndCharacterOfPosition(node.end).line + 2 - lineOf(node);
}

/** Lines of the tests and groups of tests directly in a function: each is measured by itself. */
function linesOfTests(node: ts.Node): number {
  let lines = 0;
  ts.forEachChild(node, (child) => {
    const callee = ts.isCallExpression(child) ? child.expression.getText() : '';
    const test = /^(?:describe|it|test)\b/.test(callee);
    lines += test ? linesOf(child) : linesOfTests(child);
  });
  return lines;
}

function nameOf(node: ts.SignatureDeclaration): string {
  const name = node.name ?? (ts.isVariableDeclaration(node.parent) ? node.parent.name : undefined);
  return name === undefined ? 'this function' : `${name.getText()}()`;
}

function visit(node: ts.Node, see: (node: ts.Node) => void): void {
  see(node);
  ts.forEachChild(node, (child) => visit(child, see));
}

// --- Names, syntax and characters -------------------------------------------------------------

function checkTokens(file: Code): Finding[] {
  const found: Finding[] = [];
  const names = new Set<string>();
  const report = (node: ts.Node, rule: string, message: string): number =>
    found.push({ path: file.path, line: lineOf(node), rule, message });
  const banned = (node: ts.Node, ban: Ban, what: string): void => {
    if (inScope(file, ban.scope)) report(node, ban.rule, `${what} is banned here; ${ban.instead}`);
  };
  visit(file.source, (node) => {
    const syntax = BANNED_SYNTAX.get(node.kind);
    if (syntax !== undefined && !isGlobalDeclaration(node)) banned(node, syntax, syntax.what);
    for (const ban of BANNED_NAMES) {
      const name = ban.names.find((it) => isUseOf(node, it));
      if (name !== undefined) banned(node, ban, name);
    }
    if (ts.isIdentifier(node) && isEngineRoom(file) && !names.has(node.text)) {
      names.add(node.text);
      const instead = wordsOf(node.text).map((word) => BANNED_WORDS.get(word));
      const advice = instead.find((it) => it !== undefined);
      if (advice !== undefined) report(node, 'word', `'${node.text}': ${advice}`);
    }
    const letter = ts.isMemberName(node) ? /\P{ASCII}/u.exec(node.text)?.[0] : undefined;
    if (letter !== undefined) report(node, 'ascii', `'${letter}' in a name; spell it in ASCII`);
  });
  for (const { specifier, line } of file.imports) {
    if (!specifier.startsWith('node:') || !inScope(file, NODE_IMPORT.scope)) continue;
    const message = `${specifier} is banned here; ${NODE_IMPORT.instead}`;
    found.push({ path: file.path, line, rule: NODE_IMPORT.rule, message });
  }
  return found;
}

function isForNode(file: Code): boolean {
  return NODE_FILES.some((pattern) => pattern.test(file.path));
}

function isEngineRoom(file: Code): boolean {
  return file.room !== undefined && ROOMS[file.room]?.engine === true;
}

/** `declare global { ... }` is how a module adds to the global scope; it is no namespace. */
function isGlobalDeclaration(node: ts.Node): boolean {
  return ts.isModuleDeclaration(node) && (node.flags & ts.NodeFlags.GlobalAugmentation) !== 0;
}

/** True if `node` names the global `name`, or is the expression `Object.member` it spells. */
function isUseOf(node: ts.Node, name: string): boolean {
  if (name.includes('.')) return ts.isPropertyAccessExpression(node) && node.getText() === name;
  if (!ts.isIdentifier(node) || node.text !== name) return false;
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node;
  const declares = 'name' in parent && parent.name === node;
  return ts.isShorthandPropertyAssignment(parent) || !declares;
}

/** The words a name is made of: `dirtyPageCount` is dirty, page, count. */
function wordsOf(name: string): string[] {
  return name
    .split(/(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_/)
    .map((it) => it.toLowerCase());
}

// --- Rooms and imports ------------------------------------------------------------------------

function checkImports(file: Code): Finding[] {
  const room = file.room as string;
  if (ROOMS[room] === undefined) return [];
  return file.imports.flatMap((it) => {
    const target = targetOf(file, it);
    const wrong = target === undefined ? packageFault(room, it) : pathFault(file, target);
    if (wrong === undefined) return [];
    return [{ path: file.path, line: it.line, rule: 'import', message: wrong }];
  });
}

function packageFault(from: string, { specifier }: Import): string | undefined {
  if (specifier.startsWith('node:')) return undefined;
  const allowed = ROOMS[from]?.packages ?? [];
  const known = allowed.some((it) => specifier === it || specifier.startsWith(`${it}/`));
  return known ? undefined : refusal(from, `the package ${specifier}`, allowed);
}

function pathFault(file: Code, target: string): string | undefined {
  const from = file.room as string;
  const allowed = ROOMS[from]?.imports ?? [];
  const [top, ...below] = target.split('/');
  if (top !== 'src') return from === 'cli' ? undefined : refusal(from, target, allowed);
  const to = below.length > 1 ? (below[0] as string) : '.';
  if (to === from) return undefined;
  if (!allowed.includes(to)) return refusal(from, to === '.' ? target : `${to}/`, allowed);
  const door = `src/${to}/${ROOMS[to]?.door ?? 'index.ts'}`;
  if (target === door || (NODE_DOORS.includes(target) && isForNode(file))) return undefined;
  return `${target} is inside another room; import it through ${door}`;
}

function refusal(from: string, what: string, allowed: readonly string[]): string {
  const room = from === '.' ? 'src/' : `${from}/`;
  const names = allowed.length === 0 ? 'none' : allowed.join(', ');
  return `${room} may not import ${what}; it may import ${names}`;
}

/** Each run-time import that closes a circle, with the circle. */
function checkCycles(files: readonly Code[]): Finding[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const done = new Set<string>();
  const found: Finding[] = [];
  const walk = (file: Code, trail: readonly string[]): void => {
    for (const it of file.imports) {
      const target = it.typeOnly ? undefined : byPath.get(targetOf(file, it) ?? '');
      if (target === undefined || done.has(target.path)) continue;
      const start = trail.indexOf(target.path);
      if (start < 0) {
        walk(target, [...trail, target.path]);
        continue;
      }
      const circle = [...trail.slice(start), target.path].join(' -> ');
      const message = `${circle}; use \`import type\` or move what they share to a third file`;
      found.push({ path: file.path, line: it.line, rule: 'cycle', message });
    }
    done.add(file.path);
  };
  for (const file of files) if (!done.has(file.path)) walk(file, [file.path]);
  return found;
}

/** Each room is known, has a door, and its door says what the room is for. */
function checkDoors(files: readonly Code[]): Finding[] {
  const names = new Set(files.map((file) => file.room as string));
  names.delete('.');
  return [...names].flatMap((name) => {
    const path = `src/${name}/${ROOMS[name]?.door ?? 'index.ts'}`;
    const report = (message: string): Finding[] => [{ path, line: 1, rule: 'door', message }];
    if (ROOMS[name] === undefined) {
      return report(`unknown room ${name}/; use one of ${Object.keys(ROOMS).join(', ')}`);
    }
    const door = files.find((file) => file.path === path);
    if (door === undefined)
      return report(`${name}/ has no door; say its purpose and re-export here`);
    const header = /^(?:#!.*\n)?\/\*\*([\s\S]*?)\*\//.exec(door.text)?.[1] ?? '';
    const lines = header.split('\n').filter((line) => /\w/.test(line)).length;
    return lines >= 2
      ? []
      : report(`the header has ${lines} lines; say in two what the room is for`);
  });
}
