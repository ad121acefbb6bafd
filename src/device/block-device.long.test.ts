/** File devices on a real block device. Needs root and a loop device. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it, test } from 'vitest';
import { MIB } from '../base/index.ts';
import { deviceSuite } from '../testing/index.ts';
import { FileDevice } from './file.ts';

const directory = mkdtempSync(join(tmpdir(), 'ramet-block-'));
const backing = join(directory, 'backing');
const attached: string[] = [];

function attach(contents: Uint8Array): string {
  writeFileSync(backing, contents);
  const path = execFileSync('losetup', ['--find', '--show', backing], { encoding: 'utf8' }).trim();
  attached.push(path);
  return path;
}

function detachAll(): void {
  for (const path of attached.splice(0)) execFileSync('losetup', ['--detach', path]);
}

afterEach(detachAll);
afterAll(() => rmSync(directory, { recursive: true }));

const possible =
  process.getuid?.() === 0 && spawnSync('losetup', ['--find'], { stdio: 'ignore' }).status === 0;

describe.skipIf(!possible)('FileDevice on a block device', () => {
  const cases = deviceSuite(
    'loop device',
    ({ size, contents, readOnly }) => {
      const path = attach(contents ?? new Uint8Array(size));
      const device = FileDevice.open(path, { readOnly });
      return { device, dispose: () => device.close() };
    },
    { sync: true, grows: false, readOnly: true },
  );
  for (const { title, run } of cases) test(title, run);

  it('has the size that the kernel says', () => {
    const device = FileDevice.open(attach(new Uint8Array(3 * MIB)));
    expect(device.size).toBe(3 * MIB);
    expect(() => device.grow(4 * MIB)).toThrow(expect.objectContaining({ code: 'ENOSPC' }));
    device.close();
  });

  it('says that it takes nothing back', () => {
    const device = FileDevice.open(attach(new Uint8Array(4 * MIB).fill(7)));
    const refused = expect.objectContaining({ code: 'ENOTSUP', operation: 'discard' });
    expect(() => device.discard(MIB, 2 * MIB)).toThrow(refused);
    device.close();
  });

  it('belongs to one writer, and to readers together', () => {
    const path = attach(new Uint8Array(MIB));
    const writer = FileDevice.open(path);
    expect(() => FileDevice.open(path)).toThrow(/EBUSY|is mounted, or in use by this process/);
    expect(() => FileDevice.open(path, { readOnly: true })).toThrow('in use by this process');
    writer.close();
    const readers = [1, 2].map(() => FileDevice.open(path, { readOnly: true }));
    expect(() => FileDevice.open(path)).toThrow('is open for reading');
    for (const reader of readers) reader.close();
  });
});
