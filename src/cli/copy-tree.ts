/**
 * Copy: a tree of files from one filesystem to another, as faithfully as both allow.
 *
 * Both sides have the shape of `node:fs`, so import and export are the same code: modes, owners,
 * times, symbolic links, hard links and holes go the same way in both directions.
 *
 * C1. Nothing is read or written through a symbolic link. A name of the target that is a link is
 *     refused or, when merging, replaced.
 * C2. A name is used only if it is one: not empty, not `.` or `..`, and without a `/`. So nothing
 *     lands outside the target, whatever an image says.
 * C3. A file that could not be copied to its end is removed again.
 * C4. A directory gets its attributes when everything in it is done.
 */
import type { BigIntStats, Dirent } from 'node:fs';
import type { SyncFs } from '../api/index.ts';
import { errorCode } from '../base/index.ts';
import { explain, Fault } from './faults.ts';
import { join, pathOf, shownName } from './names.ts';
import { copyData, type Run } from './sparse.ts';

/** What trees are copied with: `node:fs` has it, and so has a volume. */
export type TreeFs = Omit<SyncFs, 'promises'>;

export interface Side {
  readonly fs: TreeFs;
  /** The directory whose content is copied, or into which it is; a binary string. */
  readonly root: string;
  /** Files, by {@link fileKey}, that are neither read nor replaced: the image itself. */
  readonly spared?: ReadonlySet<string>;
}

export interface CopyOptions {
  readonly verb: 'import' | 'export';
  readonly source: Side;
  readonly target: Side;
  /** Give files their owners, which on a host only root may. */
  readonly owners: boolean;
  /** The target may have something in it: directories are joined, files replaced. */
  readonly merge: boolean;
  /** The target gives new files the very mode that is asked for: it has no umask. */
  readonly exactModes?: true;
  /** How a time is given to calls of the target: {@link exactTime}, or {@link hostTime}. */
  readonly timeText: (nanoseconds: bigint) => string;
  /** Where a file may hold data, if that can be found out. */
  readonly runsOf?: (path: string, stats: BigIntStats) => Iterable<Run>;
}

/** What was copied so far. */
export interface CopyCounts {
  files: number;
  directories: number;
  symlinks: number;
  /** Names of files that have several. */
  hardLinks: number;
  /** Sizes of all files together. */
  bytes: number;
  /** Bytes that were written; what is missing are holes. */
  written: number;
  /** Paths of the source that were left out: devices, pipes, sockets, the image itself. */
  readonly skipped: string[];
}

/** A directory that is being copied. */
interface Level {
  readonly from: string;
  readonly to: string;
  readonly stats: BigIntStats;
  readonly entries: readonly Dirent[];
  next: number;
}

export class TreeCopy {
  readonly counts: CopyCounts = {
    files: 0,
    directories: 0,
    symlinks: 0,
    hardLinks: 0,
    bytes: 0,
    written: 0,
    skipped: [],
  };
  readonly #options: CopyOptions;
  /** Where the first name of a file with several was copied to, by its {@link fileKey}. */
  readonly #linked = new Map<string, string>();
  readonly #uid = BigInt(process.getuid?.() ?? 0);
  readonly #gid = BigInt(process.getgid?.() ?? 0);

  constructor(options: CopyOptions) {
    this.#options = options;
  }

  get verb(): CopyOptions['verb'] {
    return this.#options.verb;
  }

  get source(): Side {
    return this.#options.source;
  }

  /** Entries that were dealt with. */
  get done(): number {
    const { files, directories, symlinks, hardLinks, skipped } = this.counts;
    return files + directories + symlinks + hardLinks + skipped.length;
  }

  /** Copies everything, and gives way after each entry. */
  *steps(): Generator<void, CopyCounts, void> {
    const { source, target } = this.#options;
    const stack = [this.#within(source.root, () => this.#enter(source.root, target.root))];
    for (let level = stack.at(-1); level !== undefined; level = stack.at(-1)) {
      const entry = level.entries[level.next++];
      if (entry === undefined) {
        const { from, to, stats } = level;
        this.#within(from, () => this.#finishDirectory(to, stats));
        stack.pop();
        this.counts.directories++;
      } else {
        const below = yield* this.#copy(entry, level);
        if (below !== undefined) stack.push(below);
      }
      yield;
    }
    // The root is the caller's, not something that was copied.
    this.counts.directories--;
    return this.counts;
  }

  /** Copies an entry; a directory is only begun. */
  *#copy(entry: Dirent, { from, to }: Level): Generator<void, Level | undefined, void> {
    const source = join(from, checkName(entry.name, from));
    const target = join(to, entry.name);
    try {
      if (entry.isFile()) yield* this.#copyFile(source, target);
      else if (entry.isDirectory()) return this.#enter(source, target);
      else if (entry.isSymbolicLink()) this.#copyLink(source, target);
      else this.counts.skipped.push(source);
    } catch (error) {
      throw explain(`${this.#options.verb} ${shownName(source)}`, error);
    }
    return undefined;
  }

  #enter(from: string, to: string): Level {
    const { source, target } = this.#options;
    const stats = source.fs.lstatSync(pathOf(from), { bigint: true });
    if (!stats.isDirectory()) throw new Fault(...notDirectory(this.#options.verb, from));
    try {
      target.fs.mkdirSync(pathOf(to), 0o700);
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') throw error;
      const mayExist = this.#options.merge || to === target.root;
      if (!mayExist) throw error;
      const there = target.fs.lstatSync(pathOf(to));
      if (!there.isDirectory()) throw new Fault(...notDirectory(`${this.#options.verb} to`, to));
    }
    const entries = source.fs.readdirSync(pathOf(from), {
      withFileTypes: true,
      encoding: 'latin1',
    });
    return { from, to, stats, entries, next: 0 };
  }

  #finishDirectory(to: string, stats: BigIntStats): void {
    const { fs } = this.#options.target;
    const path = pathOf(to);
    if (this.#ownerDiffers(stats)) fs.lchownSync(path, Number(stats.uid), Number(stats.gid));
    fs.chmodSync(path, modeOf(stats));
    const { timeText } = this.#options;
    fs.utimesSync(path, timeText(stats.atimeNs), timeText(stats.mtimeNs));
  }

  *#copyFile(from: string, to: string): Generator<void, void, void> {
    const { fs, spared } = this.#options.source;
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
    const flags = (O_RDONLY as number) | (O_NOFOLLOW as number) | (O_NONBLOCK as number);
    const fd = fs.openSync(pathOf(from), flags);
    try {
      const stats = fs.fstatSync(fd, { bigint: true });
      if (!stats.isFile() || spared?.has(fileKey(stats))) this.counts.skipped.push(from);
      else if (stats.nlink === 1n || !this.#copyName(stats, to)) {
        yield* this.#copyContent({ fd, from, stats }, to);
      }
    } finally {
      fs.closeSync(fd);
    }
  }

  *#copyContent(
    { fd, from, stats }: { fd: number; from: string; stats: BigIntStats },
    to: string,
  ): Generator<void, void, void> {
    const { source, target, runsOf, exactModes, timeText } = this.#options;
    const { fs } = target;
    const size = Number(stats.size);
    const mode = modeOf(stats);
    const runs = runsOf?.(from, stats) ?? [{ offset: 0, length: size }];
    const output = this.#make(to, () => fs.openSync(pathOf(to), 'wx', exactModes ? mode : 0o600));
    let whole = false;
    try {
      const out = { fs, fd: output };
      this.counts.written += yield* copyData({ fs: source.fs, fd }, out, size, runs);
      if (this.#ownerDiffers(stats)) {
        fs.fchownSync(output, Number(stats.uid), Number(stats.gid));
      }
      if (!exactModes) fs.fchmodSync(output, mode);
      fs.futimesSync(output, timeText(stats.atimeNs), timeText(stats.mtimeNs));
      whole = true;
    } finally {
      fs.closeSync(output);
      if (!whole) fs.rmSync(pathOf(to), { force: true });
    }
    this.counts.files++;
    this.counts.bytes += size;
  }

  /** Makes a further name of a file that was copied before. False if this is the first. */
  #copyName(stats: BigIntStats, to: string): boolean {
    const { fs } = this.#options.target;
    const key = fileKey(stats);
    const first = this.#linked.get(key);
    if (first === undefined) {
      this.#linked.set(key, to);
      return false;
    }
    try {
      this.#make(to, () => fs.linkSync(pathOf(first), pathOf(to)));
    } catch (error) {
      // More names than a file can have there, or in another clone: it becomes a file of its own.
      if (errorCode(error) !== 'EMLINK' && errorCode(error) !== 'EXDEV') throw error;
      this.#linked.set(key, to);
      return false;
    }
    this.counts.hardLinks++;
    return true;
  }

  #copyLink(from: string, to: string): void {
    const { source, target, timeText } = this.#options;
    const stats = source.fs.lstatSync(pathOf(from), { bigint: true });
    const link = source.fs.readlinkSync(pathOf(from), 'latin1');
    const path = pathOf(to);
    this.#make(to, () => target.fs.symlinkSync(pathOf(link), path));
    if (this.#ownerDiffers(stats)) {
      target.fs.lchownSync(path, Number(stats.uid), Number(stats.gid));
    }
    target.fs.lutimesSync(path, timeText(stats.atimeNs), timeText(stats.mtimeNs));
    this.counts.symlinks++;
  }

  /** Makes a name that must be free; when merging, what has it makes room. */
  #make<Result>(to: string, make: () => Result): Result {
    try {
      return make();
    } catch (error) {
      if (!this.#options.merge || errorCode(error) !== 'EEXIST') throw error;
    }
    const { fs, spared } = this.#options.target;
    const there = fs.lstatSync(pathOf(to), { bigint: true });
    const verb = this.#options.verb;
    if (there.isDirectory()) {
      const message = `Cannot ${verb} to ${shownName(to)}: a directory is in its place`;
      throw new Fault(message, { code: 'EISDIR' });
    }
    if (spared?.has(fileKey(there))) {
      const message = `Cannot ${verb} to ${shownName(to)}: it is the image itself`;
      throw new Fault(message, { code: 'EBUSY' });
    }
    fs.unlinkSync(pathOf(to));
    return make();
  }

  /** New files belong to the process; that is mostly right already. */
  #ownerDiffers({ uid, gid }: BigIntStats): boolean {
    return this.#options.owners && (uid !== this.#uid || gid !== this.#gid);
  }

  #within<Result>(path: string, body: () => Result): Result {
    try {
      return body();
    } catch (error) {
      throw explain(`${this.#options.verb} ${shownName(path)}`, error);
    }
  }
}

/** How many entries a tree has. */
export function* countEntries({ fs, root }: Side): Generator<void, number, void> {
  const paths = [root];
  let count = 0;
  for (let path = paths.pop(); path !== undefined; path = paths.pop()) {
    const options = { withFileTypes: true, encoding: 'latin1' } as const;
    for (const entry of fs.readdirSync(pathOf(path), options)) {
      count++;
      if (entry.isDirectory()) paths.push(join(path, entry.name));
    }
    yield;
  }
  return count;
}

/** What makes a file the same file under several names. */
export function fileKey({ dev, ino }: { dev: bigint; ino: bigint }): string {
  return `${dev}:${ino}`;
}

/** A time as a volume takes it: decimal seconds, to the nanosecond. */
export function exactTime(nanoseconds: bigint): string {
  const sign = nanoseconds < 0n ? '-' : '';
  const size = nanoseconds < 0n ? -nanoseconds : nanoseconds;
  const fraction = String(size % 1_000_000_000n).padStart(9, '0');
  return `${sign}${size / 1_000_000_000n}.${fraction}`;
}

/**
 * A time as Node takes it, which cuts it to microseconds: half of one more, so that the one that is
 * meant comes out, whichever way the fraction was rounded on its way.
 */
export function hostTime(nanoseconds: bigint): string {
  return exactTime(nanoseconds - (((nanoseconds % 1000n) + 1000n) % 1000n) + 500n);
}

function modeOf({ mode }: BigIntStats): number {
  return Number(mode) & 0o7777;
}

function checkName(name: string, directory: string): string {
  const leads = name.includes('/') || name.includes('\0');
  if (name !== '' && name !== '.' && name !== '..' && !leads) return name;
  const message = `Cannot use the name ${JSON.stringify(name)} in ${shownName(directory)}`;
  throw new Fault(`${message}: it leads elsewhere`, { code: 'EINVAL' });
}

function notDirectory(verb: string, path: string): ConstructorParameters<typeof Fault> {
  return [`Cannot ${verb} ${shownName(path)}: it is not a directory`, { code: 'ENOTDIR' }];
}
