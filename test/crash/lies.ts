/**
 * Lies: what may be seen of an image on whose way a device has lied.
 *
 * Names and bytes are right, exactly as after an honest cut, or an error says that they are lost;
 * and only what a lie has touched is lost. What had been acknowledged is there, but for this:
 *
 * - What a commit had made durable needs a root at least as new. An older one is mounted only if
 *   both copies of a newer superblock, of its index or of its meta root are damaged; of what was
 *   acknowledged since, nothing is promised then.
 * - What only the log had made durable is lost with its frame, of which there is one copy, and with
 *   the data that its last frame names: that such a frame was cut off by a power cut is as likely.
 * - After a flush that was acknowledged and not done, nothing newer than the root before it is
 *   promised: that is what the flush was for.
 */
import { BLOCK_SIZE, checksum32, checksum64, errorCode } from '../../src/base/index.ts';
import {
  decodeSuperblock,
  type Geometry,
  hasSaneState,
  imageSeed,
  indexPlace,
  isFault,
  logFrameBlocks,
  mutationsOf,
  openLogFrame,
  SUPERBLOCKS,
  type Superblock,
  slotBlock,
  slotChecksum,
} from '../../src/format/index.ts';
import type { Strike } from '../../src/testing/index.ts';
import type { Ack } from './states.ts';

/** An acknowledgement, and the transaction group that contains what it was for. */
export interface LiedAck extends Ack {
  readonly txg: number;
}

/** Blocks of the medium that lies have touched, and whether a flush was lost. */
export class Touched {
  readonly blocks = new Set<number>();
  flushLost = false;

  constructor(strikes: Iterable<Strike> = []) {
    for (const { fault, position, length, beside } of strikes) {
      this.flushLost ||= fault.on === 'flush' && fault.effect === 'lose';
      this.#add(position, length);
      if (beside !== undefined) this.#add(beside, length);
    }
  }

  get any(): boolean {
    return this.flushLost || this.blocks.size > 0;
  }

  touches(blocks: Iterable<number>): boolean {
    if (this.flushLost) return true;
    for (const block of blocks) if (this.blocks.has(block)) return true;
    return false;
  }

  /** True if an error comes from a place that a lie has touched. */
  explains(error: unknown): boolean {
    if (errorCode(error) !== 'EIO') return false;
    if (this.flushLost) return true;
    const found = placesOf(error);
    // That the device does not keep what is written to it has no place.
    if (found.length === 0) return this.blocks.size > 0;
    return found.some(({ position, length }) => this.touches(blocksOf(position, length)));
  }

  #add(position: number, length: number): void {
    for (const block of blocksOf(position, length)) this.blocks.add(block);
  }
}

function* blocksOf(position: number, length: number): Generator<number> {
  const first = Math.floor(position / BLOCK_SIZE);
  for (let block = first; block * BLOCK_SIZE < position + length; block++) yield block;
}

/** Where an error and its causes say that something was found. */
function placesOf(error: unknown): { position: number; length: number }[] {
  const places: { position: number; length: number }[] = [];
  for (let at = error; at instanceof Error; at = at.cause) {
    if ('address' in at) places.push({ position: at.address as number, length: BLOCK_SIZE });
    if ('position' in at && 'length' in at) {
      places.push({ position: at.position as number, length: at.length as number });
    }
  }
  return places;
}

/** What an image has at its root and in its log, read without the engine. */
export class Roots {
  /** Of the newest root that is whole; 0 if there is none. */
  readonly txg: number;
  /** Blocks of all superblocks, indexes and meta roots. */
  readonly blocks = new Set<number>();
  /** Blocks of the log, and of the data that its frames name. */
  readonly logged = new Set<number>();
  readonly #image: Uint8Array;

  constructor(image: Uint8Array) {
    this.#image = image;
    let newest = 0;
    const end = image.length / BLOCK_SIZE - SUPERBLOCKS;
    for (let ring = 0; ring < SUPERBLOCKS; ring++) {
      for (const place of [ring, end + ring]) {
        this.blocks.add(place);
        const found = decodeSuperblock(this.#block(place));
        if (isFault(found) || !hasSaneState(found)) continue;
        if (this.#isWhole(found)) newest = Math.max(newest, found.state.txg);
        this.#readLog(found.geometry, imageSeed(found.uuid));
      }
    }
    this.txg = newest;
  }

  /** The acknowledgements that this image has to keep. Throws if it lacks one without a reason. */
  kept(acks: readonly LiedAck[], touched: Touched): LiedAck[] {
    const rootTouched = touched.touches(this.blocks);
    return acks.filter((ack) => {
      if (this.txg >= ack.txg) return true;
      if (touched.flushLost || rootTouched) return false;
      return ack.file !== undefined ? !touched.touches(this.logged) : true;
    });
  }

  #block(block: number, count = 1): Uint8Array {
    return this.#image.subarray(block * BLOCK_SIZE, (block + count) * BLOCK_SIZE);
  }

  #isWhole({ geometry, state, uuid }: Superblock): boolean {
    const seed = imageSeed(uuid);
    const { indexBlocks } = geometry;
    const places = ([0, 1] as const).map((copy) => indexPlace(geometry, state.indexPlace, copy));
    const root = slotBlock(state.metaRoot, 0);
    for (const place of places) {
      for (let i = 0; i < indexBlocks; i++) this.blocks.add(place + i);
    }
    for (const block of [root, root + 1]) this.blocks.add(block);
    const indexed = places.some(
      (place) => checksum64(this.#block(place, indexBlocks), seed) === state.indexChecksum,
    );
    const wanted = slotChecksum(state.metaRoot, 0);
    return indexed && [root, root + 1].some((at) => checksum32(this.#block(at), seed) === wanted);
  }

  #readLog({ logStart, logBlocks }: Geometry, seed: bigint): void {
    if (this.logged.has(logStart)) return;
    for (let at = 0; at < logBlocks; at++) {
      this.logged.add(logStart + at);
      const count = logFrameBlocks(this.#block(logStart + at));
      if (count === 0 || at + count > logBlocks) continue;
      const frame = openLogFrame(this.#block(logStart + at, count), seed);
      if (frame === undefined) continue;
      for (const mutation of mutationsOf(frame)) {
        if (mutation.type !== 'write') continue;
        for (const { block, length } of mutation.runs) {
          for (let i = 0; i < length; i++) this.logged.add(block + i);
        }
      }
    }
  }
}
