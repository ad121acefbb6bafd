/**
 * Power cuts while files are overwritten in place: what was made durable is there, what a snapshot
 * or a clone has is what it had, also of one that was deleted and is back; and of what nobody has
 * asked for, blocks may be newer than the rest, or torn.
 */
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { constants } from '../../src/api/flags.ts';
import { Volume } from '../../src/api/index.ts';
import { MIB, type Txg } from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { decodeSuperblock, isFault, SUPERBLOCKS, type Superblock } from '../../src/format/index.ts';
import { Store } from '../../src/store/store.ts';
import { Unshared } from '../../src/store/unshared.ts';
import { Random } from '../../src/testing/index.ts';
import { LogRecords } from '../../src/volume/log-records.ts';
import { Overwrites } from '../../src/volume/overwrite.ts';
import { COMMON } from '../api/bench.ts';
import { drawOverwrite, SCENE, WEIGHTS } from '../api/overwrites.ts';
import { crashImages, TapeDevice } from '../store/tape.ts';
import { seeded } from '../volume/seeds.ts';
import { cut } from './cut.ts';
import { Life, type LifeOptions, type Weights } from './life.ts';

const { O_RDWR, O_DIRECT } = constants;
const B = 4096;
const OPTIONS: LifeOptions = {
  size: 2 * MIB,
  groupBlocks: 256,
  logBlocks: 16,
  inplace: true,
  draw: drawOverwrite,
  weights: WEIGHTS as Weights,
};

const { overwritten } = LogRecords.prototype;
let images = 0;
let overwrites = 0;

afterAll(() => process.stdout.write(`${images} power cuts, ${overwrites} overwrites\n`));
afterEach(() => vi.restoreAllMocks());

/** A life that begins with the scene, all of which is history by then. */
function begun(random: Random, options: Partial<LifeOptions> = {}): Life {
  vi.spyOn(LogRecords.prototype, 'overwritten').mockImplementation(function (
    this: LogRecords,
    vnode,
  ) {
    overwrites++;
    overwritten.call(this, vnode);
  });
  const life = new Life(random, { ...OPTIONS, ...options });
  for (const step of SCENE) life.step(step);
  return life;
}

seeded('a power cut loses nothing that was acknowledged', { count: 2 }, (random) => {
  const life = begun(random);
  life.run(60);
  const calls = Array.from({ length: 14 }, () => random.between(0, life.tape.calls.length));
  images += cut(life, random, calls);
});

seeded('nor does it whatever the layout', { count: 1 }, (random) => {
  const life = begun(random, {
    size: random.pick([3, 4, 6]) * MIB,
    groupBlocks: random.pick([256, 512, 1024]),
    logBlocks: random.pick([3, 8, 40]),
    countCap: random.pick([1, 2, 4] as const),
    extentSize: random.pick([0, 8192]),
    cacheBytes: 16 * MIB,
  });
  life.run(60);
  const calls = Array.from({ length: 8 }, () => random.between(0, life.tape.calls.length));
  images += cut(life, random, calls);
});

/** How the blocks of a file come to be shared, where the other one is then, and how it goes. */
interface Share {
  readonly begin: (volume: Volume) => void;
  readonly read: (volume: Volume) => Uint8Array;
  readonly end: (volume: Volume) => void;
}

const SHARES: Readonly<Record<string, Share>> = {
  'a snapshot': {
    begin: (volume) => volume.snapshotSync('s'),
    read: (volume) => {
      using view = volume.openSnapshotSync('s');
      return view.fs.readFileSync('/d/f') as Uint8Array;
    },
    end: (volume) => volume.deleteSnapshotSync('s'),
  },
  'a clone of its directory': {
    begin: (volume) => volume.cloneSync('/d', '/x'),
    read: (volume) => volume.fs.readFileSync('/x/f') as Uint8Array,
    end: (volume) => volume.fs.rmSync('/x', { recursive: true }),
  },
  'a clone': {
    begin: (volume) => volume.cloneSync('/d/f', '/x'),
    read: (volume) => volume.fs.readFileSync('/x') as Uint8Array,
    end: (volume) => volume.fs.rmSync('/x'),
  },
  'a range of another file': {
    begin: (volume) => {
      volume.fs.writeFileSync('/x', new Uint8Array(BLOCKS * B));
      volume.cloneRangeSync('/d/f', '/x', { offset: B, sourceOffset: B, length: (BLOCKS - 1) * B });
    },
    read: (volume) => volume.fs.readFileSync('/x') as Uint8Array,
    end: (volume) => volume.fs.rmSync('/x'),
  },
};

/** Two nodes of the map: what happens to the first says nothing of the second. */
const BLOCKS = 260;
const VOLUME = { ...COMMON, cacheBytes: 4 * MIB };

/** `touched`: whether the file is written to, and all of that made history, while it is shared. */
interface Case {
  readonly touched: boolean;
  /** Commits after the other one was deleted. */
  readonly commits: number;
  readonly directly: boolean;
}

/**
 * What a mount finds if a file is overwritten after what shared its blocks was deleted, and the
 * power goes off when that is durable: the newest root that has the other one is mounted.
 */
function lateOverwrite(share: Share, { touched, commits, directly }: Case): string {
  const tape = new TapeDevice(new Uint8Array(8 * MIB));
  const volume = Volume.openSync(tape, { ...VOLUME, create: true });
  volume.fs.mkdirSync('/d');
  volume.setInplaceSync('/d', true);
  volume.fs.writeFileSync('/d/f', new Random(1).bytes(BLOCKS * B));
  const fd = volume.fs.openSync('/d/f', directly ? O_RDWR | O_DIRECT : 'r+');
  const touch = (block: number): void => {
    volume.fs.writeSync(fd, new Random(block).bytes(B), 0, B, block * B);
  };
  const settle = (): void => {
    for (let i = 0; i < 3; i++) {
      touch(0);
      volume.syncSync();
    }
  };
  settle();
  share.begin(volume);
  volume.syncSync();
  const before = share.read(volume).slice();
  if (touched) settle();
  share.end(volume);
  volume.reclaimSync();
  for (let i = 0; i < commits; i++) volume.syncSync();
  touch(BLOCKS - 1);
  volume.fs.fdatasyncSync(fd);
  const image = tape.image();
  for (let i = 0; i < commits; i++) loseNewestRoot(image);
  using later = Volume.openSync(MemoryDevice.from(image), VOLUME);
  if (commits === 0 && !later.fs.readFileSync('/d/f').equals(volume.fs.readFileSync('/d/f'))) {
    return 'lost what was made durable';
  }
  // What was deleted is deleted in the log too: it is seen with the root alone.
  wipeLog(image);
  using root = Volume.openSync(MemoryDevice.from(image), VOLUME);
  return Buffer.compare(share.read(root), before) === 0 ? 'as it was' : 'written over';
}

function superblocks(image: Uint8Array): { at: number; found: Superblock }[] {
  const last = image.length / B - SUPERBLOCKS;
  const places = Array.from({ length: SUPERBLOCKS }, (_, i) => [i, last + i]).flat();
  return places.flatMap((block) => {
    const found = decodeSuperblock(image.subarray(block * B, (block + 1) * B));
    return isFault(found) ? [] : [{ at: block * B, found }];
  });
}

/** Both copies of the newest superblock are gone. */
function loseNewestRoot(image: Uint8Array): void {
  const all = superblocks(image);
  const newest = Math.max(...all.map(({ found }) => found.state.txg));
  for (const { at, found } of all) if (found.state.txg === newest) image.fill(0, at, at + B);
}

function wipeLog(image: Uint8Array): void {
  const { logStart, logBlocks } = (superblocks(image)[0] as { found: Superblock }).found.geometry;
  image.fill(0, logStart * B, (logStart + logBlocks) * B);
}

const CASES: readonly Case[] = [false, true].flatMap((touched) =>
  [0, 1].flatMap((commits) => [false, true].map((directly) => ({ touched, commits, directly }))),
);

/** What is not as it should be, with one of the shares or with all. */
function broken(only?: string): string[] {
  const shares = Object.entries(SHARES).filter(([name]) => only === undefined || name === only);
  return shares.flatMap(([name, share]) =>
    CASES.flatMap((which) => {
      const found = lateOverwrite(share, which);
      return found === 'as it was' ? [] : [`${name}, ${JSON.stringify(which)}: ${found}`];
    }),
  );
}

describe('what was deleted, and is back after a crash', { timeout: 120_000 }, () => {
  it('is what it was, whatever was written since', () => {
    expect(broken()).toEqual([]);
  });

  it('control: not if it does not matter who had a block in the last roots', () => {
    vi.spyOn(Unshared.prototype, 'has').mockReturnValue(false);
    expect(broken('a snapshot').join('\n')).toMatch(/written over/u);
  });

  it('control: not if everything is history at once', () => {
    vi.spyOn(Store.prototype, 'isSettled').mockReturnValue(true);
    expect(broken('a clone of its directory').join('\n')).toMatch(/written over/u);
  });

  it('control: not if one root is history enough', () => {
    const { committed } = Unshared.prototype;
    vi.spyOn(Unshared.prototype, 'committed').mockImplementation(function (this: Unshared, txg) {
      committed.call(this, (txg + 1) as Txg);
    });
    expect(broken('a snapshot').join('\n')).toMatch(/"commits":1.*written over/u);
  });

  it('control: not if clones are not told', () => {
    vi.spyOn(Overwrites.prototype, 'shared').mockReturnValue(undefined);
    expect(broken('a snapshot').join('\n')).toMatch(/written over/u);
  });
});

/**
 * A snapshot is taken of what was overwritten and never flushed, and another file is made durable.
 * Returns what a snapshot that is there after a power cut has that the file never was.
 */
function snapshotUnflushed(): string[] {
  const tape = new TapeDevice(new Uint8Array(4 * MIB));
  const volume = Volume.openSync(tape, { ...VOLUME, create: true });
  volume.setInplaceSync('/', true);
  const old = Buffer.from(new Random(1).bytes(8 * B));
  volume.fs.writeFileSync('/f', old);
  volume.fs.writeFileSync('/other', 'x');
  const fd = volume.fs.openSync('/f', 'r+');
  for (let i = 0; i < 3; i++) {
    volume.fs.writeSync(fd, old, 0, B, 0);
    volume.syncSync();
  }
  tape.rewind();
  const data = Buffer.from(new Random(2).bytes(B));
  volume.fs.writeSync(fd, data, 0, B, 3 * B);
  volume.snapshotSync('s');
  volume.fs.fsyncSync(volume.fs.openSync('/other', 'r'));
  const wanted = Buffer.from(old);
  data.copy(wanted, 3 * B);
  const found: string[] = [];
  for (let count = 0; count <= tape.calls.length; count++) {
    const options = { random: new Random(count), exhaustiveMax: 4, samples: 4 };
    for (const image of crashImages(tape, count, options)) {
      using later = Volume.openSync(MemoryDevice.from(image), VOLUME);
      if (later.snapshotsSync().length === 0) continue;
      using view = later.openSnapshotSync('s');
      if (!wanted.equals(view.fs.readFileSync('/f'))) found.push(`after call ${count}`);
    }
  }
  return found;
}

describe('a snapshot of what no flush has covered', { timeout: 60_000 }, () => {
  it('has it, or is not there', () => {
    expect(snapshotUnflushed()).toEqual([]);
  });

  it('control: not if the log tells of it', () => {
    vi.spyOn(Store.prototype, 'hasOverwrites', 'get').mockReturnValue(false);
    expect(snapshotUnflushed()).not.toEqual([]);
  });
});
