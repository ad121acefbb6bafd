/**
 * The package as others get it: every entry loads, and the browser's reaches no Node module.
 * That exports resolve and types match is checked by the build itself.
 */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import manifest from '../../package.json' with { type: 'json' };

const run = promisify(execFile);

/** Files in dist/ that an entry reaches, and the modules outside that they import. */
function reach(entry: string): { files: string[]; modules: string[] } {
  const files = [entry];
  const modules: string[] = [];
  for (const file of files) {
    const text = readFileSync(file, 'utf8');
    for (const [, name = ''] of text.matchAll(/(?:from|import)\s*\(?\s*["']([^"']+)["']/g)) {
      const path = posix.join(posix.dirname(file), name);
      if (!name.startsWith('.')) modules.push(name);
      else if (!files.includes(path)) files.push(path);
    }
  }
  return { files, modules: [...new Set(modules)] };
}

it('loads every entry, with no dependency but its own', async () => {
  for (const name of Object.keys(manifest.exports)) {
    const room = name.slice(2);
    if (room !== '' && !existsSync(`src/${room}/index.ts`)) continue;
    const path = `dist/${room === '' ? 'index' : room}.js`;
    const packages = reach(path).modules.filter((it) => !it.startsWith('node:'));
    // By its own name it finds the programs of its threads.
    const own = [manifest.name, ...Object.keys(manifest.dependencies)];
    expect(own, path).toEqual(expect.arrayContaining(packages));
    const specifier = name.replace('.', manifest.name);
    await run(process.execPath, ['--input-type=module', '-e', `await import('${specifier}');`]);
  }
});

it('keeps Node out of what browsers load', () => {
  expect(reach('dist/browser.js').modules.filter((it) => it.startsWith('node:'))).toEqual([]);
});

it('is a command', async () => {
  const { stdout } = await run(process.execPath, [manifest.bin.ramet, '--version']);
  expect(stdout.trim()).toBe(manifest.version);
});
