/**
 * Mappings: what a filesystem answers when it is asked where a range of a file is.
 *
 * A write that must copy has two sides. The *destination* is the space for the new bytes; the
 * *sources* say where the old bytes are that the write does not replace. One destination may have
 * several sources, and a hole is a source like any other: what it covers is zeroed, not read.
 *
 *   field        set by              read by            valid
 *   type         the filesystem      every operation    until the turn ends
 *   flags        the filesystem      write, writeback   "
 *   offset       the filesystem      every operation    "   file bytes, block-aligned
 *   length       the filesystem      every operation    "   bytes, above 0
 *   address      the filesystem      read, write        "   MAPPED: device bytes
 *   checksums    the filesystem      read, write        "   MAPPED: one word per block, or none
 *   inline       the filesystem      read, write        "   INLINE: the file's bytes from 0 on
 *
 * P1. The first source of a read, and the destination of a write, cover the first byte asked for.
 * P2. Sources follow each other without gaps; those of a write cover every block that
 *     `request.edges` names and no block that it does not. A destination may end before the range
 *     that was asked for does; with EVERY it ends where the sources do.
 * P3. An answer is used in the turn in which it was given. After a wait everything is asked anew.
 */
import { assert, type Plan } from '../base/index.ts';
import type { IomapFile } from './file.ts';

export const MappingType = {
  /** Nothing is there; reads as zeros. */
  HOLE: 0,
  /** Space is reserved and has no address yet. Destinations of buffered writes only. */
  DELALLOC: 1,
  /** On the device, at `address`. */
  MAPPED: 2,
  /** Space is promised; reads as zeros. */
  UNWRITTEN: 3,
  /** In memory, at `inline`. */
  INLINE: 4,
} as const;
export type MappingType = (typeof MappingType)[keyof typeof MappingType];

export const MappingFlag = {
  /** This very call reserved the space: what is not written has to be given back. */
  NEW: 1,
  /** Others use the same blocks. Set in answers to reports, for all blocks of a source or none. */
  SHARED: 2,
} as const;

/** Why a range is asked for. */
export const RequestFlag = {
  READ: 0,
  /** A destination is wanted, and sources for the edges. */
  WRITE: 1,
  /** Extents are being listed: whether they are {@link MappingFlag.SHARED} has to be told too. */
  REPORT: 2,
} as const;
export type RequestFlag = (typeof RequestFlag)[keyof typeof RequestFlag];

/** Which blocks of a write keep some of their old bytes and so need a source. */
export const Edge = {
  NONE: 0,
  HEAD: 1,
  TAIL: 2,
  /** All of them: the write gives blocks another place and leaves their bytes as they are. */
  EVERY: 4,
} as const;

export class Mapping {
  type: MappingType = MappingType.HOLE;
  flags = 0;
  offset = 0;
  length = 0;
  address = 0;
  /** Words that hold the checksums, every `checksumStride` words from `checksumAt` on. */
  checksums: Uint32Array | undefined;
  checksumAt = 0;
  checksumStride = 1;
  /** The block after each block of the mapping is its second copy. */
  twin = false;
  inline: Uint8Array | undefined;

  set(type: MappingType, offset: number, length: number): this {
    this.type = type;
    this.flags = 0;
    this.offset = offset;
    this.length = length;
    this.address = 0;
    this.checksums = undefined;
    this.checksumAt = 0;
    this.checksumStride = 1;
    this.inline = undefined;
    this.twin = false;
    return this;
  }

  get end(): number {
    return this.offset + this.length;
  }
}

/** A question; reused by whoever asks. */
export class MappingRequest {
  offset = 0;
  length = 0;
  flag: RequestFlag = RequestFlag.READ;
  /** Bits of {@link Edge}: which blocks need a source. Writes only. */
  edges = 0;
  /** All of it will be mapped in one turn, if at all: a direct write. */
  whole = false;
}

/**
 * An answer; owned by whoever asks, filled by the filesystem, reused. Nothing is allocated twice.
 */
export class MappingAnswer {
  readonly destination: Mapping = new Mapping();
  readonly sources: Mapping[] = [];
  sourceCount = 0;
  /**
   * Of a write behind the first block: bytes from file offset 0 that the filesystem kept inline and
   * no longer can. They become dirty data in the same turn.
   */
  moved: Uint8Array | undefined;
  /** What the filesystem has promised for this answer: its own to use, seen again in `end`. */
  readonly promise = { blocks: 0, nodes: 0, cost: 0, drawn: 0 };

  clear(): void {
    this.sourceCount = 0;
    this.moved = undefined;
  }

  /** The next source to fill. */
  addSource(): Mapping {
    let source = this.sources[this.sourceCount];
    if (source === undefined) {
      source = new Mapping();
      this.sources.push(source);
    }
    this.sourceCount++;
    return source;
  }

  /** Leaves `count` sources. */
  cut(count: number): true {
    this.sourceCount = count;
    return true;
  }

  /** The source that covers file byte `offset`. */
  sourceAt(offset: number): Mapping {
    for (let i = 0; i < this.sourceCount; i++) {
      const source = this.sources[i] as Mapping;
      if (offset >= source.offset && offset < source.end) return source;
    }
    assert(false, `no source covers file offset ${offset}`);
    return this.destination;
  }
}

/** What was done with a destination. */
export interface WriteOutcome {
  /** Bytes written from the request's offset; 0 if nothing was. */
  written: number;
  /** Blocks that were clean before and are dirty now. */
  newBlocks: number;
  /** Folios that had no dirty block before and have one now. */
  newFolios: number;
}

/** Whole blocks that become a hole, and the size of the file then. */
export interface UnmapRange {
  /** File bytes, a multiple of the block size. */
  readonly start: number;
  /** The byte after the last, a multiple of the block size; `Infinity` for all there is. */
  readonly end: number;
  readonly size: number;
}

/** What a filesystem has to know. It is called inside a turn and must not wait. */
export interface MappingOps {
  /**
   * Answers for the range of `request`, or says in `plan` what is missing and returns false. For a
   * write it reserves the space of the whole destination and whatever it takes to map it later;
   * nothing else changes. Throws to refuse: `ENOSPC`, `EROFS`, `EFBIG`.
   */
  begin(file: IomapFile, request: MappingRequest, answer: MappingAnswer, plan: Plan): boolean;
  /**
   * Ends every write that began, in the same turn: keeps the reservation of what became dirty,
   * takes back the rest, and knows now that the file has changed.
   */
  end(file: IomapFile, request: MappingRequest, answer: MappingAnswer, outcome: WriteOutcome): void;
  /** Makes sure that {@link unmap} cannot miss. */
  planUnmap(file: IomapFile, range: UnmapRange, plan: Plan): boolean;
  /**
   * Makes a hole of the blocks in a range, and sets the size. Dirty data in the range is gone
   * already: `dropped` says what need not be reserved any more. Bytes of an inline file in these
   * blocks or after the size are the filesystem's to clear.
   */
  unmap(file: IomapFile, range: UnmapRange, dropped: { blocks: number; folios: number }): void;
}
