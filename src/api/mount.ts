/**
 * Mount: from a device to an engine that runs, with a new volume made first if that was asked for.
 */
import {
  argumentError,
  BLOCK_SIZE,
  FilesystemError,
  GIB,
  KIB,
  MIB,
  type Operation,
} from '../base/index.ts';
import type { Device } from '../device/index.ts';
import {
  type CountWidth,
  LABEL_MAX,
  mutationsOf,
  type SealedLogFrame,
  timeFromMs,
} from '../format/index.ts';
import type { Memory } from '../iomap/index.ts';
import {
  assembleEngine,
  type CreateOptions,
  type Engine,
  FlushDevice,
  FormatVolume,
  type FoundLog,
  lookup,
  Mount,
  type Mounted,
  newSuperblock,
  Probe,
  ReadLog,
  readEntries,
  recover,
  type VolumeParts,
  Wipe,
} from '../volume/index.ts';
import { type Procedure, run } from './procedure.ts';

export interface VolumeOptions {
  /** Make a volume if there is none: on an empty device, or in a file that does not exist. */
  readonly create?: boolean | undefined;
  /** Make a volume whatever there is; what there was is lost. */
  readonly overwrite?: boolean | undefined;
  /** Bytes of a new volume; the whole device if it is left out, 16 GiB for a new file. */
  readonly size?: number | undefined;
  /** Memory for blocks, counts and inodes, at least 4 MiB; 256 MiB if it is left out. */
  readonly cacheBytes?: number | undefined;
  readonly readOnly?: boolean | undefined;
  /** Name of a new volume, up to 64 bytes. */
  readonly label?: string | undefined;
  /** Blocks of an allocation group of a new volume, a power of two from 256 to 32,768. */
  readonly groupBlocks?: number | undefined;
  /** Blocks of the log of a new volume. */
  readonly logBlocks?: number | undefined;
  /**
   * log2 of the bits of the widest count of a new volume, 1 to 4; 4 if it is left out. A block
   * whose count is at the limit (3 with a 1) is copied instead of shared once more; with low limits
   * that may be all the blocks of a node in one step, which needs `cacheBytes` of 16 MiB or more.
   */
  readonly countCap?: CountWidth | undefined;
  /**
   * Bytes of the aligned units of a file that are kept together when they are overwritten at
   * different times: 0, or a power of two from 8 KiB to 1 MiB. Without it, a file that is
   * overwritten here and there ends in pieces of 4 KiB; with it, space for the rest of a unit is
   * held, as long as there is enough, until it is written, space is short, or the file has not been
   * used for a while. It belongs to this use of the volume and is not stored. The idea is XFS's
   * CoW extent size hint. 0 if it is left out.
   */
  readonly extentSize?: number | undefined;
  /** Owner of new files; the process's own, or 0 where there is none. */
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  /** Permission bits that new files do not get; the process's own, or 022. */
  readonly umask?: number | undefined;
  /** Milliseconds after which changes become durable by themselves; 5,000 if it is left out. */
  readonly commitIntervalMs?: number | undefined;
  /** Milliseconds since 1970, with a fraction. */
  readonly now?: (() => number) | undefined;
}

export const DEFAULT_SIZE = 16 * GIB;
const DEFAULT_CACHE = 256 * MIB;
const MINIMUM_CACHE = 4 * MIB;
/**
 * To replay the log, all that it changes has to be in memory: of most mutations, which take about
 * 100 bytes, a few nodes. Those that may change many (H3 of log-records.ts) get the whole.
 */
const REPLAY_CACHE = 16 * MIB;
const REPLAY_FACTOR = 256;
/**
 * Of `cacheBytes`: an eighth for counts, and a quarter, up to 64 MiB, for inodes. An inode in
 * memory has 1 KiB; with what is made and dropped around it, and not collected yet, the JavaScript
 * heap grows by 8 KiB. The rest are blocks.
 */
const COUNT_PARTS = 8;
const INODE_PARTS = 4;
const INODE_BYTES_MAX = 64 * MIB;
const INODE_BYTES = 8 * KIB;
const VNODES_MIN = 256;

/** @throws {RangeError} if an option is outside its limits; nothing was touched */
export function checkOptions(options: VolumeOptions): void {
  const { cacheBytes, label, extentSize = 0 } = options;
  if (cacheBytes !== undefined && !(cacheBytes >= MINIMUM_CACHE)) {
    throw argumentError(
      `Cannot use cacheBytes ${cacheBytes}: at least ${MINIMUM_CACHE} are needed`,
    );
  }
  const isUnit = Number.isInteger(Math.log2(extentSize)) && extentSize >= 2 * BLOCK_SIZE;
  if (extentSize !== 0 && !(isUnit && extentSize <= MIB)) {
    throw argumentError(
      `Cannot use extentSize ${extentSize}: wanted 0 or a power of two from 8192 to 1048576`,
    );
  }
  if (label !== undefined && new TextEncoder().encode(label).length > LABEL_MAX) {
    throw argumentError(`Cannot use the label: it is longer than ${LABEL_MAX} bytes`);
  }
}

/** What the caller wants, and whether his device makes nobody wait. */
interface Settings extends VolumeOptions {
  readonly immediate: boolean;
  readonly memory: Memory | undefined;
}

/** Opens the volume on a device. */
export function* mountVolume(device: Device, options: VolumeOptions): Procedure<Engine> {
  checkOptions(options);
  const memory = device.view?.bind(device);
  const settings = { ...options, immediate: device.sync, memory };
  const wanted = options.create === true || options.overwrite === true;
  if (!wanted) return yield* openEngine(device, settings, yield* run(new Mount(device.size)));
  const content = yield* run(new Probe(device.size));
  if (options.overwrite !== true) {
    if (content === 'volume') {
      return yield* openEngine(device, settings, yield* run(new Mount(device.size)));
    }
    if (content === 'foreign') {
      throw new FilesystemError(
        'EEXIST',
        `Cannot create a volume on ${device.name}: it holds something else, ` +
          'which overwriting loses',
      );
    }
  }
  return yield* createEngine(device, settings);
}

function* openEngine(
  device: Device,
  options: Settings,
  mounted: Mounted,
  recovered = false,
): Procedure<Engine> {
  const { readOnlyCompatible } = mounted.superblock;
  const readOnly = options.readOnly === true || device.readOnly;
  if (readOnlyCompatible !== 0 && !readOnly) {
    throw new FilesystemError(
      'EROFS',
      `Cannot mount for writing: features 0x${readOnlyCompatible.toString(16)} are not known`,
    );
  }
  if (!readOnly && !recovered) yield* run(new FlushDevice());
  const log = yield* run(new ReadLog(mounted.superblock, mounted.rootTxg));
  if (log.end.moved) {
    if (recovered) {
      const finding = `${device.name} has not kept what was written to it`;
      throw new FilesystemError('EIO', `Cannot mount: ${finding}`);
    }
    const engine = yield* replayLog(options, mounted, log, readOnly);
    if (readOnly) return engine;
    yield* run(engine.commit());
    // The memory that replaying took is given back before the volume is used.
    return yield* openEngine(device, options, yield* run(new Mount(device.size)), true);
  }
  const engine = makeEngine(options, mounted, readOnly);
  yield* run(engine.load());
  if (!readOnly) yield* freeOrphans(engine);
  return engine;
}

function* replayLog(
  options: Settings,
  mounted: Mounted,
  log: FoundLog,
  readOnly: boolean,
): Procedure<Engine> {
  const bytes = log.frames.reduce((sum, frame) => sum + frame.bytes.length, 0);
  const few = Math.min(DEFAULT_CACHE, REPLAY_CACHE + REPLAY_FACTOR * bytes);
  const wanted = log.frames.some(changesMuch) ? DEFAULT_CACHE : few;
  const cacheBytes = Math.max(wanted, options.cacheBytes ?? 0);
  const engine = makeEngine({ ...options, cacheBytes }, mounted, readOnly);
  yield* run(engine.load());
  yield* recover(engine, log);
  return engine;
}

function changesMuch(frame: SealedLogFrame): boolean {
  for (const { type } of mutationsOf(frame)) {
    if (type === 'fallocate' || type === 'clone-range' || type === 'setxattr') return true;
  }
  return false;
}

function* createEngine(device: Device, options: Settings): Procedure<Engine> {
  if (options.readOnly === true || device.readOnly) {
    throw new FilesystemError('EROFS', `Cannot create a volume on ${device.name}: it is read-only`);
  }
  const now = (options.now ?? Date.now)();
  const size = options.size ?? device.size;
  if (size > device.size) {
    throw new FilesystemError(
      'ENOSPC',
      `Cannot create a volume of ${size} bytes: ${device.name} has ${device.size}`,
    );
  }
  const { groupBlocks, logBlocks, countCap, label } = options;
  const create: CreateOptions = {
    size,
    groupBlocks,
    logBlocks,
    countCap,
    label,
    now,
    uuid: makeUuid(),
    hashSeed: crypto.getRandomValues(new BigUint64Array(1))[0] as bigint,
  };
  const { superblock, index } = newSuperblock(create);
  yield* run(new Wipe(superblock.geometry, device.size));
  const engine = makeEngine(options, { superblock, index, ring: -1 }, false);
  const root = { mode: 0o755, uid: options.uid ?? 0, gid: options.gid ?? 0, time: timeFromMs(now) };
  yield* run(new FormatVolume(engine, root));
  yield* run(engine.commit());
  return engine;
}

function makeEngine(options: Settings, parts: VolumeParts, readOnly: boolean): Engine {
  const cacheBytes = options.cacheBytes ?? DEFAULT_CACHE;
  const countCapacity = Math.floor(cacheBytes / COUNT_PARTS);
  const inodeBytes = Math.min(INODE_BYTES_MAX, Math.floor(cacheBytes / INODE_PARTS));
  return assembleEngine(parts, {
    cacheBytes: cacheBytes - countCapacity - inodeBytes,
    countCapacity,
    vnodeLimit: Math.max(VNODES_MIN, Math.floor(inodeBytes / INODE_BYTES)),
    readOnly,
    now: options.now ?? Date.now,
    extentBlocks: (options.extentSize ?? 0) / BLOCK_SIZE,
    immediate: options.immediate,
    memory: options.memory,
  });
}

/** Inodes without names that were open when the volume was last used: nobody has them now. */
function* freeOrphans(engine: Engine): Procedure<void> {
  for (;;) {
    const entries = yield* run(readEntries(engine, engine.orphans, 0));
    if (entries.length === 0) return;
    for (const { name } of entries) {
      const vnode = yield* run(lookup(engine, engine.orphans, name));
      vnode.unlinked = true;
      vnode.holds--;
      yield* run(engine.closed(vnode) as Operation<void>);
    }
  }
}

/** A random UUID, version 4. */
function makeUuid(): Uint8Array {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] as number) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80;
  return bytes;
}
