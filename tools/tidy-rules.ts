/**
 * The rules of the house, as data. tools/tidy.ts applies them, test/house/tidy.test.ts runs them.
 *
 * A remark made twice in review belongs here, with the replacement in its message.
 */
import ts from 'typescript';

export interface Room {
  /** Rooms it may import, through their door. It may always import its own files directly. */
  readonly imports: readonly string[];
  /** npm packages it may import. */
  readonly packages?: readonly string[];
  /** Engine rooms never wait and never look at the host: no clock, no randomness, no timers. */
  readonly engine?: true;
  /** The file others import; `index.ts` if not said. */
  readonly door?: string;
}

/** Directories of src/. Arrows go one way: a room can be read knowing only those it names. */
const rooms: Readonly<Record<string, Room>> = {
  base: { engine: true, imports: [], packages: ['xxhash-wasm'] },
  ffi: { imports: ['base'], packages: ['koffi'] },
  device: { engine: true, imports: ['base', 'ffi'] },
  format: { engine: true, imports: ['base'] },
  cache: { engine: true, imports: ['base'] },
  store: { engine: true, imports: ['base', 'format', 'cache'] },
  tree: { engine: true, imports: ['base', 'format', 'cache', 'store'] },
  iomap: { engine: true, imports: ['base', 'cache'] },
  volume: { engine: true, imports: ['base', 'format', 'cache', 'store', 'tree', 'iomap'] },
  drive: { engine: true, imports: ['base', 'device'] },
  check: { engine: true, imports: ['base', 'device', 'format'] },
  api: { imports: ['base', 'device', 'format', 'volume', 'drive', 'iomap', 'check'] },
  fuse: { imports: ['base', 'ffi', 'device', 'format', 'iomap', 'volume', 'drive', 'api'] },
  testing: {
    imports: ['base', 'device', 'format', 'drive', 'volume', 'api', 'cache', 'iomap'],
  },
};

const everyRoom = Object.keys(rooms);

export const ROOMS: Readonly<Record<string, Room>> = {
  ...rooms,
  cli: {
    imports: everyRoom,
    packages: ['commander', 'picocolors', '@clack/prompts', 'filesize', 'cli-table3'],
    door: 'main.ts',
  },
  /** src/index.ts and src/browser.ts. */
  '.': { imports: everyRoom },
};

/** Where Node may be used. Everything else in src/ bundles for a browser. */
export const NODE_FILES: readonly RegExp[] = [
  /^src\/index\.ts$/,
  /^src\/ffi\//,
  /^src\/device\/(?:node|file|host|image-file|owner-file)[\w-]*\.ts$/,
  /^src\/drive\/node[\w-]*\.ts$/,
  /^src\/api\/node\//,
  /^src\/fuse\//,
  /^src\/cli\//,
];

/** Second doors, to the parts of a room that need Node. Only Node files go through them. */
export const NODE_DOORS: readonly string[] = [
  'src/device/node.ts',
  'src/drive/node.ts',
  'src/api/node/index.ts',
];

export const LIMITS = { fileLines: 600, functionLines: 70, columns: 100 };

/**
 * Which files a ban holds for. `engine`: sources of engine rooms. `portable`: sources that run in
 * browsers too. `repeatable`: engine sources and every test. `quiet`: all but cli, tools and bench.
 */
export type Scope = 'engine' | 'portable' | 'repeatable' | 'quiet' | 'everywhere';

export interface Ban {
  readonly rule: string;
  readonly scope: Scope;
  readonly instead: string;
}

/** Names that are not to be used, as they are written: `Math.random`, or a global's name. */
export const BANNED_NAMES: readonly (Ban & { readonly names: readonly string[] })[] = [
  {
    rule: 'clock',
    scope: 'engine',
    names: ['Date', 'performance'],
    instead: 'take a clock in the constructor',
  },
  {
    rule: 'random',
    scope: 'repeatable',
    names: ['Math.random', 'crypto'],
    instead: 'take a seed or a generator as an argument, so that a failure can be replayed',
  },
  {
    rule: 'timer',
    scope: 'engine',
    names: ['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask'],
    instead: 'say in the plan what is missing and let the driver wait',
  },
  {
    rule: 'node',
    scope: 'portable',
    names: ['process', 'Buffer', 'require', '__dirname', '__filename'],
    instead: 'use Uint8Array or a constructor argument, or a file that is for Node (NODE_FILES)',
  },
  {
    rule: 'console',
    scope: 'quiet',
    names: ['console'],
    instead: 'return a value or throw; only cli/, tools/ and bench/ print',
  },
];

export const NODE_IMPORT: Ban = {
  rule: 'node',
  scope: 'portable',
  instead: 'only the files listed in tools/tidy-rules.ts as NODE_FILES need Node',
};

export const BANNED_SYNTAX: ReadonlyMap<ts.SyntaxKind, Ban & { readonly what: string }> = new Map([
  [
    ts.SyntaxKind.EnumDeclaration,
    {
      rule: 'enum',
      scope: 'everywhere',
      what: 'enum',
      instead: 'use constants and a union of literals',
    },
  ],
  [
    ts.SyntaxKind.ModuleDeclaration,
    { rule: 'namespace', scope: 'everywhere', what: 'namespace', instead: 'use a module' },
  ],
  [
    ts.SyntaxKind.ExportAssignment,
    {
      rule: 'default-export',
      scope: 'everywhere',
      what: 'default export',
      instead: 'give it a name',
    },
  ],
  [
    ts.SyntaxKind.DefaultKeyword,
    {
      rule: 'default-export',
      scope: 'everywhere',
      what: 'default export',
      instead: 'give it a name',
    },
  ],
  [
    ts.SyntaxKind.AnyKeyword,
    { rule: 'any', scope: 'everywhere', what: 'any', instead: 'use unknown and narrow it' },
  ],
]);

/** Words that no name in an engine room is made of: `page` in `dirtyPages`, not `homepage`. */
export const BANNED_WORDS: ReadonlyMap<string, string> = new Map([
  ['page', 'say block (device), node (tree) or folio (cache)'],
  ['pages', 'say blocks (device), nodes (tree) or folios (cache)'],
]);

/** Text that no file of the project contains, prose and configuration included. */
export const BANNED_TEXT: readonly { rule: string; pattern: RegExp; instead: string }[] = [
  {
    rule: 'leftover',
    pattern: /\b(?:TO(?:DO)|FIX(?:ME)|X{3})\b/,
    instead: 'do it now, or say in a comment what is not done and why that is right',
  },
  {
    rule: 'place',
    pattern: /(?<![\w.~])\/(?:home|root|Users|work|workspace)\//,
    instead: "one machine's path; use a relative path, or one below /tmp or /mnt",
  },
  {
    rule: 'place',
    pattern: /\b(?:issue|ticket|PR)s? +#?\d+|(?:\b(?:bug|see|fix|fixes|closes) +|\()#\d+\b(?!-)/i,
    instead: "a tracker's number means nothing to a reader; say what it said",
  },
  {
    rule: 'place',
    pattern: /"resolved": *"http|https?:\/\/[\w.-]*registry\b/,
    instead: "one machine's package registry; leave it to npm's own configuration",
  },
];

/** What may break a rule, and why. An entry that excuses nothing is itself reported. */
export const EXCEPTIONS: readonly { path: string; rule: string; reason: string }[] = [
  {
    path: 'tsdown.config.ts',
    rule: 'default-export',
    reason: 'the form in which the tool reads its configuration',
  },
  {
    path: 'vitest.config.ts',
    rule: 'default-export',
    reason: 'the form in which the tool reads its configuration',
  },
  {
    path: 'src/api/shapes.ts',
    rule: 'node',
    reason: 'types only: nothing of it is left when it runs',
  },
  {
    path: 'src/webassembly.d.ts',
    rule: 'namespace',
    reason: 'the only way to declare a global that is a namespace',
  },
  {
    path: 'test/house/tidy.test.ts',
    rule: 'place',
    reason: 'plants what it looks for',
  },
  {
    path: 'test/house/tidy.test.ts',
    rule: 'leftover',
    reason: 'plants what it looks for',
  },
];
