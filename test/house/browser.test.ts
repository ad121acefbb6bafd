/**
 * The library runs in browsers: its browser entry bundles without Node and works without Node.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { rolldown } from 'rolldown';
import { afterAll, beforeAll, expect, it } from 'vitest';

const run = promisify(execFile);

let directory: string;
let bundle: { code: string; imports: string[]; path: string };

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'ramet-browser-'));
  const path = join(directory, 'bundle.mjs');
  const build = await rolldown({
    input: 'src/browser.ts',
    platform: 'browser',
    transform: { target: 'es2023' },
  });
  const { output } = await build.write({ file: path, format: 'esm', codeSplitting: false });
  await build.close();
  bundle = {
    path,
    code: output[0].code,
    imports: [...output[0].imports, ...output[0].dynamicImports],
  };
});

afterAll(() => rm(directory, { recursive: true, force: true }));

/** Runs a module in a process that has lost what browsers do not have, and answers its output. */
async function runWithoutNode(module: string): Promise<string> {
  const setup = `
    const print = console.log;
    const names = ['process', 'Buffer', 'global', 'require', 'module', 'setImmediate',
      'clearImmediate'];
    for (const name of names) delete globalThis[name];
    const ramet = await import(${JSON.stringify(pathToFileURL(bundle.path).href)});
  `;
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', setup + module]);
  return stdout.trim();
}

it('bundles into one file that imports nothing', () => {
  expect(bundle.imports).toEqual([]);
  expect(bundle.code).not.toMatch(/['"]node:/);
});

it('loads where the globals of Node do not exist', async () => {
  const source = await import('../../src/browser.ts');
  const names = await runWithoutNode('print(Object.keys(ramet).sort().join());');
  expect(names).toBe(Object.keys(source).sort().join());
  expect(await runWithoutNode('print(typeof process, typeof Buffer);')).toBe('undefined undefined');
});
