/** Changes: each that the API can make, on a small volume where it has something to copy. */
import { constants } from '../../src/api/index.ts';
import { MIB } from '../../src/base/index.ts';
import { timeFromMs } from '../../src/format/index.ts';
import { Random } from '../../src/testing/index.ts';
import { lookup } from '../../src/volume/index.ts';
import { Bench, type BenchOptions, type OpenVolume } from '../api/bench.ts';

const now = (): number => 1e12;
export const OPTIONS = {
  size: 1.5 * MIB,
  groupBlocks: 256,
  logBlocks: 4,
  cacheBytes: 4 * MIB,
  commitIntervalMs: 0,
  uid: 0,
  gid: 0,
  umask: 0o022,
  now,
} as const satisfies BenchOptions;

export const bytes = (seed: number, length: number): Uint8Array => new Random(seed).bytes(length);

/** Files that share blocks, small and large ones, holes, names in plenty, a snapshot. */
export async function scene(options: BenchOptions = OPTIONS): Promise<Bench> {
  const bench = await Bench.make('sync', options, new Random(1));
  const { volume } = bench;
  const { fs } = volume;
  fs.mkdirSync('/d/e', { recursive: true });
  fs.writeFileSync('/d/large', bytes(1, 20 * 4096));
  fs.writeFileSync('/d/odd', bytes(2, 9000));
  fs.writeFileSync('/d/inline', bytes(3, 300));
  fs.writeFileSync('/same', bytes(1, 20 * 4096));
  fs.writeFileSync('/sparse', bytes(4, 4096));
  fs.truncateSync('/sparse', 2 * MIB);
  fs.linkSync('/d/odd', '/linked');
  for (let i = 0; i < 12; i++) fs.writeFileSync(`/d/e/${`${i}`.padEnd(180, '-')}`, bytes(i, 200));
  fs.writeFileSync('/filler', '');
  volume.cloneSync('/d', '/clone');
  volume.snapshotSync('s');
  volume.syncSync();
  return bench;
}

export interface Change {
  readonly run: (volume: OpenVolume) => unknown;
  /** Deleting: it may not fail. */
  readonly deletes?: true;
  /** Several operations, of which those before the one that fails are done. */
  readonly steps?: true;
  /** What it had reserved when it failed stays reserved. */
  readonly reserves?: true;
}

/** Runs on a file that is open. */
function opened(
  path: string,
  body: (volume: OpenVolume, fd: number) => unknown,
): Pick<Change, 'run'> {
  return {
    run: (volume) => {
      const fd = volume.fs.openSync(path, 'r+');
      try {
        body(volume, fd);
      } finally {
        volume.fs.closeSync(fd);
      }
    },
  };
}

/** Two files that are open. */
function both(body: (volume: OpenVolume, from: number, to: number) => unknown): Change {
  return opened('/d/large', (volume, to) => {
    const from = volume.fs.openSync('/same', 'r+');
    try {
      body(volume, from, to);
    } finally {
      volume.fs.closeSync(from);
    }
  });
}

function write(path: string, length: number, position: number): Change {
  return opened(path, ({ fs }, fd) => fs.writeSync(fd, bytes(7, length), 0, length, position));
}

/** Extended attributes are not in the API: one is set as the log does it. */
function attribute(length: number): Change {
  return {
    run: (volume) => {
      const { inside } = volume;
      const vnode = volume.runInside(lookup(inside, inside.live, 'sparse'));
      const record = { type: 'setxattr', name: 'user.a', value: bytes(5, length) } as const;
      const time = timeFromMs(now());
      try {
        volume.runInside(inside.apply({ ...record, target: vnode.id, flags: 0, time }));
      } finally {
        vnode.holds--;
      }
    },
  };
}

export const CHANGES: Readonly<Record<string, Change>> = {
  'create a file': { run: ({ fs }) => fs.closeSync(fs.openSync('/new', 'wx')) },
  'make a directory': { run: ({ fs }) => fs.mkdirSync('/d/new') },
  'make a symbolic link': { run: ({ fs }) => fs.symlinkSync('t'.repeat(1000), '/d/new') },
  'make a long symbolic link': { run: ({ fs }) => fs.symlinkSync('t'.repeat(4000), '/d/new') },
  link: { run: ({ fs }) => fs.linkSync('/d/large', '/d/e/new') },
  'link in a clone': { run: ({ fs }) => fs.linkSync('/clone/odd', '/clone/e/new') },
  rename: { run: ({ fs }) => fs.renameSync('/d/large', '/d/e/moved') },
  'rename between directories that are shared': {
    run: ({ fs }) => fs.renameSync('/clone/large', '/clone/e/moved'),
  },
  'rename over a file': { run: ({ fs }) => fs.renameSync('/d/large', '/same') },
  'rename a directory': { run: ({ fs }) => fs.renameSync('/clone/e', '/clone/moved') },
  exchange: { run: (volume) => volume.exchangeSync('/clone/large', '/clone/e') },
  'exchange between clones': { run: (volume) => volume.exchangeSync('/clone/large', '/d/inline') },
  'make a file and then name it': {
    run: (volume) => {
      const fd = volume.fs.openSync('/clone', constants.O_TMPFILE | constants.O_RDWR);
      try {
        volume.linkFileSync(fd, '/clone/e/new');
      } finally {
        volume.fs.closeSync(fd);
      }
    },
  },
  'set flags': { run: (volume) => volume.setFlagsSync('/clone/e', { noDump: true }) },
  'change a mode': { run: ({ fs }) => fs.chmodSync('/clone/e', 0o700) },
  'change times': { run: ({ fs }) => fs.utimesSync('/clone/large', 5, 6) },
  'write to a new place': write('/d/odd', 10_000, 12_288),
  'overwrite shared blocks': write('/clone/large', 4096 * 5, 4096 * 3),
  'overwrite a part of shared blocks': write('/clone/large', 5000, 9000),
  'write to a hole far behind': write('/sparse', 9000, MIB + 100),
  'write inline': write('/d/inline', 200, 100),
  'write to what was inline': write('/clone/inline', 5000, 100),
  append: {
    run: ({ fs }) => {
      const fd = fs.openSync('/d/odd', 'a');
      try {
        fs.writeSync(fd, bytes(8, 9000));
      } finally {
        fs.closeSync(fd);
      }
    },
  },
  'write a whole file': {
    run: ({ fs }) => fs.writeFileSync('/d/new', bytes(9, 30_000)),
    steps: true,
  },
  'truncate up': { run: ({ fs }) => fs.truncateSync('/clone/odd', 100_000) },
  'truncate up an inline file': { run: ({ fs }) => fs.truncateSync('/clone/inline', 100_000) },
  'truncate down': { run: ({ fs }) => fs.truncateSync('/d/large', 8192), deletes: true },
  'truncate down in a clone': {
    run: ({ fs }) => fs.truncateSync('/clone/large', 8192),
    deletes: true,
  },
  'truncate down inside of a block': { run: ({ fs }) => fs.truncateSync('/clone/large', 9000) },
  punch: {
    ...opened('/d/large', (volume, fd) => volume.punchSync(fd, 8192, 16_384)),
    deletes: true,
  },
  'punch a clone': {
    ...opened('/clone/large', (volume, fd) => volume.punchSync(fd, 8192, 16_384)),
    deletes: true,
  },
  'punch parts of blocks': opened('/clone/large', (volume, fd) => volume.punchSync(fd, 100, 9000)),
  'zero a range': opened('/clone/large', (volume, fd) => volume.zeroRangeSync(fd, 100, 30_000)),
  collapse: opened('/clone/large', (volume, fd) => volume.collapseRangeSync(fd, 4096, 8192)),
  insert: opened('/clone/large', (volume, fd) => volume.insertRangeSync(fd, 4096, 8192)),
  allocate: {
    ...opened('/sparse', (volume, fd) => volume.allocateSync(fd, MIB, 65_536)),
    reserves: true,
  },
  'allocate in a clone': {
    ...opened('/clone/odd', (volume, fd) => volume.allocateSync(fd, 0, 40_000)),
    reserves: true,
  },
  unshare: opened('/clone/large', (volume, fd) => volume.unshareRangeSync(fd, 0, 40_000)),
  'clone a range': both((volume, from, to) =>
    volume.cloneRangeSync(from, to, { sourceOffset: 4096, offset: 40_960, length: 8192 }),
  ),
  'clone all of a file to another': both((volume, from, to) => volume.cloneRangeSync(from, to)),
  dedupe: both((volume, from, to) => volume.dedupeRangeSync(from, to)),
  'clone a file': { run: (volume) => volume.cloneSync('/d/large', '/clone/new') },
  'clone a directory': { run: (volume) => volume.cloneSync('/d', '/clone/new') },
  snapshot: { run: (volume) => volume.snapshotSync('t') },
  'delete a snapshot': { run: (volume) => volume.deleteSnapshotSync('s'), deletes: true },
  'set a small attribute': attribute(100),
  'set an attribute in blocks': attribute(20_000),
  unlink: { run: ({ fs }) => fs.unlinkSync('/d/large'), deletes: true },
  'unlink in a clone': { run: ({ fs }) => fs.unlinkSync('/clone/large'), deletes: true },
  'unlink a linked file': { run: ({ fs }) => fs.unlinkSync('/linked'), deletes: true },
  'remove a tree': { run: ({ fs }) => fs.rmSync('/d', { recursive: true }), deletes: true },
  'remove a clone': { run: ({ fs }) => fs.rmSync('/clone', { recursive: true }), deletes: true },
  fsync: { ...opened('/d/odd', ({ fs }, fd) => fs.fsyncSync(fd)), deletes: true },
  sync: { run: (volume) => volume.syncSync(), deletes: true },
};
