/**
 * The examples as somebody else would have them: copied into a folder of their own, with the built
 * package in node_modules. They compile against its types as strictly as ramet itself, and print
 * what examples/README.md says.
 */
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import ts from 'typescript';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { consoleExamples } from '../cli/console.ts';

/** As strict as ramet itself, but what the examples import is looked for where npm puts it. */
const { config } = ts.readConfigFile('tsconfig.json', ts.sys.readFile);
const options = { ...config.compilerOptions, paths: {} };
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ramet-stranger-'));
  cpSync('examples', join(folder, 'examples'), { recursive: true });
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(resolve('.'), join(folder, 'node_modules', 'ramet'));
  for (const name of ['typescript', '@types']) {
    symlinkSync(resolve('node_modules', name), join(folder, 'node_modules', name));
  }
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  const project = { compilerOptions: options, include: ['examples'] };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(project));
});

afterAll(() => rmSync(folder, { recursive: true }));

function run(...argv: string[]): string {
  return execFileSync(process.execPath, argv, { cwd: folder, encoding: 'utf8' });
}

it('compile against the types of the package', { timeout: 120_000 }, () => {
  expect(run(resolve('node_modules/typescript/bin/tsc'))).toBe('');
});

it('import nothing but sub-paths of the package', () => {
  const imports = execFileSync('grep', ['-rhoE', "from '[^.][^']*'", 'examples'], {
    cwd: folder,
    encoding: 'utf8',
  });
  const names = new Set(
    imports
      .trim()
      .split('\n')
      .map((line) => line.slice(6, -1)),
  );
  const others = [...names].filter((name) => !/^(?:ramet(?:\/\w+)?|node:[\w/]+)$/.test(name));
  expect(others).toEqual(['typescript']);
});

const commands = consoleExamples(readFileSync('examples/README.md', 'utf8'));

it.each(commands)('line $line: $command', ({ command, output }) => {
  expect(execFileSync('/bin/sh', ['-c', command], { cwd: folder, encoding: 'utf8' })).toBe(output);
});
