/**
 * Examples in documents and docstrings: programs that are run as a reader would run them, with the
 * built package under its name. What an example prints stands behind each call:
 * `console.log(a + b); // 3`.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import manifest from '../../package.json' with { type: 'json' };

const execute = promisify(execFile);

export interface Example {
  /** Where it is: path and line. */
  readonly place: string;
  readonly code: string;
}

/** The blocks marked `ts` of a document, or of the docstrings in a source. */
export function examplesIn(path: string): Example[] {
  const block = path.endsWith('.md')
    ? /^```ts\n(.*?)^```$/gmsu
    : /^ *\* ```ts\n(.*?)^ *\* ```$/gmsu;
  const text = readFileSync(path, 'utf8');
  return [...text.matchAll(block)].map((match) => ({
    place: `${path}:${text.slice(0, match.index).split('\n').length}`,
    code: (match[1] as string).replaceAll(/^ *\* ?(?! *```)/gmu, path.endsWith('.md') ? '$&' : ''),
  }));
}

/** Every file below a directory whose name ends so. */
export function filesBelow(directory: string, ending: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(ending))
    .map((name) => `${directory}/${name}`)
    .sort();
}

/** What an example says that it prints, line by line. */
export function promised({ code }: Example): string[] {
  return [...code.matchAll(/console\.log\(.*\); \/\/ (.+)$/gmu)].map((match) => match[1] as string);
}

/** Runs an example in a folder, where its files stay, and answers what it has printed. */
export async function runExample({ code }: Example, folder: string): Promise<string[]> {
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(resolve('.'), join(folder, 'node_modules', manifest.name));
  const imports = await missingImports(code);
  writeFileSync(join(folder, 'example.mjs'), `${imports}\n${code}`);
  const { stdout } = await execute(process.execPath, ['example.mjs'], { cwd: folder });
  return stdout.split('\n').slice(0, -1);
}

/** Docstrings leave out imports: every exported name they use and do not declare is imported. */
async function missingImports(code: string): Promise<string> {
  if (/^import /mu.test(code)) return '';
  const found = new Map<string, string>();
  for (const entry of Object.keys(manifest.exports)) {
    if (entry === './package.json') continue;
    const file = resolve(`dist/${entry === '.' ? 'index' : entry.slice(2)}.js`);
    for (const name of Object.keys((await import(file)) as object)) {
      if (!found.has(name) && new RegExp(`\\b${name}\\(|\\b${name}\\.`, 'u').test(code)) {
        found.set(name, `import { ${name} } from '${entry.replace('.', manifest.name)}';`);
      }
    }
  }
  return [...found.values()].join('\n');
}
