/** The optional FFI as others meet it: there, or not; and what a store through a mapping does. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, expect, it } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'ramet-ffi-'));
afterAll(() => rmSync(folder, { recursive: true }));

const image = join(folder, 'x.img');
writeFileSync(image, new Uint8Array(1 << 20).fill(7));

/** Runs a script that has `FileDevice` of the package in `dist`. */
function run(dist: string, script: string) {
  const code = `import { FileDevice } from ${JSON.stringify(join(dist, 'index.js'))}; ${script}`;
  const { signal, stdout, stderr } = spawnSync(
    process.execPath,
    ['--input-type=module', '-e', code],
    { encoding: 'utf8' },
  );
  return { signal, stdout, stderr };
}

const OPEN = `const device = FileDevice.open(${JSON.stringify(image)}, { mapped: true });`;

it.skipIf(!installed())('a store through a mapping ends the process, not the image', () => {
  const bytes = readFileSync(image);
  const script = `${OPEN}
    const view = device.view(0, 4096);
    process.stdout.write(String(view[0]));
    view[0] = 1;
    process.stdout.write('stored');`;
  expect(run(resolve('dist'), script)).toMatchObject({ signal: 'SIGSEGV', stdout: '7' });
  expect(Buffer.compare(readFileSync(image), bytes)).toBe(0);
});

it('without koffi everything else works, and a mapping says what it wants', () => {
  const dist = join(folder, 'dist');
  cpSync('dist', dist, { recursive: true });
  cpSync('package.json', join(folder, 'package.json'));
  cpSync('node_modules/xxhash-wasm', join(folder, 'node_modules/xxhash-wasm'), { recursive: true });
  const script = `
    try { ${OPEN} } catch ({ code, message }) { console.log(code, message); }
    const device = FileDevice.open(${JSON.stringify(image)});
    console.log(device.size, device.view);`;
  const { stdout, stderr } = run(dist, script);
  expect(stdout, stderr).toMatch(
    /^ENOTSUP Cannot view.*koffi.*npm install koffi.*\n1048576 undefined\n$/,
  );
});

function installed(): boolean {
  try {
    createRequire(import.meta.url)('koffi');
    return true;
  } catch {
    process.stderr.write('WARNING: Skipped, koffi is not installed\n');
    return false;
  }
}
