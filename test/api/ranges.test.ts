/** Ranges: holes that are made and found, beside what any file of bytes would say. */
import { describe, expect, it } from 'vitest';
import { errorCode } from '../../src/base/index.ts';
import { MemoryDevice, Volume } from '../../src/index.ts';
import { Random } from '../../src/testing/index.ts';

const B = 4096;
const SIZE = 64 * B;

function newVolume(size = 2 ** 26): Volume {
  return Volume.openSync(new MemoryDevice({ size }), { create: true, commitIntervalMs: 0 });
}

/** Every run of data of a file, found by going from data to hole and on. */
function dataRuns(vol: Volume, path: string): [number, number][] {
  const { size } = vol.fs.statSync(path);
  const runs: [number, number][] = [];
  for (let at = 0; at < size; ) {
    let start: number;
    try {
      start = vol.seekSync(path, at, 'data');
    } catch (error) {
      if (errorCode(error) === 'ENXIO') break;
      throw error;
    }
    at = vol.seekSync(path, start, 'hole');
    runs.push([start, at]);
  }
  return runs;
}

describe('punch and zeroRange', () => {
  it('make zeros, and holes of whole blocks, dirty or not', () => {
    const random = new Random(11);
    for (let round = 0; round < 60; round++) {
      using vol = newVolume();
      const model = Buffer.from(random.bytes(random.between(1, SIZE)));
      vol.fs.writeFileSync('/f', model);
      vol.fs.copyFileSync('/f', '/clone');
      if (random.chance(0.5)) vol.syncSync();
      let bytes = Buffer.from(model);
      for (let i = 0; i < 6; i++) {
        const offset = random.below(SIZE);
        const length = random.between(1, random.pick([10, 2 * B, SIZE]));
        const grow = random.chance(0.3);
        if (grow) vol.zeroRangeSync('/f', offset, length);
        else vol.punchSync('/f', offset, length);
        if (grow && offset + length > bytes.length) {
          bytes = Buffer.concat([bytes, Buffer.alloc(offset + length - bytes.length)]);
        }
        bytes.fill(0, Math.min(offset, bytes.length), Math.min(offset + length, bytes.length));
      }
      expect(Buffer.compare(vol.fs.readFileSync('/f') as Buffer, bytes)).toBe(0);
      for (const [start, end] of dataRuns(vol, '/f')) bytes.fill(0, start, end);
      expect(
        bytes.every((byte) => byte === 0),
        'bytes outside the runs of data',
      ).toBe(true);
      expect(Buffer.compare(vol.fs.readFileSync('/clone') as Buffer, model)).toBe(0);
    }
  });

  it('give the space back', () => {
    using vol = newVolume();
    vol.fs.writeFileSync('/f', Buffer.alloc(8 * 2 ** 20, 1));
    vol.syncSync();
    const before = vol.fs.statfsSync('/').bfree as number;
    vol.punchSync('/f', 2 ** 20, 6 * 2 ** 20);
    vol.reclaimSync();
    expect((vol.fs.statfsSync('/').bfree as number) - before).toBeGreaterThan(1500);
    expect(vol.fs.statSync('/f')).toMatchObject({ size: 8 * 2 ** 20, blocks: 4096 });
  });

  it('take an open file too, and say what is wrong', async () => {
    await using vol = newVolume();
    vol.fs.writeFileSync('/f', 'abcdef');
    const fd = vol.fs.openSync('/f', 'r+');
    vol.punchSync(fd, 1, 2);
    await vol.zeroRange(fd, 4, 10, { keepSize: true });
    expect(vol.fs.readFileSync('/f', 'latin1')).toBe('a\0\0d\0\0');
    const readOnly = vol.fs.openSync('/f', 'r');
    for (const [call, code] of [
      [() => vol.punchSync(readOnly, 0, 1), 'EBADF'],
      [() => vol.punchSync('/f', 0, 0), 'ERR_OUT_OF_RANGE'],
      [() => vol.punchSync('/f', -1, 1), 'ERR_OUT_OF_RANGE'],
      [() => vol.punchSync('/', 0, 1), 'EISDIR'],
      [() => vol.punchSync('/none', 0, 1), 'ENOENT'],
    ] as const) {
      expect(call).toThrow(expect.objectContaining({ code }));
    }
  });
});

describe('seek', () => {
  it('finds dirty data over holes, inline data, and the end', () => {
    using vol = newVolume();
    vol.fs.writeFileSync('/small', 'inline');
    vol.syncSync();
    expect(dataRuns(vol, '/small')).toEqual([[0, 6]]);
    vol.fs.truncateSync('/small', 100_000);
    expect(vol.seekSync('/small', 50_000, 'hole')).toBe(50_000);
    const fd = vol.fs.openSync('/sparse', 'w+');
    vol.fs.writeSync(fd, Buffer.alloc(B, 1), 0, B, 10 * B);
    vol.fs.ftruncateSync(fd, 30 * B);
    expect(dataRuns(vol, '/sparse')).toEqual([[10 * B, 11 * B]]);
    vol.syncSync();
    vol.fs.writeSync(fd, Buffer.alloc(B, 1), 0, B, 20 * B);
    expect(dataRuns(vol, '/sparse')).toEqual([
      [10 * B, 11 * B],
      [20 * B, 21 * B],
    ]);
    expect(vol.seekSync(fd, 10 * B + 7, 'data')).toBe(10 * B + 7);
    for (const from of [21 * B, 30 * B, -1]) {
      expect(() => vol.seekSync(fd, from, 'data')).toThrow(
        expect.objectContaining({ code: 'ENXIO' }),
      );
    }
  });
});

describe('cloneRange', () => {
  it('shares blocks, whole files and parts, and keeps the files apart', () => {
    const random = new Random(5);
    for (let round = 0; round < 40; round++) {
      using vol = newVolume();
      const one = Buffer.from(random.bytes(random.between(1, SIZE)));
      let two = Buffer.from(random.bytes(random.between(1, SIZE)));
      vol.fs.writeFileSync('/one', one);
      vol.fs.writeFileSync('/two', two);
      if (random.chance(0.5)) vol.syncSync();
      const sourceOffset = random.below(Math.ceil(one.length / B)) * B;
      const offset = random.below(SIZE / B) * B;
      let length = one.length - sourceOffset;
      if (offset + length < two.length) length -= length % B;
      if (length === 0) continue;
      expect(vol.cloneRangeSync('/one', '/two', { sourceOffset, offset, length })).toBe(length);
      const grown = Math.max(0, offset + length - two.length);
      two = Buffer.concat([two, Buffer.alloc(grown)]);
      one.copy(two, offset, sourceOffset, sourceOffset + length);
      expect(Buffer.compare(vol.fs.readFileSync('/two') as Buffer, two)).toBe(0);
      vol.fs.writeFileSync('/one', 'changed');
      expect(Buffer.compare(vol.fs.readFileSync('/two') as Buffer, two)).toBe(0);
    }
  });

  it('takes no more than names: the whole of a file over another', async () => {
    await using vol = newVolume();
    vol.fs.writeFileSync('/big', Buffer.alloc(16 * 2 ** 20, 7));
    vol.fs.writeFileSync('/target', 'before');
    const { ino } = vol.fs.statSync('/target');
    await vol.sync();
    const { bfree } = vol.fs.statfsSync('/');
    expect(await vol.cloneRange('/big', '/target')).toBe(16 * 2 ** 20);
    await vol.sync();
    expect((bfree as number) - (vol.fs.statfsSync('/').bfree as number)).toBeLessThan(64);
    expect(vol.fs.statSync('/target')).toMatchObject({ ino, size: 16 * 2 ** 20 });
    expect(vol.extentsSync('/target').every(({ shared }) => shared)).toBe(true);
  });

  it('refuses what the kernel refuses', () => {
    using vol = newVolume();
    vol.fs.writeFileSync('/f', Buffer.alloc(3 * B + 100, 1));
    vol.fs.writeFileSync('/g', Buffer.alloc(9 * B, 2));
    const cases: [string, string, object, string][] = [
      ['/f', '/g', { sourceOffset: 1 }, 'EINVAL'],
      ['/f', '/g', { offset: 100 }, 'EINVAL'],
      ['/f', '/g', {}, 'EINVAL'],
      ['/f', '/g', { length: 100 }, 'EINVAL'],
      ['/f', '/g', { length: 5 * B }, 'EINVAL'],
      ['/g', '/g', { offset: B }, 'EINVAL'],
      ['/none', '/g', {}, 'ENOENT'],
      ['/f', '/', {}, 'EISDIR'],
    ];
    for (const [source, target, range, code] of cases) {
      const call = () => vol.cloneRangeSync(source, target, range);
      expect(call).toThrow(expect.objectContaining({ code }));
    }
    expect(vol.fs.readFileSync('/g').every((byte) => byte === 2)).toBe(true);
  });
});

describe('dedupeRange and copyRange', () => {
  it('share what is equal, up to the first difference', async () => {
    await using vol = newVolume();
    const bytes = Buffer.from(new Random(3).bytes(64 * B));
    vol.fs.writeFileSync('/a', bytes);
    vol.fs.writeFileSync('/b', bytes);
    vol.fs.writeFileSync('/c', bytes.fill('x', 40 * B, 40 * B + 1));
    vol.syncSync();
    expect(vol.dedupeRangeSync('/a', '/b')).toEqual({ bytes: 64 * B, differs: false });
    expect(await vol.dedupeRange('/a', '/c')).toEqual({ bytes: 40 * B, differs: true });
    expect(vol.extentsSync('/b').every(({ shared }) => shared)).toBe(true);
    expect(vol.spaceSync('/c').exclusive).toBeLessThan(30 * B);
    expect(Buffer.compare(vol.fs.readFileSync('/c') as Buffer, bytes)).toBe(0);
    const asked: number[] = [];
    const compare = (left: Uint8Array): boolean => asked.push(left.length) > 2;
    const range = { sourceOffset: 50 * B, offset: 10 * B, length: 4 * B, compare };
    expect(vol.dedupeRangeSync('/a', '/b', range)).toEqual({ bytes: 0, differs: true });
    expect(asked).toEqual([B]);
  });

  it('copy any range, and share its whole blocks where that can be', () => {
    const random = new Random(8);
    for (let round = 0; round < 60; round++) {
      using vol = newVolume();
      const source = Buffer.from(random.bytes(random.between(1, SIZE)));
      let target = Buffer.from(random.bytes(random.between(0, SIZE)));
      vol.fs.writeFileSync('/s', source);
      vol.fs.writeFileSync('/t', target);
      if (random.chance(0.5)) vol.syncSync();
      const sourceOffset = random.below(source.length);
      const alike = random.chance(0.6);
      const offset = alike ? (sourceOffset % B) + random.below(20) * B : random.below(SIZE);
      const length = random.between(0, SIZE);
      const wanted = Math.min(length, source.length - sourceOffset);
      expect(vol.copyRangeSync('/s', '/t', { sourceOffset, offset, length })).toBe(wanted);
      const grown = wanted === 0 ? 0 : Math.max(0, offset + wanted - target.length);
      target = Buffer.concat([target, Buffer.alloc(grown)]);
      source.copy(target, offset, sourceOffset, sourceOffset + wanted);
      expect(Buffer.compare(vol.fs.readFileSync('/t') as Buffer, target)).toBe(0);
      if (!alike || wanted < 4 * B) continue;
      vol.syncSync();
      expect(vol.extentsSync('/t').some(({ shared }) => shared)).toBe(true);
    }
  });
});

describe('stories of ranges', () => {
  // Old inline bytes were written over what had been written since.
  it('a clone behind the first block keeps what is dirty there', () => {
    using vol = newVolume();
    vol.fs.writeFileSync('/s', Buffer.alloc(2 * B, 9));
    vol.fs.writeFileSync('/t', 'old old');
    vol.syncSync();
    const fd = vol.fs.openSync('/t', 'r+');
    vol.fs.writeSync(fd, 'NEW NEW', 0);
    vol.cloneRangeSync('/s', '/t', { offset: B });
    expect(vol.fs.readFileSync('/t').subarray(0, 8).toString('latin1')).toBe('NEW NEW\0');
    vol.syncSync();
    expect(vol.fs.readFileSync('/t').subarray(0, 8).toString('latin1')).toBe('NEW NEW\0');
  });

  // The first block of the clone gave way to the inline bytes that it had replaced.
  it('a clone of inline bytes replaces inline bytes', () => {
    using vol = newVolume();
    vol.fs.writeFileSync('/s', 'SOURCE');
    vol.syncSync();
    vol.fs.truncateSync('/s', 5 * B);
    vol.fs.writeFileSync('/t', 'old old old');
    vol.syncSync();
    vol.cloneRangeSync('/s', '/t', { length: 2 * B });
    expect(vol.fs.readFileSync('/t').subarray(0, 8).toString('latin1')).toBe('SOURCE\0\0');
    vol.fs.writeFileSync('/u', 'before');
    vol.syncSync();
    vol.cloneRangeSync('/s', '/u', { offset: B, length: 2 * B });
    vol.syncSync();
    expect(vol.fs.readFileSync('/u').subarray(0, 8).toString('latin1')).toBe('before\0\0');
    expect(
      vol.fs
        .readFileSync('/u')
        .subarray(B, B + 8)
        .toString('latin1'),
    ).toBe('SOURCE\0\0');
  });

  // The first turn moved the end of the file, and with it the end that the rest was measured by.
  it('a clone within a file that makes it longer goes to the end of what was there', () => {
    using vol = newVolume();
    const size = 5 * 2 ** 20 + 100;
    vol.fs.writeFileSync('/f', new Random(4).bytes(size));
    vol.syncSync();
    vol.cloneRangeSync('/f', '/f', { sourceOffset: B, offset: 6 * 2 ** 20 });
    const bytes = vol.fs.readFileSync('/f');
    expect(bytes.length).toBe(6 * 2 ** 20 + size - B);
    expect(bytes.subarray(6 * 2 ** 20).equals(bytes.subarray(B, size))).toBe(true);
  });

  // Three askings for room in one round: two forgot how often the third had asked in vain.
  it('a punch in a full volume ends, with or without room for its edges', () => {
    using vol = newVolume(8 * 2 ** 20);
    vol.fs.writeFileSync('/f', Buffer.alloc(200 * B, 1));
    vol.fs.copyFileSync('/f', '/clone');
    vol.syncSync();
    fillUp(vol);
    for (let k = 0; k < 60; k++) {
      try {
        vol.punchSync('/f', 100 + k * B, 2 * B);
        return;
      } catch (error) {
        expect(errorCode(error)).toBe('ENOSPC');
      }
      vol.fs.truncateSync('/fill', vol.fs.statSync('/fill').size - B);
      vol.syncSync();
    }
    expect.unreachable('there was room at last');
  });

  // Nodes that name one block many times were copied without a thought for its count's limit.
  it('a block that a file names thousands of times is copied in time', {
    timeout: 60_000,
  }, () => {
    const device = new MemoryDevice({ size: 2 ** 26 });
    const most = 65535 - 32768 - 1024 - 400;
    {
      using vol = Volume.openSync(device, { create: true, commitIntervalMs: 0 });
      vol.fs.writeFileSync('/f', Buffer.alloc(B, 7));
      for (let n = 1; n < 32768; n *= 2) {
        vol.cloneRangeSync('/f', '/f', { length: n * B, offset: n * B });
      }
      for (const name of ['/g', '/h']) vol.fs.writeFileSync(name, '');
      vol.cloneRangeSync('/f', '/g', { length: 1024 * B });
      vol.fs.copyFileSync('/g', '/g2');
      for (let done = 0; done < most; ) {
        const n = Math.min(30_000, most - done);
        vol.cloneRangeSync('/f', '/h', { length: n * B, offset: done * B });
        done += n;
      }
    }
    using vol = Volume.openSync(device, { commitIntervalMs: 0 });
    const fd = vol.fs.openSync('/g2', 'r+');
    vol.fs.writeSync(fd, Buffer.alloc(2 * B, 1), 0, 2 * B, 255 * B);
    vol.syncSync();
    const bytes = vol.fs.readFileSync('/g2');
    expect([bytes[255 * B - 1], bytes[255 * B], bytes[257 * B]]).toEqual([7, 1, 7]);
  });
});

/** Writes until nothing more fits. */
function fillUp(vol: Volume): void {
  vol.fs.writeFileSync('/fill', '');
  const fd = vol.fs.openSync('/fill', 'r+');
  for (let at = 0; ; at += B) {
    try {
      vol.fs.writeSync(fd, Buffer.alloc(B, 2), 0, B, at);
    } catch (error) {
      expect(errorCode(error)).toBe('ENOSPC');
      break;
    }
  }
  vol.fs.closeSync(fd);
  vol.syncSync();
}
