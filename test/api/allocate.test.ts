/** Space that is reserved before there is data, and files whose parts move. */
import { describe, expect, it, vi } from 'vitest';
import { errorCode } from '../../src/base/index.ts';
import { checkSync } from '../../src/check/index.ts';
import { ExtentFlag, MemoryDevice, Volume } from '../../src/index.ts';
import { Random } from '../../src/testing/index.ts';
import { FileMaps } from '../../src/tree/index.ts';

const B = 4096;
const MIB = 2 ** 20;

interface Bench {
  readonly device: MemoryDevice;
  readonly vol: Volume;
}

function bench(size = 64 * MIB): Bench {
  const device = new MemoryDevice({ size });
  return { device, vol: Volume.openSync(device, { create: true, commitIntervalMs: 0 }) };
}

function free(vol: Volume): number {
  vol.syncSync();
  vol.reclaimSync();
  vol.syncSync();
  vol.syncSync();
  return vol.fs.statfsSync('/').bfree as number;
}

/** Writes until there is no room. */
function fill(vol: Volume, path = '/filler'): void {
  const data = Buffer.alloc(64 * B, 0xff);
  const fd = vol.fs.openSync(path, 'a');
  for (const step of [data, data.subarray(0, B)]) {
    try {
      for (;;) if (vol.fs.writeSync(fd, step) < step.length) break;
    } catch (error) {
      expect(errorCode(error)).toBe('ENOSPC');
    }
  }
  vol.fs.closeSync(fd);
}

function codeOf(call: () => unknown): string | undefined {
  try {
    call();
    return undefined;
  } catch (error) {
    return errorCode(error);
  }
}

/** Nothing is wrong with what is on the device. */
function expectSound({ vol, device }: Bench): void {
  vol.syncSync();
  expect(checkSync(device).issues).toEqual([]);
}

/**
 * Reserves blocks, fills the volume, mounts it again, and writes each of the blocks. Returns how
 * many it could write.
 */
function writeReserved(count: number): number {
  const all = bench(16 * MIB);
  let { vol } = all;
  vol.fs.writeFileSync('/f', '');
  vol.allocateSync('/f', 0, count * B);
  fill(vol);
  vol.closeSync();
  vol = Volume.openSync(all.device, { commitIntervalMs: 0 });
  fill(vol, '/more');
  const random = new Random(count);
  const order = random.shuffle(Array.from({ length: count }, (_, i) => i));
  const fd = vol.fs.openSync('/f', 'r+');
  let written = 0;
  for (const block of order) {
    const data = Buffer.alloc(B, block % 251);
    const code = codeOf(() => expect(vol.fs.writeSync(fd, data, 0, B, block * B)).toBe(B));
    if (code !== undefined) break;
    if (++written % 100 === 0) vol.syncSync();
  }
  vol.fs.closeSync(fd);
  const bytes = vol.fs.readFileSync('/f') as Buffer;
  for (const block of order.slice(0, written)) expect(bytes[block * B + 17]).toBe(block % 251);
  expectSound({ vol, device: all.device });
  vol.closeSync();
  return written;
}

describe('reserved space of a clone', () => {
  // The copy of a shared map node loses what its original was promised; all of it is reserved anew.
  it('is refused where it does not fit, and leaves what deleting needs', () => {
    const { vol, device } = bench(8 * MIB);
    vol.fs.writeFileSync('/a', Buffer.alloc(B, 1));
    vol.allocateSync('/a', 0, 200 * B);
    vol.cloneSync('/a', '/b');
    vol.fs.writeFileSync('/spare', new Random(1).bytes(150 * B));
    vol.syncSync();
    fill(vol);
    vol.fs.unlinkSync('/spare');
    expect(free(vol)).toBeGreaterThan(150);
    expect(codeOf(() => vol.allocateSync('/b', 0, 256 * B))).toBe('ENOSPC');
    for (const name of ['a', 'filler', 'b']) vol.fs.unlinkSync(`/${name}`);
    vol.reclaimSync();
    expectSound({ vol, device });
  });
});

describe('allocate', () => {
  it.each([3, 300, 1200])('keeps %i blocks for a write on a full volume', (count) => {
    expect(writeReserved(count)).toBe(count);
  });

  it('control: without drawing on what was promised, the writes fail', () => {
    const draw = vi.spyOn(FileMaps.prototype, 'countMarks').mockReturnValue(0);
    expect(writeReserved(1200)).toBeLessThan(1200);
    draw.mockRestore();
  });

  it('is refused where there is not as much, and leaves the file as it was', () => {
    const all = bench(16 * MIB);
    const { vol } = all;
    vol.fs.writeFileSync('/f', 'content');
    expect(codeOf(() => vol.allocateSync('/f', 0, 17 * MIB))).toBe('ENOSPC');
    expect(vol.fs.readFileSync('/f', 'utf8')).toBe('content');
    fill(vol);
    expectSound(all);
    vol.closeSync();
  });

  it('promises nothing twice: not to a clone, and not where something is already', () => {
    const all = bench();
    const { vol } = all;
    vol.fs.writeFileSync('/f', Buffer.alloc(2 * MIB, 1));
    vol.allocateSync('/f', 0, 32 * MIB);
    const before = free(vol);
    vol.allocateSync('/f', MIB, 31 * MIB);
    for (let i = 0; i < 20; i++) vol.fs.copyFileSync('/f', `/clone ${i}`);
    vol.fs.mkdirSync('/d');
    expect(before - free(vol)).toBeLessThan(10);
    // Both sides can be written, on a volume that could not hold two promises.
    for (const path of ['/f', '/clone 3']) {
      const fd = vol.fs.openSync(path, 'r+');
      vol.fs.writeSync(fd, Buffer.alloc(B, 7), 0, B, 20 * MIB);
      vol.fs.closeSync(fd);
      expect((vol.fs.readFileSync(path) as Buffer)[20 * MIB]).toBe(7);
    }
    expect((vol.fs.readFileSync('/clone 4') as Buffer)[20 * MIB]).toBe(0);
    expectSound(all);
    vol.closeSync();
  });

  it('ends with the blocks it was for', () => {
    const all = bench();
    const { vol } = all;
    vol.fs.writeFileSync('/f', '');
    const before = free(vol);
    const ends: (() => void)[] = [
      () => vol.fs.truncateSync('/f', 5 * B),
      () => vol.fs.truncateSync('/f', 3 * MIB),
      () => vol.punchSync('/f', 0, 40 * MIB),
      () => vol.punchSync('/f', MIB + B, 20 * MIB),
      () => vol.zeroRangeSync('/f', 0, 40 * MIB),
      () => vol.collapseRangeSync('/f', B, 39 * MIB),
    ];
    for (const end of ends) {
      vol.allocateSync('/f', 0, 40 * MIB);
      expect(before - free(vol)).toBeGreaterThan((40 * MIB) / B);
      end();
      expectSound(all);
      vol.fs.truncateSync('/f', 0);
      expect(before - free(vol)).toBeLessThan(4);
    }
    vol.allocateSync('/f', 0, 40 * MIB);
    vol.fs.unlinkSync('/f');
    expect(before - free(vol)).toBeLessThan(4);
    expectSound(all);
    vol.closeSync();
  });

  it('shows as unwritten extents, behind the end of the file too', () => {
    const { vol } = bench();
    vol.fs.writeFileSync('/f', Buffer.alloc(2 * B, 1));
    vol.allocateSync('/f', 0, 5 * B, { keepSize: true });
    vol.syncSync();
    expect(vol.fs.statSync('/f').size).toBe(2 * B);
    const { UNWRITTEN, UNKNOWN, LAST } = ExtentFlag;
    expect(
      vol.extentsSync('/f').map(({ offset, length, flags }) => [offset, length, flags]),
    ).toEqual([
      [0, 2 * B, 0],
      [2 * B, 3 * B, UNWRITTEN | UNKNOWN | LAST],
    ]);
    vol.allocateSync('/f', 0, 5 * B);
    expect(vol.fs.statSync('/f').size).toBe(5 * B);
    expect(vol.seekSync('/f', 0, 'hole')).toBe(2 * B);
    vol.closeSync();
  });

  it('takes the bytes of a small file out of its inode', () => {
    const all = bench();
    let { vol } = all;
    vol.fs.writeFileSync('/f', 'small');
    vol.syncSync();
    vol.allocateSync('/f', 0, 10 * B, { keepSize: true });
    vol.fs.writeFileSync('/dirty', 'small');
    vol.allocateSync('/dirty', 0, 10 * B);
    expectSound(all);
    vol.closeSync();
    vol = Volume.openSync(all.device);
    expect(vol.fs.readFileSync('/f', 'utf8')).toBe('small');
    expect(vol.fs.readFileSync('/dirty', 'utf8')).toBe(`small${'\0'.repeat(10 * B - 5)}`);
    vol.closeSync();
  });
});

describe('collapseRange and insertRange', () => {
  it('move what is behind, and copy nothing', () => {
    const random = new Random(5);
    for (let round = 0; round < 25; round++) {
      const all = bench();
      const { vol } = all;
      const blocks = random.pick([2, 5, 40, 700]);
      let bytes = Buffer.from(random.bytes(blocks * B - random.below(B)));
      vol.fs.writeFileSync('/f', bytes);
      vol.fs.copyFileSync('/f', '/clone');
      const before = Buffer.from(bytes);
      for (let i = 0; i < 4; i++) {
        const last = Math.floor((bytes.length - 1) / B);
        const at = random.below(last + 1) * B;
        const count = random.pick([1, 3, 256, 512]) * B;
        if (random.chance(0.5)) {
          vol.insertRangeSync('/f', at, count);
          bytes = Buffer.concat([bytes.subarray(0, at), Buffer.alloc(count), bytes.subarray(at)]);
        } else if (at + count < bytes.length) {
          vol.collapseRangeSync('/f', at, count);
          bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + count)]);
        }
        if (random.chance(0.5)) vol.syncSync();
      }
      expect(Buffer.compare(vol.fs.readFileSync('/f') as Buffer, bytes)).toBe(0);
      expect(Buffer.compare(vol.fs.readFileSync('/clone') as Buffer, before)).toBe(0);
      expectSound(all);
      vol.closeSync();
    }
  });

  it('refuse what the kernel refuses', () => {
    const { vol } = bench();
    vol.fs.writeFileSync('/f', Buffer.alloc(3 * B + 5));
    vol.fs.mkdirSync('/d');
    const { collapseRangeSync: collapse, insertRangeSync: insert } = {
      collapseRangeSync: (at: number, length: number) => vol.collapseRangeSync('/f', at, length),
      insertRangeSync: (at: number, length: number) => vol.insertRangeSync('/f', at, length),
    };
    const refused: [() => unknown, string][] = [
      [() => collapse(1, B), 'EINVAL'],
      [() => collapse(0, B + 1), 'EINVAL'],
      [() => collapse(0, 4 * B), 'EINVAL'],
      [() => collapse(3 * B, B), 'EINVAL'],
      [() => insert(1, B), 'EINVAL'],
      [() => insert(0, 10), 'EINVAL'],
      [() => insert(4 * B, B), 'EINVAL'],
      [() => insert(0, 2 ** 53 - 2 ** 13), 'EFBIG'],
      [() => vol.insertRangeSync('/d', 0, B), 'EISDIR'],
      [() => vol.collapseRangeSync('/none', 0, B), 'ENOENT'],
    ];
    for (const [call, code] of refused) expect(codeOf(call)).toBe(code);
    expect(vol.fs.statSync('/f').size).toBe(3 * B + 5);
    vol.closeSync();
  });

  it('leave the file as it was if there is no room, and nothing behind', () => {
    const all = bench(16 * MIB);
    const { vol } = all;
    // One block in each megabyte: the new map needs a node for each.
    vol.fs.writeFileSync('/f', '');
    const fd = vol.fs.openSync('/f', 'r+');
    for (let i = 0; i < 500; i++) vol.fs.writeSync(fd, Buffer.alloc(B, i), 0, B, i * MIB);
    vol.fs.closeSync(fd);
    fill(vol);
    const before = free(vol);
    const { size } = vol.fs.statSync('/f');
    expect(codeOf(() => vol.insertRangeSync('/f', B, B))).toBe('ENOSPC');
    expect(vol.fs.statSync('/f').size).toBe(size);
    expect(free(vol)).toBe(before);
    expectSound(all);
    vol.closeSync();
  });
});

describe('unshareRange', () => {
  it('gives a range blocks of its own, and leaves what nobody shares', () => {
    const all = bench();
    const { vol } = all;
    const bytes = Buffer.from(new Random(3).bytes(2 * MIB));
    vol.fs.writeFileSync('/f', bytes);
    vol.fs.copyFileSync('/f', '/clone');
    vol.syncSync();
    const where = (path: string): (number | undefined)[] =>
      vol.extentsSync(path).map(({ address }) => address);
    const old = where('/f');
    vol.unshareRangeSync('/clone', 5, 3 * B);
    vol.syncSync();
    expect(vol.extentsSync('/clone').map(({ length, shared }) => [length / B, shared])).toEqual([
      [4, false],
      [508, true],
    ]);
    expect(where('/f')[0]).toBe(old[0]);
    vol.unshareRangeSync('/clone', 0, 100 * MIB);
    vol.syncSync();
    expect(vol.extentsSync('/clone').some(({ shared }) => shared)).toBe(false);
    const once = where('/clone');
    vol.unshareRangeSync('/clone', 0, 100 * MIB);
    vol.syncSync();
    expect(where('/clone')).toEqual(once);
    for (const path of ['/f', '/clone']) {
      expect(Buffer.compare(vol.fs.readFileSync(path) as Buffer, bytes)).toBe(0);
    }
    expectSound(all);
    vol.closeSync();
  });
});

it('insertRange() into a file whose bytes are in its inode', () => {
  const all = bench();
  const { vol } = all;
  vol.fs.writeFileSync('/f', 'small');
  vol.syncSync();
  vol.insertRangeSync('/f', 0, B);
  expect(vol.fs.readFileSync('/f', 'utf8')).toBe(`${'\0'.repeat(B)}small`);
  expectSound(all);
  vol.closeSync();
});

it('dedupeRange() of a file that has outgrown its inode in memory only', () => {
  const all = bench();
  const { vol } = all;
  vol.fs.writeFileSync('/a', 'small');
  vol.syncSync();
  vol.fs.writeFileSync('/b', Buffer.alloc(2 * B, 1));
  vol.fs.truncateSync('/a', 0);
  vol.fs.writeFileSync('/a', 'tiny');
  vol.syncSync();
  vol.fs.appendFileSync('/a', Buffer.alloc(2 * B - 4, 1));
  expect(vol.dedupeRangeSync('/b', '/a', { sourceOffset: B, offset: B, length: B })).toEqual({
    bytes: B,
    differs: false,
  });
  vol.closeSync();
});

it('space that is reserved behind the end is sound', () => {
  const all = bench();
  const { vol } = all;
  vol.fs.writeFileSync('/f', 'small');
  vol.allocateSync('/f', 3 * MIB, 300 * B, { keepSize: true });
  vol.fs.writeFileSync('/g', Buffer.alloc(2 * B));
  vol.allocateSync('/g', 0, 2000 * B, { keepSize: true });
  vol.fs.truncateSync('/g', B);
  expectSound(all);
  vol.closeSync();
});

it('insertRange() of blocks that may not be shared once more, in the smallest cache', () => {
  const device = new MemoryDevice({ size: 64 * MIB });
  const small = { commitIntervalMs: 0, cacheBytes: 4 * MIB };
  const vol = Volume.openSync(device, { create: true, countCap: 1, ...small });
  const data = Buffer.from(new Random(1).bytes(741_160));
  vol.fs.writeFileSync('/b', data);
  // With two bits a block is shared three times, and copied then.
  for (let i = 0; i < 4; i++) vol.fs.copyFileSync('/b', `/clone ${i}`);
  vol.insertRangeSync('/clone 0', 40 * B, 2 * B);
  vol.collapseRangeSync('/clone 1', 62 * B, 55 * B);
  vol.insertRangeSync('/b', 111 * B, 5 * B);
  vol.insertRangeSync('/clone 2', 0, 256 * B);
  vol.cloneRangeSync('/clone 3', '/clone 2', { length: 100 * B });
  expect(Buffer.compare(vol.fs.readFileSync('/clone 3') as Buffer, data)).toBe(0);
  const shifted = (vol.fs.readFileSync('/clone 2') as Buffer).subarray(256 * B);
  expect(Buffer.compare(shifted, data)).toBe(0);
  expectSound({ vol, device });
  vol.closeSync();
});
