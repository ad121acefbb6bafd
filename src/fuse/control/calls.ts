/**
 * Calls: what clients may ask of a volume that somebody else has, by name.
 *
 * A request is `{ id, call, args }`, its answer `{ id, value }` or `{ id, error }`; before it there
 * may be `{ id, progress }`. `{ id, cancel: true }` ends a call under way, which is answered with
 * what that came to. The first call of a client is `hello`.
 */
import type {
  Change,
  DefragOptions,
  Locator,
  PathArgument,
  ScrubOptions,
  TrimOptions,
  Volume,
} from '../../api/index.ts';

/** Of the protocol; a client of another one is refused. */
export const PROTOCOL = 1;

export interface Answer {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: unknown;
  readonly progress?: unknown;
}

/** Who the client is, for what he makes. */
export interface Hello {
  readonly protocol: number;
  readonly uid: number;
  readonly gid: number;
  readonly umask: number;
}

/** What a client is told of the volume once. */
export interface Welcome {
  readonly label: string;
  readonly readOnly: boolean;
}

/** Differences that one answer brings, at most. */
export const CHANGES_MAX = 256;

export interface ChangeBatch {
  readonly changes: readonly Change[];
  readonly done: boolean;
}

/** What calls that take their time are given beside their arguments. */
export interface LongUse {
  readonly signal: AbortSignal;
  readonly progress: (value: unknown) => void;
}

type Arguments = readonly unknown[];
type LongCall = (volume: Volume, args: Arguments, use: LongUse) => Promise<unknown>;

/** Calls that give up their turn: the mount is served meanwhile. */
export const LONG_CALLS: Readonly<Record<string, LongCall>> = {
  space: (volume, [locator], use) => volume.space(locator as Locator, use),
  extents: (volume, [locator], use) => volume.extents(locator as Locator, use),
  reclaim: (volume, _, use) => volume.reclaim(use),
  sync: (volume) => volume.sync(),
  resize: (volume, [size]) => volume.resize(size as number),
  shorten: (volume) => volume.shorten(),
  trim: (volume, [options], { signal }) =>
    volume.trim({ ...(options as TrimOptions | undefined), signal }),
  defrag: (volume, [path, options], use) =>
    volume.defrag(path as PathArgument, { ...(options as DefragOptions | undefined), ...use }),
  scrub: (volume, [options], use) =>
    volume.scrub({ ...(options as ScrubOptions | undefined), ...use }),
};

/** Synchronous calls of a volume that end in the turn in which they are asked for. */
export const SHORT_CALLS: ReadonlySet<string> = new Set([
  'cloneSync',
  'snapshotSync',
  'snapshotsSync',
  'deleteSnapshotSync',
]);

/** Calls of `fs` that take their time. The client waits, the mount does not. */
export const LONG_FS_CALLS: Readonly<Record<string, 'rm' | 'cp'>> = { rmSync: 'rm', cpSync: 'cp' };

/** Calls of `fs` that are not made just so: with a buffer to be filled, or files to be closed. */
const FS_LEFT_OUT: ReadonlySet<string> = new Set([
  'readSync',
  'readvSync',
  'writevSync',
  'opendirSync',
  'openSync',
  'closeSync',
]);

/** True if a call of the synchronous `fs` is made at the volume just as the client makes it. */
export function isPlainFsCall(fs: object, name: string): boolean {
  return name.endsWith('Sync') && Object.hasOwn(fs, name) && !FS_LEFT_OUT.has(name);
}
