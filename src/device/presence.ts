/** Presence: which blocks of an overlay its layer holds. One bitmap a zone, as they lie on disk. */
import { BLOCK_SIZE, roundDown } from '../base/index.ts';
import { ZONE_BLOCKS, zoneOf } from './overlay-layout.ts';

/** A part of a range whose blocks are all present, or all absent, and lie in one zone. */
export interface Piece {
  readonly present: boolean;
  readonly position: number;
  readonly length: number;
}

/** A bitmap as the layer is to have it. */
export interface Bitmap {
  readonly zone: number;
  readonly bits: Uint8Array;
}

export class Presence {
  readonly #zones: Uint8Array[] = [];
  /** Zones with bits that the layer does not have yet. */
  readonly #unsaved = new Set<number>();

  /** Zones with a bitmap here. */
  get zones(): number {
    return this.#zones.length;
  }

  /** Appends the bitmaps of the next zones, which become this object's own. */
  append(bitmaps: readonly Uint8Array[]): void {
    this.#zones.push(...bitmaps);
  }

  /** True if the block of byte `position` is present. */
  has(position: number): boolean {
    const block = Math.floor(position / BLOCK_SIZE);
    const index = block % ZONE_BLOCKS;
    return ((this.#bits(zoneOf(block))[index >>> 3] as number) & (1 << (index & 7))) !== 0;
  }

  /** Makes every block present that the range touches. */
  add(position: number, length: number): void {
    const end = Math.ceil((position + length) / BLOCK_SIZE);
    for (let block = Math.floor(position / BLOCK_SIZE); block < end; block++) {
      const bits = this.#bits(zoneOf(block));
      const index = block % ZONE_BLOCKS;
      bits[index >>> 3] = (bits[index >>> 3] as number) | (1 << (index & 7));
      this.#unsaved.add(zoneOf(block));
    }
  }

  /** Copies of the bitmaps that the layer does not have. From now on they count as saved. */
  takeUnsaved(): Bitmap[] {
    const bitmaps = [...this.#unsaved].map((zone) => ({ zone, bits: this.#bits(zone).slice() }));
    this.#unsaved.clear();
    return bitmaps;
  }

  /** These did not reach the layer after all. */
  giveBack(bitmaps: readonly Bitmap[]): void {
    for (const { zone } of bitmaps) this.#unsaved.add(zone);
  }

  /** Cuts a range wherever the zone or the presence of its blocks changes. */
  pieces(position: number, length: number): Piece[] {
    const pieces: Piece[] = [];
    for (const part of zoneParts(position, length)) {
      const end = part.position + part.length;
      for (let start = part.position; start < end; ) {
        const present = this.has(start);
        let stop = roundDown(start, BLOCK_SIZE) + BLOCK_SIZE;
        while (stop < end && this.has(stop) === present) stop += BLOCK_SIZE;
        stop = Math.min(stop, end);
        pieces.push({ present, position: start, length: stop - start });
        start = stop;
      }
    }
    return pieces;
  }

  #bits(zone: number): Uint8Array {
    return this.#zones[zone] as Uint8Array;
  }
}

/** Cuts a range at zone boundaries. Each part is one run of the layer. */
export function zoneParts(
  position: number,
  length: number,
): { position: number; length: number }[] {
  const parts: { position: number; length: number }[] = [];
  const end = position + length;
  for (let start = position; start < end; ) {
    const zone = zoneOf(Math.floor(start / BLOCK_SIZE));
    const stop = Math.min(end, (zone + 1) * ZONE_BLOCKS * BLOCK_SIZE);
    parts.push({ position: start, length: stop - start });
    start = stop;
  }
  return parts;
}
