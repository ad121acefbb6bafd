/**
 * Calls: what clients may ask of a volume that somebody else has, by name.
 *
 * A request is `{ id, call, args }`, its answer `{ id, value }` or `{ id, error }`; before it there
 * may be `{ id, progress }`. `{ id, cancel: true }` ends a call under way, which is answered with
 * what that came to. The first call of a client is `hello`. A client of this process may make every
 * call of the API, and is asked for what the functions among its arguments answer.
 */
import type {
  Change,
  DefragOptions,
  Extent,
  Locator,
  PathArgument,
  ScrubOptions,
  TrimOptions,
} from '../../api/index.ts';
import { Volume } from '../../api/index.ts';

/** Of the protocol; a client of another one is refused. */
export const PROTOCOL = 1;

export interface Answer {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: unknown;
  readonly progress?: unknown;
  /** In place of a value. */
  readonly made?: Made;
}

/** Who the client is, for what he makes. */
export interface Hello {
  readonly protocol: number;
  readonly uid: number;
  readonly gid: number;
  readonly umask: number;
  /** Numbers of his open files begin above it. */
  readonly firstFile?: number | undefined;
}

/** What a client of this process sends with a call. */
export interface Request {
  readonly id: number;
  readonly call: string;
  readonly args: readonly unknown[];
  /** His time, if he has a clock of his own. */
  readonly now?: number | undefined;
}

/** The volume's side wants a function of the client's called; the client answers with `reply`. */
export interface Ask {
  readonly id: number;
  /** Which function of the call. */
  readonly ask: number;
  readonly number: number;
  readonly args: readonly unknown[];
}

/** What stays where the volume is, and the client has by its handle. */
export type Made =
  | { readonly kind: 'view'; readonly handle: number; readonly name: string }
  | { readonly kind: 'entries'; readonly handle: number; readonly path: string }
  | { readonly kind: 'pin'; readonly handle: number; readonly extents: readonly Extent[] };

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

/** Of the volume itself, and what needs memory of both sides. */
const METHODS_LEFT_OUT: ReadonlySet<string> = new Set([
  'constructor',
  'close',
  'closeSync',
  'diff',
  'diffSync',
  'map',
  'mapSync',
  'moveBack',
  'moveOut',
  'releaseDevice',
  'trace',
]);

/** The methods of a volume that are made where it is, just as they are made by the client. */
export const METHODS: ReadonlySet<string> = new Set(
  methodsOf(Volume.prototype).filter((name) => !METHODS_LEFT_OUT.has(name)),
);

/** Those of a class and of all it is derived from. */
function methodsOf(prototype: object): string[] {
  const above = Object.getPrototypeOf(prototype) as object | null;
  if (above === null) return [];
  const own = Object.entries(Object.getOwnPropertyDescriptors(prototype));
  const names = own.filter(([, { value }]) => typeof value === 'function').map(([name]) => name);
  return [...names, ...methodsOf(above)];
}

/** Synchronous calls that take their time: made by their promises, while the client waits. */
const LONG_SYNC: ReadonlySet<string> = new Set([...Object.keys(LONG_CALLS), 'cp', 'rm']);

/** The name of the promise form of a call that takes its time. */
export function promisedName(method: string): string | undefined {
  if (!method.endsWith('Sync')) return method;
  const name = method.slice(0, -'Sync'.length);
  return LONG_SYNC.has(name) ? name : undefined;
}
