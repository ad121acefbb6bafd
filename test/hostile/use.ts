/**
 * Use: everything a program does with a volume, through the public API, on an image that may be
 * anything. What comes out has to be an answer or an error with its errno.
 *
 * Nothing here trusts a number of the image: how much is read, and how often, is bounded.
 */
import { binaryFromText, checksum64, ERRNO, errorCode, MIB } from '../../src/base/index.ts';
import type { Device } from '../../src/device/index.ts';
import type { Driver } from '../../src/drive/index.ts';
import { Volume } from '../../src/index.ts';
import type { Random } from '../../src/testing/index.ts';
import { type Engine, lookup, ReadExtended, type Vnode } from '../../src/volume/index.ts';

/** Files above this are read at both ends. */
const WHOLE_MAX = MIB;
const END = 20_000;
/** Things a walk looks at. */
const SEEN_MAX = 1000;
/** What Node says of a file that no buffer can hold. */
const NODE_CODES: ReadonlySet<string> = new Set(['ERR_FS_FILE_TOO_LARGE']);

/** An error that nobody who uses a volume should have to see. */
export class Foreign extends Error {}

/** The errno name of an error; one without is our own fault. */
export function errnoOf(error: unknown, doing: string): string {
  const code = errorCode(error);
  if (code !== undefined && (code in ERRNO || NODE_CODES.has(code))) return code;
  const told = error instanceof Error ? error.stack : String(error);
  throw new Foreign(`${doing}: ${told}`, { cause: error });
}

/** Runs `body`. An error with an errno is as good as an answer, and its errno is returned. */
export function attempt(doing: string, body: () => unknown): string | undefined {
  try {
    body();
    return undefined;
  } catch (error) {
    if (error instanceof Foreign) throw error;
    return errnoOf(error, doing);
  }
}

export function openImage(device: Device, readOnly: boolean): Volume {
  const now = (): number => 1e12;
  const user = { uid: 0, gid: 0, umask: 0o022 };
  const options = { readOnly, cacheBytes: 4 * MIB, commitIntervalMs: 0, now, ...user };
  return Volume.openSync(device, options) as Volume;
}

/** What a walk came to: for each thing that was looked at `= value` or `! errno`. */
export type Seen = Map<string, string>;

/** Where names are looked up, and what it is called in {@link Seen}. */
interface Place {
  readonly fs: Volume['fs'];
  readonly label: string;
  readonly seen: Seen;
  /** Extended attributes of a path. */
  readonly attributes: (path: string) => string;
}

/** The parts of a volume that its API does not show. */
class Inside extends Volume {
  static partsOf(volume: Volume): { engine: Engine; driver: Driver } {
    const { engine, driver } = volume as Inside;
    return { engine, driver };
  }
}

/** Extended attributes, which only the engine can read, of what names lead to. */
function extended(volume: Volume, from: 'live' | 'snapshots', names: readonly string[]): string {
  const { engine, driver } = Inside.partsOf(volume);
  const held: Vnode[] = [];
  try {
    let vnode = engine[from];
    for (const name of names) {
      vnode = driver.run(lookup(engine, vnode, name));
      held.push(vnode);
    }
    const attributes = driver.run(new ReadExtended(engine, vnode));
    return [...attributes].map(([name, value]) => `${name}=${digest(value)}`).join(' ');
  } finally {
    for (const vnode of held) vnode.holds--;
  }
}

function namesIn(path: string): string[] {
  return path.split('/').filter((name) => name !== '');
}

/** Goes through everything that has a name, in the snapshots too. */
export function walk(volume: Volume): Seen {
  const seen: Seen = new Map();
  const attributes = (path: string): string => extended(volume, 'live', namesIn(path));
  walkTree({ fs: volume.fs, label: 'live', seen, attributes });
  attempt('list snapshots', () => {
    for (const { name } of volume.snapshotsSync()) {
      attempt(`open snapshot ${name}`, () => {
        const view = volume.openSnapshotSync(name);
        const place = (path: string): string => {
          return extended(volume, 'snapshots', [binaryFromText(name), ...namesIn(path)]);
        };
        walkTree({ fs: view.fs, label: `@${name}`, seen, attributes: place });
        view.close();
      });
    }
  });
  return seen;
}

/** Paths are binary strings: names are bytes. */
function walkTree(place: Place): void {
  const paths = ['/'];
  for (let path = paths.pop(); path !== undefined; path = paths.pop()) {
    const parent = path;
    let names: string[] = [];
    note(place, `${parent} names`, () => {
      names = place.fs.readdirSync(binaryPath(parent), 'latin1');
      return names.join('|');
    });
    for (const name of names) {
      if (place.seen.size > SEEN_MAX) return;
      const child = parent === '/' ? `/${name}` : `${parent}/${name}`;
      if (visit(place, child)) paths.push(child);
    }
  }
}

export function binaryPath(path: string): Buffer {
  return Buffer.from(path, 'latin1');
}

/** Looks at one name. True if it is a directory to go into. */
function visit(place: Place, child: string): boolean {
  const { fs } = place;
  const path = binaryPath(child);
  let kind = '';
  let size = 0;
  note(place, `${child} stat`, () => {
    const stats = fs.lstatSync(path);
    kind = stats.isDirectory() ? 'directory' : stats.isFile() ? 'file' : '';
    if (stats.isSymbolicLink()) kind = 'link';
    size = stats.size;
    const { ino, mode, uid, gid, nlink, rdev } = stats;
    const { atimeMs, mtimeMs, ctimeMs, birthtimeMs } = stats;
    const times = [atimeMs, mtimeMs, ctimeMs, birthtimeMs];
    return [ino, mode, uid, gid, nlink, rdev, ...times, kind === 'directory' ? 0 : size].join(' ');
  });
  note(place, `${child} attributes`, () => place.attributes(child));
  if (kind === 'file') note(place, `${child} data`, () => readData(fs, path, size));
  if (kind === 'link') note(place, `${child} target`, () => fs.readlinkSync(path, 'latin1'));
  return kind === 'directory';
}

function note({ label, seen }: Place, what: string, body: () => string): void {
  const key = `${label}:${what}`;
  let value = '';
  const code = attempt(key, () => {
    value = body();
  });
  seen.set(key, code === undefined ? `= ${value}` : `! ${code}`);
}

/** A digest of a file, or of both its ends. */
function readData(fs: Volume['fs'], path: Buffer, size: number): string {
  if (size <= WHOLE_MAX) return digest(fs.readFileSync(path));
  const fd = fs.openSync(path, 'r');
  try {
    const ends = [0, Math.min(size, Number.MAX_SAFE_INTEGER) - END].map((position) => {
      const bytes = Buffer.alloc(END);
      return digest(bytes.subarray(0, fs.readSync(fd, bytes, 0, END, position)));
    });
    return ends.join(' ');
  } finally {
    fs.closeSync(fd);
  }
}

function digest(bytes: Uint8Array): string {
  return `${bytes.length}:${checksum64(bytes, 0n).toString(16)}`;
}

/** Asks for everything that is told of a volume beside what is in it. */
export function inspect(volume: Volume, paths: readonly string[]): void {
  const { fs } = volume;
  attempt('statfs', () => fs.statfsSync('/'));
  for (const path of ['/', ...paths]) {
    attempt(`space ${path}`, () => volume.spaceSync(binaryPath(path)));
    attempt(`extents ${path}`, () => volume.extentsSync(binaryPath(path)));
  }
  attempt('diff', () => {
    let count = 0;
    const [snapshot] = volume.snapshotsSync();
    const left = snapshot === undefined ? binaryPath('/') : { snapshot: snapshot.name };
    for (const _ of volume.diffSync(left, binaryPath('/'))) if (++count > SEEN_MAX) return;
  });
}

/** Paths of the live volume that a walk has found. */
export function livePaths(seen: Seen): string[] {
  return [...seen.keys()]
    .filter((key) => key.startsWith('live:/') && key.endsWith(' stat'))
    .map((key) => key.slice('live:'.length, -' stat'.length));
}

type Act = (volume: Volume, path: Buffer, other: Buffer) => void;

const ACTS: Readonly<Record<string, Act>> = {
  append: ({ fs }, path) => fs.appendFileSync(path, 'more'.repeat(300)),
  overwrite: ({ fs }, path) => {
    const fd = fs.openSync(path, 'r+');
    try {
      fs.writeSync(fd, Buffer.alloc(5000, 7), 0, 5000, 100);
    } finally {
      fs.closeSync(fd);
    }
  },
  replace: ({ fs }, path) => fs.writeFileSync(path, 'all new'),
  truncate: ({ fs }, path) => fs.truncateSync(path, 3),
  grow: ({ fs }, path) => fs.truncateSync(path, 3_000_000),
  unlink: ({ fs }, path) => fs.unlinkSync(path),
  remove: ({ fs }, path) => fs.rmSync(path, { recursive: true }),
  rename: ({ fs }, path, other) => fs.renameSync(path, other),
  link: ({ fs }, path, other) => fs.linkSync(path, Buffer.concat([other, Buffer.from('+')])),
  symlink: ({ fs }, path, other) => fs.symlinkSync(path, Buffer.concat([other, Buffer.from('@')])),
  mkdir: ({ fs }, path) => fs.mkdirSync(Buffer.concat([path, Buffer.from('/made')])),
  chmod: ({ fs }, path) => fs.chmodSync(path, 0o600),
  clone: (volume, path, other) => {
    volume.cloneSync(path, Buffer.concat([other, Buffer.from(' copy')]));
  },
  copy: ({ fs }, path, other) => fs.copyFileSync(path, Buffer.concat([other, Buffer.from('=')])),
};

/** Acts on one image. */
const ACTS_MAX = 5;

/** Changes what a walk has found in some of the ways there are, as a seed has it. */
export function change(volume: Volume, paths: readonly string[], random: Random): void {
  const some = paths.length > 0 ? paths : ['/new'];
  for (const [name, act] of random.shuffle(Object.entries(ACTS)).slice(0, ACTS_MAX)) {
    const [path, other] = [random.pick(some), random.pick(some)];
    attempt(`${name} ${path} ${other}`, () => act(volume, binaryPath(path), binaryPath(other)));
  }
  attempt('snapshot', () => volume.snapshotSync('late'));
  attempt('sync', () => volume.syncSync());
  for (const path of random.shuffle(some).slice(0, 2)) {
    attempt(`empty ${path}`, () => volume.fs.rmSync(binaryPath(path), { recursive: true }));
  }
  attempt('delete snapshots', () => {
    for (const { name } of volume.snapshotsSync()) {
      attempt(`delete snapshot ${name}`, () => volume.deleteSnapshotSync(name));
    }
  });
  attempt('reclaim', () => volume.reclaimSync());
}
