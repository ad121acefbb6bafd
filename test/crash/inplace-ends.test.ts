/**
 * Power cuts around what an overwrite in place has beside its data: the end of the file, and the
 * time that the log is told later.
 */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { constants } from '../../src/api/flags.ts';
import { Volume } from '../../src/api/index.ts';
import { MIB } from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { Random } from '../../src/testing/index.ts';
import { VolumeIomapOps } from '../../src/volume/iomap-ops.ts';
import { LogRecords } from '../../src/volume/log-records.ts';
import { COMMON } from '../api/bench.ts';
import { crashImages, TapeDevice } from '../store/tape.ts';

const { O_RDWR, O_DIRECT } = constants;
const B = 4096;
const VOLUME = { ...COMMON, cacheBytes: 4 * MIB };

afterEach(() => vi.restoreAllMocks());

interface Made {
  readonly tape: TapeDevice;
  readonly volume: Volume;
  readonly fd: number;
  readonly bytes: Buffer;
}

/** A volume with `/f`, all of which may be overwritten in place, opened past the cache. */
function made(length: number, before: (volume: Volume) => void = () => {}): Made {
  const tape = new TapeDevice(new Uint8Array(4 * MIB));
  const volume = Volume.openSync(tape, { ...VOLUME, create: true });
  volume.setInplaceSync('/', true);
  before(volume);
  const bytes = Buffer.from(new Random(1).bytes(length));
  volume.fs.writeFileSync('/f', bytes);
  const fd = volume.fs.openSync('/f', O_RDWR | O_DIRECT);
  for (let i = 0; i < 3; i++) {
    volume.fs.writeSync(fd, bytes, 0, B, 0);
    volume.syncSync();
  }
  tape.rewind();
  return { tape, volume, fd, bytes };
}

/**
 * A write past the cache makes a file longer, from within its last block on. Returns after which
 * calls a power cut leaves bytes behind the end that are seen when the file gets longer.
 */
function leftBehindTheEnd(): number[] {
  const { tape, volume, fd } = made(8 * B - 1000);
  volume.fs.writeSync(fd, Buffer.alloc(2 * B, 0xee), 0, 2 * B, 7 * B);
  volume.fs.fsyncSync(fd);
  const found: number[] = [];
  for (let count = 0; count <= tape.calls.length; count++) {
    const options = { random: new Random(count), exhaustiveMax: 4, samples: 4 };
    for (const image of crashImages(tape, count, options)) {
      using later = Volume.openSync(MemoryDevice.from(image), VOLUME);
      const { size } = later.fs.statSync('/f');
      later.fs.truncateSync('/f', 10 * B);
      const end = (later.fs.readFileSync('/f') as Buffer).subarray(size);
      if (!end.equals(Buffer.alloc(end.length))) found.push(count);
    }
  }
  return found;
}

describe('a direct write over the end of a file', () => {
  it('does not go over the last block: a root that has the old end would show it', () => {
    expect(leftBehindTheEnd()).toEqual([]);
  });

  it('control: it would, if the end were told when the data has arrived', () => {
    vi.spyOn(VolumeIomapOps.prototype, 'moving').mockReturnValue(undefined);
    expect(leftBehindTheEnd()).not.toEqual([]);
  });
});

/**
 * A file is overwritten and removed, an inode of a snapshot gets its memory, and something is
 * cloned: then the log is told the times that it was not told. Returns how a mount after a power
 * cut goes.
 */
function removedUntold(): string {
  const { tape, volume, fd, bytes } = made(8 * B, (empty) => {
    empty.fs.mkdirSync('/d');
    for (let i = 0; i < 20; i++) empty.fs.writeFileSync(`/d/${i}`, 'x');
    empty.snapshotSync('s');
    empty.fs.writeFileSync('/g', 'x');
  });
  volume.fs.writeSync(fd, bytes, 0, B, B);
  volume.fs.fdatasyncSync(fd);
  volume.fs.closeSync(fd);
  volume.fs.unlinkSync('/f');
  using view = volume.openSnapshotSync('s');
  for (let i = 0; i < 20; i++) view.fs.statSync(`/d/${i}`);
  volume.cloneSync('/g', '/h');
  volume.fs.fsyncSync(volume.fs.openSync('/g', 'r'));
  try {
    using later = Volume.openSync(MemoryDevice.from(tape.image()), VOLUME);
    return later.fs.existsSync('/h') ? 'all there' : 'lost';
  } catch (error) {
    return (error as Error).message;
  }
}

describe('the time of a file that was overwritten and removed', () => {
  it('is not told of the inode that has its memory now', () => {
    expect(removedUntold()).toBe('all there');
  });

  it('control: it would, and the log could not be replayed', () => {
    vi.spyOn(LogRecords.prototype, 'dropped').mockReturnValue(undefined);
    expect(removedUntold()).toMatch(/Cannot replay a setattr/u);
  });
});
