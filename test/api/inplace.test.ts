/** Files that are overwritten in place: what is written where, and what is refused or copied. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { constants } from '../../src/api/flags.ts';
import { ExtentFlag, Volume, type VolumeOptions } from '../../src/api/index.ts';
import { BLOCK_SIZE as B, MIB } from '../../src/base/index.ts';
import { checkSync } from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { Incompatible } from '../../src/format/index.ts';
import { Random } from '../../src/testing/index.ts';
import { FileMaps } from '../../src/tree/file-map.ts';
import { TapeDevice } from '../store/tape.ts';
import { COMMON } from './bench.ts';

const { O_RDWR, O_DIRECT } = constants;
const OPTIONS: VolumeOptions = { ...COMMON, cacheBytes: 4 * MIB };

afterEach(() => vi.restoreAllMocks());

const noise = (length: number, seed: number): Buffer => Buffer.from(new Random(seed).bytes(length));

interface Made {
  readonly tape: TapeDevice;
  readonly volume: Volume;
  readonly fd: number;
  readonly bytes: Buffer;
}

/** A volume with `/f`, of which all is durable and may be overwritten in place. */
function made(blocks = 16, options: VolumeOptions = {}): Made {
  const tape = new TapeDevice(new Uint8Array(16 * MIB));
  const volume = Volume.openSync(tape, { ...OPTIONS, create: true, ...options });
  volume.fs.writeFileSync('/f', '');
  volume.setInplaceSync('/f', true);
  const bytes = noise(blocks * B, 1);
  const fd = volume.fs.openSync('/f', 'r+');
  volume.fs.writeSync(fd, bytes);
  settle(volume, fd, bytes);
  tape.rewind();
  return { tape, volume, fd, bytes };
}

/** Makes everything history that has been done by now. */
function settle(volume: Volume, fd: number, bytes: Buffer): void {
  for (let i = 0; i < 3; i++) {
    // Who has not been written to is not known to be alone.
    volume.fs.writeSync(fd, bytes, 0, B, 0);
    volume.syncSync();
  }
}

function write({ volume, fd, bytes }: Made, block: number, seed: number): void {
  const data = noise(B, seed);
  bytes.set(data, block * B);
  volume.fs.writeSync(fd, data, 0, B, block * B);
}

/** Where each block of a file is; nothing for those of a hole. */
function places(volume: Volume, path = '/f'): number[] {
  const found: number[] = [];
  for (const { address = -1, offset, length } of volume.extentsSync(path)) {
    for (let at = 0; at < length; at += B) found[(offset + at) / B] = address + at;
  }
  return found;
}

function expectBytes({ volume, tape, bytes }: Made): void {
  expect(bytes.equals(volume.fs.readFileSync('/f') as Buffer)).toBe(true);
  volume.syncSync();
  expect(checkSync(MemoryDevice.from(tape.image())).issues).toEqual([]);
  using later = Volume.openSync(MemoryDevice.from(tape.image()), OPTIONS);
  expect(bytes.equals(later.fs.readFileSync('/f') as Buffer)).toBe(true);
}

const kinds = ({ calls }: TapeDevice): string[] => calls.map(({ kind }) => kind);
const lengths = ({ calls }: TapeDevice): number[] =>
  calls.flatMap((call) => (call.kind === 'write' ? [call.bytes.length] : []));

describe('an overwrite in place', () => {
  it('with fdatasync is the data and a flush', () => {
    const file = made();
    write(file, 5, 2);
    file.volume.fs.fdatasyncSync(file.fd);
    expect([kinds(file.tape), lengths(file.tape)]).toEqual([['write', 'flush'], [B]]);
    file.volume.fs.fdatasyncSync(file.fd);
    expect(kinds(file.tape)).toEqual(['write', 'flush']);
    using later = Volume.openSync(MemoryDevice.from(file.tape.image()), OPTIONS);
    expect(file.bytes.equals(later.fs.readFileSync('/f') as Buffer)).toBe(true);
  });

  it('with fsync has its time in the log, once', () => {
    const file = made(16, { now: () => 5_000 });
    write(file, 5, 2);
    file.volume.fs.fsyncSync(file.fd);
    expect(lengths(file.tape)).toEqual([B, B]);
    file.volume.fs.fsyncSync(file.fd);
    expect(kinds(file.tape)).toEqual(['write', 'write', 'flush']);
    using later = Volume.openSync(MemoryDevice.from(file.tape.image()), OPTIONS);
    expect(later.fs.statSync('/f').mtimeMs).toBe(5_000);
  });

  it('of many blocks is one flush, and moves none', () => {
    const file = made(64);
    const before = places(file.volume);
    for (const block of [1, 2, 3, 20, 63]) write(file, block, block);
    file.volume.fs.fdatasyncSync(file.fd);
    expect([lengths(file.tape), file.tape.flushes]).toEqual([[3 * B, B, B], 1]);
    expect(places(file.volume)).toEqual(before);
    expectBytes(file);
  });

  it('in part keeps the rest of the block', () => {
    const file = made();
    const before = places(file.volume);
    file.volume.fs.writeSync(file.fd, 'part', 3 * B + 100);
    file.bytes.write('part', 3 * B + 100);
    file.volume.syncSync();
    expect(places(file.volume)).toEqual(before);
    expectBytes(file);
  });

  it('past the cache goes there too, and the cache shows it', () => {
    const file = made();
    const before = places(file.volume);
    file.volume.fs.readFileSync('/f');
    const direct = file.volume.fs.openSync('/f', O_RDWR | O_DIRECT);
    const data = noise(5 * B, 7);
    file.tape.rewind();
    file.volume.fs.writeSync(direct, data, 0, data.length, 4 * B + 50);
    data.copy(file.bytes, 4 * B + 50);
    expect(lengths(file.tape)).toEqual([6 * B]);
    const seen = Buffer.alloc(file.bytes.length);
    file.volume.fs.readSync(direct, seen, 0, seen.length, 0);
    expect(file.bytes.equals(seen)).toBe(true);
    expect(places(file.volume)).toEqual(before);
    expectBytes(file);
  });

  it('leaves blocks without checksums, of which a torn one is none the worse', () => {
    const file = made();
    const [extent] = file.volume.extentsSync('/f').slice(-1);
    expect((extent?.flags ?? 0) & ExtentFlag.UNCHECKED).toBeGreaterThan(0);
    const at = places(file.volume)[5] as number;
    const image = file.tape.image();
    image.fill(9, at + 512, at + 1024);
    file.bytes.fill(9, 5 * B + 512, 5 * B + 1024);
    using torn = Volume.openSync(MemoryDevice.from(image), OPTIONS);
    expect(file.bytes.equals(torn.fs.readFileSync('/f') as Buffer)).toBe(true);
  });
});

/** Something that is done to a file, and may keep it from being overwritten in place. */
type Deed = (file: Made) => void;

/** Whether block 5 stays where it is when it is overwritten after something was done. */
function stays(deed: Deed): boolean {
  const file = made();
  deed(file);
  const before = places(file.volume)[5];
  write(file, 5, 3);
  file.volume.syncSync();
  expectBytes(file);
  return places(file.volume)[5] === before;
}

/** A snapshot that was durable is deleted, and so many commits are made. */
function unshared({ volume }: Made, commits: number): void {
  volume.snapshotSync('s');
  volume.syncSync();
  volume.deleteSnapshotSync('s');
  volume.reclaimSync();
  for (let i = 0; i < commits; i++) volume.syncSync();
}

const COPIED: readonly (readonly [string, Deed])[] = [
  ['what a clone shares', ({ volume }) => volume.cloneSync('/f', '/g')],
  ['what a snapshot has', ({ volume }) => volume.snapshotSync('s')],
  ['what a snapshot has in the newest root', (file) => unshared(file, 0)],
  ['what a snapshot has in the root before that', (file) => unshared(file, 1)],
  [
    'what was shared by ranges, as long as it is, and while that is no history',
    ({ volume }) => {
      volume.fs.writeFileSync('/g', Buffer.alloc(16 * B));
      volume.cloneRangeSync('/f', '/g', { sourceOffset: 4 * B, offset: 0, length: 4 * B });
      volume.syncSync();
      volume.fs.unlinkSync('/g');
      volume.reclaimSync();
    },
  ],
  [
    'what the log has cut and written anew',
    ({ volume, fd, bytes }) => {
      const end = 5 * B + 7;
      volume.fs.ftruncateSync(fd, end);
      volume.fs.writeSync(fd, bytes, end, bytes.length - end, end);
    },
  ],
  [
    'what the log has cleared in part',
    ({ volume, fd, bytes }) => {
      volume.punchSync(fd, 5 * B + 50, 60);
      bytes.fill(0, 5 * B + 50, 5 * B + 110);
    },
  ],
  [
    'what was taken out of order',
    ({ volume, fd, bytes }) => {
      volume.collapseRangeSync(fd, 0, B);
      volume.insertRangeSync(fd, 0, B);
      bytes.fill(0, 0, B);
      volume.reclaimSync();
    },
  ],
  [
    'the last block of a file that gets longer',
    ({ volume, fd, bytes }) => {
      volume.fs.ftruncateSync(fd, 5 * B + 7);
      bytes.fill(0, 5 * B + 7);
      for (let i = 0; i < 3; i++) settle(volume, fd, bytes);
      volume.fs.ftruncateSync(fd, 16 * B);
    },
  ],
  [
    'what has a checksum',
    ({ volume, fd, bytes }) => {
      volume.setInplaceSync(fd, false);
      volume.fs.writeSync(fd, bytes, 5 * B, B, 5 * B);
      volume.syncSync();
      volume.setInplaceSync(fd, true);
      settle(volume, fd, bytes);
    },
  ],
];

describe('it is copied instead', () => {
  it('nothing, if nothing was done', () => {
    expect(stays(() => {})).toBe(true);
    expect(stays(({ volume, fd }) => volume.fs.ftruncateSync(fd, 16 * B))).toBe(true);
  });

  it.each(COPIED)('%s', (_, deed) => {
    expect(stays(deed)).toBe(false);
  });

  it('nothing any more, once two commits have made it history', () => {
    expect(stays((file) => unshared(file, 2))).toBe(false);
    const settled = (file: Made): void => {
      unshared(file, 0);
      settle(file.volume, file.fd, file.bytes);
    };
    expect(stays(settled)).toBe(true);
  });

  it('what a view shows, and not when it is released', () => {
    const device = new MemoryDevice({ size: 8 * MIB });
    const volume = Volume.openSync(device, { ...OPTIONS, create: true });
    volume.setInplaceSync('/', true);
    const bytes = noise(8 * B, 1);
    volume.fs.writeFileSync('/f', bytes);
    const fd = volume.fs.openSync('/f', 'r+');
    settle(volume, fd, bytes);
    const before = places(volume);
    const view = volume.mapSync(fd, 2 * B, B);
    volume.fs.writeSync(fd, noise(B, 2), 0, B, 2 * B);
    volume.syncSync();
    expect(bytes.subarray(2 * B, 3 * B).equals(view.at(2 * B))).toBe(true);
    expect(places(volume)[2]).not.toBe(before[2]);
    view.release();
    volume.fs.writeSync(fd, noise(B, 3), 0, B, 3 * B);
    volume.syncSync();
    expect(places(volume)[3]).toBe(before[3]);
  });

  it('what is to be moved', () => {
    const file = made(4);
    const { volume, fd, bytes } = file;
    for (let i = 0; i < 4; i++) {
      volume.setInplaceSync(fd, false);
      volume.fs.writeSync(fd, bytes, i * B, B, i * B);
      volume.syncSync();
      volume.fs.writeFileSync(`/between${i}`, noise(B, i));
      volume.syncSync();
    }
    volume.setInplaceSync(fd, true);
    expect(volume.extentsSync('/f').length).toBeGreaterThan(2);
    expect(volume.defragSync('/f')).toMatchObject({ changed: 1, after: 1 });
    expectBytes(file);
  });
});

/** A clone keeps what it has, whatever is written to the file that it was made of. */
function isolated(): boolean {
  const file = made(600);
  const { volume, fd, bytes } = file;
  volume.cloneSync('/f', '/g');
  const before = Buffer.from(bytes);
  // The first node of the map is copied here, the last one goes on being shared.
  write(file, 1, 5);
  settle(volume, fd, bytes);
  write(file, 599, 6);
  volume.syncSync();
  volume.syncSync();
  return before.equals(volume.fs.readFileSync('/g') as Buffer);
}

describe('a clone of a file of several nodes', () => {
  it('keeps what it has', () => {
    expect(isolated()).toBe(true);
  });

  it('control: not if nobody looked at the nodes', () => {
    vi.spyOn(FileMaps.prototype, 'wasShared').mockReturnValue(false);
    expect(isolated()).toBe(false);
  });
});

describe('the policy', () => {
  it('is inherited from a directory, by files and directories', () => {
    const { volume } = made();
    volume.fs.mkdirSync('/d');
    volume.setInplaceSync('/d', true);
    volume.fs.mkdirSync('/d/e');
    volume.fs.writeFileSync('/d/e/f', 'x');
    volume.fs.symlinkSync('f', '/d/e/s');
    volume.fs.writeFileSync('/other', 'x');
    expect(['/d', '/d/e', '/d/e/f', '/other', '/'].map((path) => volume.inplaceSync(path))).toEqual(
      [true, true, true, false, false],
    );
    volume.cloneSync('/d', '/c');
    expect(volume.inplaceSync('/c/e/f')).toBe(true);
    volume.setInplaceSync('/d/e/f', false);
    expect([volume.inplaceSync('/d/e/f'), volume.inplaceSync('/c/e/f')]).toEqual([false, true]);
  });

  it('is durable with a commit, and with an fsync', async () => {
    const { tape, volume } = made();
    volume.fs.writeFileSync('/g', 'x');
    await volume.setInplace('/g', true);
    volume.fs.fsyncSync(volume.fs.openSync('/g', 'r'));
    for (let i = 0; i < 2; i++) {
      using later = Volume.openSync(MemoryDevice.from(tape.image()), OPTIONS);
      expect(await later.inplace('/g')).toBe(true);
      volume.syncSync();
    }
  });

  it('is a feature that a reader must know, from the first such file on', () => {
    const tape = new TapeDevice(new Uint8Array(4 * MIB));
    const options = { ...OPTIONS, create: true };
    const volume = Volume.openSync(tape, options);
    volume.fs.writeFileSync('/f', 'x');
    const required = (): number => {
      volume.syncSync();
      const view = new DataView(tape.image().buffer);
      return Math.max(...[0, 1, 2, 3].map((ring) => view.getUint32(ring * B + 32, true)));
    };
    expect(required()).toBe(0);
    volume.setInplaceSync('/f', true);
    expect(required()).toBe(Incompatible.INPLACE);
  });

  it('is for files and directories', () => {
    const { volume, fd } = made();
    volume.snapshotSync('s');
    const code = (call: () => void): unknown => {
      try {
        return call();
      } catch (error) {
        return (error as { code?: string }).code;
      }
    };
    expect(code(() => volume.setInplaceSync('/nothing', true))).toBe('ENOENT');
    expect(code(() => volume.setInplaceSync(99, true))).toBe('EBADF');
    expect(code(() => volume.setInplaceSync(fd, 1 as never))).toBe('ERR_INVALID_ARG_TYPE');
    expect(code(() => volume.inplaceSync(fd))).toBe(true);
  });
});
