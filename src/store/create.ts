/**
 * Create: what a volume is before anything is in it, and what a device is before there is a volume.
 */
import {
  BLOCK_SIZE,
  PlainIo,
  type Plan,
  PlannedOperation,
  roundDown,
  type Txg,
} from '../base/index.ts';
import {
  type Geometry,
  type GeometryRequest,
  indexLength,
  MAGIC,
  planGeometry,
  SUPERBLOCKS,
  type Superblock,
  superblockPlace,
  timeFromMs,
  VERSION_MAJOR,
  VERSION_MINOR,
} from '../format/index.ts';
import { writeNewEntry } from './group.ts';

export interface CreateOptions extends GeometryRequest {
  readonly uuid: Uint8Array;
  readonly hashSeed: bigint;
  readonly label?: string | undefined;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** The lowest inode number that files get; those below are the volume's own. */
export const FIRST_INODE = 16;
/** The realm of the live volume. */
export const FIRST_REALM = 1;

/**
 * What a volume is before its first commit, txg 1. @throws {RangeError} if it cannot be laid out
 */
export function newSuperblock(options: CreateOptions): {
  superblock: Superblock;
  index: Uint32Array;
} {
  const geometry = planGeometry(options);
  const created = timeFromMs(options.now);
  const index = newIndex(geometry);
  const superblock: Superblock = {
    major: VERSION_MAJOR,
    minor: VERSION_MINOR,
    compatible: 0,
    readOnlyCompatible: 0,
    incompatible: 0,
    uuid: options.uuid,
    created,
    hashSeed: options.hashSeed,
    label: options.label ?? '',
    geometry,
    state: {
      txg: 0 as Txg,
      committed: created,
      indexPlace: 1,
      indexChecksum: 0n,
      metaRoot: new Uint32Array(4),
      nextInode: FIRST_INODE,
      nextRealm: FIRST_REALM + 1,
      freeBlocks: 0,
      reservedBlocks: 0,
      logTail: 0,
      logSequence: 0,
    },
  };
  return { superblock, index };
}

function newIndex(geometry: Geometry): Uint32Array {
  const words = new Uint32Array((indexLength(geometry) * BLOCK_SIZE) / 4);
  for (let g = 0; g < geometry.groupCount; g++) writeNewEntry(words, geometry, g);
  return words;
}

/**
 * Takes away whatever volume was on the device: no superblock of it is left, at the start, at the
 * end of the new volume, or at the end of the device. Durable when it ends.
 */
export class Wipe extends PlannedOperation<void> {
  #io: PlainIo[];
  #flushing = false;

  constructor(geometry: Geometry, deviceSize: number) {
    super();
    const end = roundDown(deviceSize, BLOCK_SIZE) / BLOCK_SIZE;
    const { blockCount } = geometry;
    const places = [0, superblockPlace(blockCount, 0, 1), end - SUPERBLOCKS];
    const zeros = new Uint8Array(SUPERBLOCKS * BLOCK_SIZE);
    this.#io = places.map((block) => new PlainIo('write', block * BLOCK_SIZE, [zeros]));
  }

  protected override prepare(plan: Plan): void {
    for (const io of this.#io) if (!io.finished) plan.need(io);
  }

  protected override apply(): boolean {
    if (this.#flushing) return this.finish(undefined);
    this.#flushing = true;
    this.#io = [new PlainIo('flush')];
    return false;
  }
}

/** What the beginning of a device looks like. */
export type DeviceContent = 'volume' | 'blank' | 'foreign';

/** Looks whether there is a volume on a device, or nothing at all, or something else. */
export class Probe extends PlannedOperation<DeviceContent> {
  readonly #head: PlainIo;

  constructor(deviceSize: number) {
    super();
    const length = Math.min(deviceSize, SUPERBLOCKS * BLOCK_SIZE);
    this.#head = new PlainIo('read', 0, [new Uint8Array(length)]);
  }

  protected override prepare(plan: Plan): void {
    if (!this.#head.finished) plan.need(this.#head);
  }

  protected override apply(): boolean {
    const head = this.#head.buffers[0] as Uint8Array;
    const starts = Array.from({ length: SUPERBLOCKS }, (_, slot) => slot * BLOCK_SIZE);
    const isVolume = starts.some((at) => MAGIC.every((byte, i) => head[at + i] === byte));
    if (isVolume) return this.finish('volume');
    return this.finish(head.every((byte) => byte === 0) ? 'blank' : 'foreign');
  }
}
