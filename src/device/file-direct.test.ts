import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BLOCK_SIZE as B, MIB } from '../base/index.ts';
import { Random } from '../testing/index.ts';
import { FileDevice } from './file.ts';

let directory: string;
let image: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ramet-direct-'));
  image = join(directory, 'x.img');
  writeFileSync(image, new Random(1).bytes(4 * MIB));
});

afterEach(() => rmSync(directory, { recursive: true }));

/** True if the host takes O_DIRECT for files here. */
const taken = (() => {
  const path = join(tmpdir(), `ramet-direct-${process.pid}`);
  writeFileSync(path, new Uint8Array(B));
  try {
    FileDevice.open(path, { direct: true }).close();
    return true;
  } catch {
    return false;
  } finally {
    rmSync(path);
  }
})();

describe.skipIf(!taken)('FileDevice.open() with direct', () => {
  it('moves bytes of any place and length, from memory of any kind', () => {
    const device = FileDevice.open(image, { direct: true });
    const wanted = new Uint8Array(readFileSync(image));
    const random = new Random(2);
    const aligned = new Uint8Array(new WebAssembly.Memory({ initial: 48 }).buffer);
    const shared = new Uint8Array(new SharedArrayBuffer(3 * MIB));
    for (let i = 0; i < 200; i++) {
      const whole = random.chance(0.5);
      const length = whole ? random.between(1, 500) * B : random.between(1, 2 * MIB);
      const last = 4 * MIB - length;
      const position = whole ? random.below(last / B + 1) * B : random.below(last + 1);
      const memory = random.pick([aligned, shared, new Uint8Array(length + 1)]);
      const at = random.chance(0.5) ? 0 : random.below(Math.min(B, memory.length - length + 1));
      const bytes = memory.subarray(at, at + length);
      if (random.chance(0.5)) {
        bytes.set(random.bytes(length));
        const middle = random.below(length + 1);
        device.writev(position, [bytes.subarray(0, middle), bytes.subarray(middle)]);
        wanted.set(bytes, position);
      } else {
        device.read(position, bytes);
        expect(Buffer.compare(bytes, wanted.subarray(position, position + length))).toBe(0);
      }
    }
    device.flush();
    device.close();
    expect(Buffer.compare(readFileSync(image), wanted)).toBe(0);
  });

  it('refuses an image that ends within a block', () => {
    writeFileSync(image, new Uint8Array(B + 1));
    expect(() => FileDevice.open(image, { direct: true })).toThrow(/no whole blocks/);
  });
});
