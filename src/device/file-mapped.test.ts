import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BLOCK_SIZE as B, GIB, MIB } from '../base/index.ts';
import { Random } from '../testing/index.ts';
import { FileDevice } from './file.ts';

let directory: string;
let image: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ramet-mapped-'));
  image = join(directory, 'x.img');
  writeFileSync(image, new Random(1).bytes(4 * MIB));
});

afterEach(() => rmSync(directory, { recursive: true }));

/** Why the host maps no files here, if it does not. */
const missing = (() => {
  const path = join(tmpdir(), `ramet-mapped-${process.pid}`);
  try {
    FileDevice.open(path, { create: true, size: B, mapped: true }).close();
    return undefined;
  } catch (error) {
    process.stderr.write(`WARNING: Skipped, no mapped files: ${(error as Error).message}\n`);
    return error;
  } finally {
    rmSync(path, { force: true });
  }
})();

function open(options = {}): FileDevice & { view(at: number, length: number): Uint8Array } {
  return FileDevice.open(image, { mapped: true, ...options }) as ReturnType<typeof open>;
}

describe.skipIf(missing !== undefined)('FileDevice.open() with mapped', () => {
  it('shows what is in the file, and at once what is written there', () => {
    const device = open();
    const view = device.view(100, MIB);
    expect(Buffer.compare(view, readFileSync(image).subarray(100, 100 + MIB))).toBe(0);
    const random = new Random(2);
    for (let i = 0; i < 100; i++) {
      const bytes = random.bytes(random.between(1, 9000));
      const position = random.below(4 * MIB - bytes.length);
      device.write(position, bytes);
      expect(Buffer.compare(device.view(position, bytes.length), bytes)).toBe(0);
    }
    expect(Buffer.compare(view, readFileSync(image).subarray(100, 100 + MIB))).toBe(0);
    device.close();
  });

  it('grows, and gives views up to the end of a mapping', () => {
    const device = open();
    device.grow(2 * GIB + 5 * B);
    device.write(2 * GIB - B, new Random(3).bytes(3 * B));
    expect(device.view(2 * GIB - B, 3 * B)).toHaveLength(B);
    const found = new Uint8Array(2 * B);
    device.read(2 * GIB, found);
    expect(Buffer.compare(device.view(2 * GIB, 2 * B), found)).toBe(0);
    expect(() => device.view(2 * GIB, 6 * B)).toThrow(/EINVAL|ends at/u);
    device.close();
    expect(() => device.view(0, B)).toThrow(expect.objectContaining({ code: 'EBADF' }));
  });

  it('is read-only where the file is, and keeps its memory when it is closed', () => {
    const bytes = readFileSync(image);
    const device = open({ readOnly: true });
    const view = device.view(0, 4 * MIB);
    device.close();
    // The lock is not in the mapping.
    open().close();
    expect(Buffer.compare(view, bytes)).toBe(0);
  });

  it('says so where the file has been cut short', () => {
    const device = open();
    truncateSync(image, MIB);
    expect(device.view(0, MIB)).toHaveLength(MIB);
    expect(() => device.view(0, 2 * MIB)).toThrow(expect.objectContaining({ code: 'EIO' }));
    device.close();
  });

  it('has no two wishes that exclude each other', () => {
    expect(() => open({ direct: true })).toThrow(RangeError);
  });
});
