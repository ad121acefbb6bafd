/**
 * Mount: finds the newest root that is whole.
 *
 * All copies of the superblock are read, at the start of the image and at its end. The newest one
 * whose own checksum, group index and meta root verify is taken; an older one is taken if the
 * newest was damaged after it had been written.
 *
 * While the size of a volume changes its superblocks do not agree where the end is, and each has
 * its second copy where it says itself.
 */
import {
  BLOCK_SIZE,
  CorruptionError,
  checksum32,
  checksum64,
  FilesystemError,
  PlainIo,
  type Plan,
  PlannedOperation,
  roundDown,
  type Txg,
  wordsOf,
} from '../base/index.ts';
import {
  decodeSuperblock,
  hasSaneState,
  imageSeed,
  indexLength,
  indexPlace,
  isFault,
  SUPERBLOCKS,
  type Superblock,
  type SuperblockFault,
  slotBlock,
  slotChecksum,
  slotFlags,
  superblockPlace,
  TWIN,
} from '../format/index.ts';

/** A root that is whole. */
export interface Mounted {
  /**
   * Its superblock. The txg is that of the newest superblock seen, whole or not: what comes next
   * has to be newer than a root that was passed over and may be readable again some day.
   */
  readonly superblock: Superblock;
  /** The txg of the root itself. */
  readonly rootTxg: Txg;
  /** The group index it names. */
  readonly index: Uint32Array;
  /** Its place in the ring. */
  readonly ring: number;
  /** Blocks that the volume has according to other superblocks, where they say otherwise. */
  readonly sizes: readonly number[];
  /** What was found damaged on the way, and could be done without. */
  readonly findings: readonly Error[];
}

interface Candidate {
  readonly superblock: Superblock;
  readonly ring: number;
}

const Phase = { START: 0, END: 1, INDEX: 2, ROOT: 3 } as const;

/**
 * @throws {FilesystemError} `EINVAL` if there is no volume, or one of a newer format; `EIO` if it
 * is damaged
 */
export class Mount extends PlannedOperation<Mounted> {
  readonly #deviceSize: number;
  #phase: number = Phase.START;
  #io: PlainIo[] = [];
  /** Copies of the index or of the meta root that were not read yet. */
  #copies: PlainIo[] = [];
  /** Of the newest root passed over: why nothing is mounted if there is no other. */
  #damage: CorruptionError | undefined;
  readonly #faults: SuperblockFault[] = [];
  readonly #findings: Error[] = [];
  #candidates: Candidate[] = [];
  #sizes: number[] = [];
  #newestTxg = 0 as Txg;
  #index: Uint32Array | undefined;

  /** `deviceSize` in bytes. */
  constructor(deviceSize: number) {
    super();
    this.#deviceSize = deviceSize;
    if (deviceSize < 2 * SUPERBLOCKS * BLOCK_SIZE) throw notAVolume(`it has ${deviceSize} bytes`);
    this.#readSuperblocks(0);
  }

  protected override prepare(plan: Plan): void {
    for (const io of this.#io) if (!io.finished && io.error === undefined) plan.need(io);
  }

  /** A copy that cannot be read is as good as one that is damaged: the next one is looked at. */
  override fail(error: Error): void {
    const copy = this.#io.some((io) => io.error === error);
    if (!copy || this.done) super.fail(error);
    this.#findings.push(error);
  }

  protected override apply(): boolean {
    switch (this.#phase) {
      case Phase.START:
        this.#collect();
        this.#readEnds();
        return false;
      case Phase.END:
        this.#collect();
        this.#rank();
        return this.#readIndex();
      case Phase.INDEX:
        return this.#checkIndex();
      default:
        return this.#checkRoot();
    }
  }

  /** Each on its own: one that cannot be read says nothing about the others. */
  #readSuperblocks(first: number): void {
    for (let ring = 0; ring < SUPERBLOCKS; ring++) this.#io.push(reads(first + ring, 1));
  }

  /** Decodes the superblocks that were read. Those of an end count if they say that it is there. */
  #collect(): void {
    this.#io.forEach((io, i) => {
      if (!io.finished) return;
      const ring = i % SUPERBLOCKS;
      const found = decodeSuperblock(io.buffers[0] as Uint8Array);
      if (isFault(found)) this.#faults.push(found);
      else if (!hasSaneState(found)) {
        this.#faults.push({ kind: 'damaged', finding: 'its counters cannot be' });
      } else {
        const { blockCount } = found.geometry;
        const place = superblockPlace(blockCount, ring, this.#phase === Phase.START ? 0 : 1);
        if (io.position === place * BLOCK_SIZE) this.#candidates.push({ superblock: found, ring });
      }
    });
    this.#io = [];
  }

  /** The copies at the end: wherever a good superblock says, or else at the end of the device. */
  #readEnds(): void {
    this.#phase = Phase.END;
    const deviceBlocks = roundDown(this.#deviceSize, BLOCK_SIZE) / BLOCK_SIZE;
    const stated = new Set(this.#candidates.map((found) => found.superblock.geometry.blockCount));
    for (const blocks of stated.size === 0 ? [deviceBlocks] : stated) {
      if (blocks <= deviceBlocks) this.#readSuperblocks(superblockPlace(blocks, 0, 1));
    }
  }

  /** Newest first. */
  #rank(): void {
    if (this.#candidates.length === 0) throw this.#nothingFound();
    this.#candidates.sort((a, b) => b.superblock.state.txg - a.superblock.state.txg);
    const newest = this.#candidates[0]?.superblock as Superblock;
    this.#newestTxg = newest.state.txg;
    const seed = imageSeed(newest.uuid);
    this.#candidates = this.#candidates.filter(
      ({ superblock }, i, all) =>
        imageSeed(superblock.uuid) === seed &&
        superblock.state.txg !== all[i - 1]?.superblock.state.txg,
    );
    const { blockCount } = newest.geometry;
    if (!this.#fits(newest)) {
      throw new FilesystemError(
        'EIO',
        `Cannot mount: the image has ${this.#deviceSize} bytes, its volume ` +
          `${blockCount * BLOCK_SIZE}; it has been cut off`,
      );
    }
    this.#sizes = this.#candidates.map(({ superblock }) => superblock.geometry.blockCount);
    this.#candidates = this.#candidates.filter(({ superblock }) => this.#fits(superblock));
  }

  #fits({ geometry }: Superblock): boolean {
    return geometry.blockCount * BLOCK_SIZE <= this.#deviceSize;
  }

  #readIndex(): false {
    this.#phase = Phase.INDEX;
    const { geometry, state } = this.#candidate().superblock;
    this.#copies = ([0, 1] as const).map((copy) =>
      reads(indexPlace(geometry, state.indexPlace, copy), indexLength(geometry)),
    );
    this.#readCopy();
    return false;
  }

  /**
   * Reads the next copy. They lie side by side: read together they would be one transfer, and one
   * that goes wrong would be taken for damage of both.
   */
  #readCopy(): boolean {
    const next = this.#copies.shift();
    if (next !== undefined) this.#io = [next];
    return next !== undefined;
  }

  #checkIndex(): boolean {
    const { superblock } = this.#candidate();
    const good = this.#io.find(
      (io) =>
        io.finished &&
        checksum64(io.buffers[0] as Uint8Array, imageSeed(superblock.uuid)) ===
          superblock.state.indexChecksum,
    );
    if (good === undefined) {
      if (this.#readCopy()) return false;
      return this.#next(this.#io[0]?.position ?? 0, 'group index', 'no copy has its checksum');
    }
    this.#index = wordsOf(good.buffers[0] as Uint8Array);
    this.#phase = Phase.ROOT;
    this.#io = [];
    const root = superblock.state.metaRoot;
    if (slotBlock(root, 0) + 2 > superblock.geometry.blockCount) {
      return this.#next(slotBlock(root, 0) * BLOCK_SIZE, 'meta root', 'it is outside the volume');
    }
    const copies = (slotFlags(root, 0) & TWIN) !== 0 ? [0, 1] : [0];
    this.#copies = copies.map((copy) => reads(slotBlock(root, 0) + copy, 1));
    this.#readCopy();
    return false;
  }

  #checkRoot(): boolean {
    const { superblock, ring } = this.#candidate();
    const root = superblock.state.metaRoot;
    const seed = imageSeed(superblock.uuid);
    const good = this.#io.some(
      (io) =>
        io.finished && checksum32(io.buffers[0] as Uint8Array, seed) === slotChecksum(root, 0),
    );
    if (!good) {
      if (this.#readCopy()) return false;
      return this.#next(slotBlock(root, 0) * BLOCK_SIZE, 'meta root', 'no copy has its checksum');
    }
    const state = { ...superblock.state, txg: this.#newestTxg };
    return this.finish({
      superblock: { ...superblock, state },
      rootTxg: superblock.state.txg,
      index: this.#index as Uint32Array,
      ring,
      sizes: this.#sizes.filter((blocks) => blocks !== superblock.geometry.blockCount),
      findings: this.#findings,
    });
  }

  /** The newest root is damaged: the one before it is tried. */
  #next(address: number, structure: string, finding: string): false {
    const damage = new CorruptionError(structure, address, finding);
    this.#damage ??= damage;
    this.#findings.push(damage);
    this.#candidates.shift();
    if (this.#candidates.length === 0) throw this.#damage;
    return this.#readIndex();
  }

  #candidate(): Candidate {
    return this.#candidates[0] as Candidate;
  }

  #nothingFound(): Error {
    const newer = this.#faults.find(({ kind }) => kind === 'newer');
    if (newer !== undefined) {
      return new FilesystemError('EINVAL', `Cannot mount: ${newer.finding}`);
    }
    const damaged = this.#faults.find(({ kind }) => kind === 'damaged');
    if (damaged !== undefined) {
      return new FilesystemError('EIO', `Cannot mount: no superblock is whole; ${damaged.finding}`);
    }
    return this.#findings[0] ?? notAVolume(this.#faults[0]?.finding ?? 'it has no superblock');
  }
}

/** A read of whole blocks. */
function reads(block: number, count: number): PlainIo {
  return new PlainIo('read', block * BLOCK_SIZE, [new Uint8Array(count * BLOCK_SIZE)]);
}

function notAVolume(finding: string): FilesystemError {
  return new FilesystemError('EINVAL', `Cannot mount: not a ramet volume, ${finding}`);
}

/**
 * Makes durable what the device has. A root may have been found that somebody wrote and had no time
 * to flush: before it is, nothing that the root before it needs may be written over.
 */
export class FlushDevice extends PlannedOperation<void> {
  readonly #flush = new PlainIo('flush');

  protected override prepare(plan: Plan): void {
    if (!this.#flush.finished) plan.need(this.#flush);
  }

  protected override apply(): boolean {
    return this.finish(undefined);
  }
}
