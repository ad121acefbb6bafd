/**
 * Calls on attributes: stat, chmod, chown, utimes, access, statfs.
 */
import { BLOCK_SIZE, FilesystemError } from '../../base/index.ts';
import { AttributeMask, type Mutation, type Time, timeFromMs } from '../../format/index.ts';
import type { Vnode } from '../../volume/index.ts';
import { type Context, holding } from '../context.ts';
import { argumentTypeError, checkChoice, checkInteger, hasCode } from '../errors.ts';
import { constants, modeBits } from '../flags.ts';
import { type PathArgument, pathBytes, resolve } from '../path.ts';
import { type Procedure, run } from '../procedure.ts';
import { BigIntStats, type StatFs, Stats } from '../stats.ts';

export interface StatOptions {
  readonly bigint?: boolean | undefined;
  readonly throwIfNoEntry?: boolean | undefined;
}

type AnyStats = Stats | BigIntStats;
type TimeArgument = number | string | Date;

export function* stat(
  context: Context,
  path: PathArgument,
  options?: StatOptions,
): Procedure<AnyStats | undefined> {
  return yield* statPath(context, path, true, options);
}

export function* lstat(
  context: Context,
  path: PathArgument,
  options?: StatOptions,
): Procedure<AnyStats | undefined> {
  return yield* statPath(context, path, false, options);
}

// biome-ignore lint/correctness/useYield: every call is a procedure, this one needs no operation
export function* fstat(context: Context, fd: number, options?: StatOptions): Procedure<AnyStats> {
  return makeStats(context.files.get(fd).vnode, options);
}

function* statPath(
  context: Context,
  path: PathArgument,
  follow: boolean,
  options?: StatOptions,
): Procedure<AnyStats | undefined> {
  const name = pathBytes(path);
  let vnode: Vnode;
  try {
    vnode = yield* resolve(context.walk(follow), name);
  } catch (error) {
    if (options?.throwIfNoEntry === false && hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
  vnode.holds--;
  return makeStats(vnode, options);
}

function makeStats(vnode: Vnode, options?: StatOptions): AnyStats {
  return options?.bigint === true ? new BigIntStats(vnode) : new Stats(vnode);
}

/** True if the path leads to something. Never throws. */
export function* exists(context: Context, path: PathArgument): Procedure<boolean> {
  try {
    const vnode = yield* resolve(context.walk(true), pathBytes(path));
    vnode.holds--;
    return true;
  } catch {
    return false;
  }
}

/**
 * Whether the volume's owner may: read-only snapshots refuse writing, files without x executing.
 */
export function* access(
  context: Context,
  path: PathArgument,
  wanted?: number | null,
): Procedure<void> {
  const mode = checkChoice(wanted, 7);
  const vnode = yield* resolve(context.walk(true), pathBytes(path));
  vnode.holds--;
  if ((mode & constants.W_OK) !== 0 && (vnode.realm.readOnly || context.engine.store.readOnly)) {
    throw new FilesystemError('EROFS', 'Cannot write here: it is read-only');
  }
  if ((mode & constants.X_OK) !== 0 && !vnode.isDirectory && (vnode.mode & 0o111) === 0) {
    throw new FilesystemError('EACCES', 'Cannot execute the file: no x bit is set');
  }
}

export function* chmod(context: Context, path: PathArgument, mode: unknown): Procedure<void> {
  const bits = requiredMode(mode);
  const vnode = yield* resolve(context.walk(true), pathBytes(path));
  yield* holding(vnode, () => setMode(context, vnode, bits));
}

export function* fchmod(context: Context, fd: number, mode: unknown): Procedure<void> {
  const bits = requiredMode(mode);
  yield* context.using(context.files.get(fd), ({ vnode }) => setMode(context, vnode, bits));
}

export function* chown(
  context: Context,
  path: PathArgument,
  uid: number,
  gid: number,
): Procedure<void> {
  yield* chownPath(context, path, { uid, gid, follow: true });
}

export function* lchown(
  context: Context,
  path: PathArgument,
  uid: number,
  gid: number,
): Procedure<void> {
  yield* chownPath(context, path, { uid, gid, follow: false });
}

export function* fchown(context: Context, fd: number, uid: number, gid: number): Procedure<void> {
  yield* context.using(context.files.get(fd), ({ vnode }) => setOwner(context, vnode, uid, gid));
}

export function* utimes(
  context: Context,
  path: PathArgument,
  atime: TimeArgument,
  mtime: TimeArgument,
): Procedure<void> {
  yield* utimesPath(context, path, {
    atime: timeOf(context, atime),
    mtime: timeOf(context, mtime),
    follow: true,
  });
}

export function* lutimes(
  context: Context,
  path: PathArgument,
  atime: TimeArgument,
  mtime: TimeArgument,
): Procedure<void> {
  yield* utimesPath(context, path, {
    atime: timeOf(context, atime),
    mtime: timeOf(context, mtime),
    follow: false,
  });
}

export function* futimes(
  context: Context,
  fd: number,
  atime: TimeArgument,
  mtime: TimeArgument,
): Procedure<void> {
  const times = {
    atime: timeOf(context, atime, 'atime'),
    mtime: timeOf(context, mtime, 'mtime'),
  };
  yield* context.using(context.files.get(fd), ({ vnode }) => setTimes(context, vnode, times));
}

export function* statfs(
  context: Context,
  path: PathArgument,
  options?: { readonly bigint?: boolean | undefined },
): Procedure<StatFs<number> | StatFs<bigint>> {
  const vnode = yield* resolve(context.walk(true), pathBytes(path));
  vnode.holds--;
  const { space, superblock } = context.engine.store;
  const numbers: StatFs<number> = {
    type: 0x72616d65,
    bsize: BLOCK_SIZE,
    blocks: superblock.geometry.blockCount,
    bfree: space.available,
    bavail: space.available,
    files: 2 ** 40,
    ffree: 2 ** 40 - context.engine.store.state.nextInode,
  };
  if (options?.bigint !== true) return numbers;
  const entries = Object.entries(numbers).map(([key, value]) => [key, BigInt(value)]);
  return Object.fromEntries(entries) as StatFs<bigint>;
}

export interface AttributeChange {
  readonly mask: number;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly atime?: Time;
  readonly mtime?: Time;
  /** Time of the change; now if it is left out. */
  readonly ctime?: Time;
}

/** Sets attributes of an inode. */
export function* setAttributes(
  context: Pick<Context, 'engine' | 'time'>,
  vnode: Vnode,
  change: AttributeChange,
): Procedure<void> {
  const time = change.ctime ?? context.time;
  const record: Mutation = {
    type: 'setattr',
    target: vnode.id,
    mask: change.mask,
    mode: change.mode ?? 0,
    uid: change.uid ?? 0,
    gid: change.gid ?? 0,
    atime: change.atime ?? time,
    mtime: change.mtime ?? time,
    time,
  };
  yield* run(context.engine.apply(record));
}

/** A mode argument that cannot be left out. */
function requiredMode(mode: unknown): number {
  if (mode === undefined || mode === null) throw argumentTypeError('mode', 'of type number', mode);
  return modeBits(mode, 0);
}

function setMode(context: Context, vnode: Vnode, mode: number): Procedure<void> {
  return setAttributes(context, vnode, { mask: AttributeMask.MODE, mode: mode & 0o7777 });
}

function* chownPath(
  context: Context,
  path: PathArgument,
  owner: { uid: number; gid: number; follow: boolean },
): Procedure<void> {
  const vnode = yield* resolve(context.walk(owner.follow), pathBytes(path));
  yield* holding(vnode, () => setOwner(context, vnode, owner.uid, owner.gid));
}

/** -1 leaves an id as it is. */
function* setOwner(context: Context, vnode: Vnode, uid: number, gid: number): Procedure<void> {
  checkInteger('uid', uid, -1, 4294967295);
  checkInteger('gid', gid, -1, 4294967295);
  const mask = (uid === -1 ? 0 : AttributeMask.UID) | (gid === -1 ? 0 : AttributeMask.GID);
  yield* setAttributes(context, vnode, { mask, uid: Math.max(0, uid), gid: Math.max(0, gid) });
}

function* utimesPath(
  context: Context,
  path: PathArgument,
  times: { atime: Time; mtime: Time; follow: boolean },
): Procedure<void> {
  const vnode = yield* resolve(context.walk(times.follow), pathBytes(path));
  yield* holding(vnode, () => setTimes(context, vnode, times));
}

function setTimes(
  context: Context,
  vnode: Vnode,
  times: { atime: Time; mtime: Time },
): Procedure<void> {
  const mask = AttributeMask.ATIME | AttributeMask.MTIME;
  return setAttributes(context, vnode, { mask, atime: times.atime, mtime: times.mtime });
}

/** Seconds since 1970 in decimal. */
const DECIMAL = /^(?<sign>-?)(?<whole>\d{1,12})(?:\.(?<fraction>\d{1,9}))?$/u;

/**
 * A time argument: a date, or seconds since 1970. Seconds in a string may have nine digits after
 * the point and are exact; as a number they are good to a quarter of a microsecond, and negative
 * ones mean now, as in Node.
 */
function timeOf(context: Context, time: TimeArgument, name = 'time'): Time {
  if (time instanceof Date && !Number.isNaN(time.getTime())) return timeFromMs(time.getTime());
  const decimal = typeof time === 'string' ? DECIMAL.exec(time)?.groups : undefined;
  if (decimal !== undefined) {
    const { sign, whole, fraction = '' } = decimal;
    const sec = Number(whole);
    const nsec = Number(fraction.padEnd(9, '0'));
    if (sign !== '-') return { sec, nsec };
    return nsec === 0 ? { sec: -sec, nsec } : { sec: -sec - 1, nsec: 1e9 - nsec };
  }
  const seconds = typeof time === 'string' ? Number(time) : time;
  if (typeof seconds !== 'number' || !Number.isFinite(seconds)) {
    throw argumentTypeError(name, 'an instance of Date or an Time in seconds', time);
  }
  if (seconds < 0 && typeof time === 'number') return context.time;
  const sec = Math.floor(seconds);
  return { sec, nsec: Math.min(999_999_999, Math.round((seconds - sec) * 1e9)) };
}
