/**
 * OverlayDevice: a base that is only read, and a private layer that takes every write.
 *
 * Any number of overlays, in any number of processes, share one base. A block (4 KiB) is *present*
 * once it has been written: then it is read from the layer, and before that from the base, or as
 * zeros behind the base's end. A write that covers a part of an absent block takes the rest from
 * the base, so that a present block is always whole. `overlay-layout.ts` has the layer's bytes.
 *
 * L1. A presence bit goes to the layer only after a flush that covers the block it speaks for. Bits
 *     are only ever set, so a torn bitmap is a mix of two bitmaps that were both true.
 * L2. The size in the header goes to the layer only after a flush that covers the zones of that
 *     size. The header fits one sector, so it is never torn.
 * L3. A block becomes present in memory only when its write has completed; until then it reads from
 *     the base, and no other write touches it.
 *
 * Where an overlay fails to write, absent blocks still read from the base.
 */
import {
  assert,
  BLOCK_SIZE,
  CorruptionError,
  DeviceError,
  roundDown,
  roundUp,
} from '../base/index.ts';
import { BufferCursor, totalLength } from './buffers.ts';
import { all, Latch, run, type Steps, Turnstile } from './completion.ts';
import type { Completion, Device } from './device.ts';
import { guard, guardSize } from './guard.ts';
import {
  baseChecksum,
  bitmapAddress,
  dataAddress,
  decodeHeader,
  encodeHeader,
  IDENTITY_HEAD,
  IDENTITY_TAIL,
  layerSize,
  type OverlayHeader,
  overlayError,
  zonesFor,
} from './overlay-layout.ts';
import { type Piece, Presence, zoneParts } from './presence.ts';

export interface OverlayOptions {
  /** Never written. It must not change while any overlay of it exists, and stays the caller's. */
  readonly base: Device;
  /** Belongs to the overlay, which closes it. Grown as needed. If read-only, the overlay is too. */
  readonly layer: Device;
  /** Makes a new overlay; whatever the layer holds is lost. Default false. */
  readonly create?: boolean;
}

/** Absent blocks that are being written (L3), `end` excluded. */
interface Making {
  readonly first: number;
  readonly end: number;
  readonly latch: Latch;
}

/** Bitmaps read at once when an overlay opens. */
const BITMAP_BATCH = 64;

export class OverlayDevice implements Device {
  readonly name: string;
  readonly sync: boolean;
  readonly readOnly: boolean;
  readonly #base: Device;
  readonly #layer: Device;
  #header: OverlayHeader = { size: 0, baseSize: 0, baseChecksum: 0n };
  readonly #presence = new Presence();
  readonly #making = new Set<Making>();
  /** One flush or grow at a time: bitmaps and header must not overtake themselves. */
  readonly #turnstile = new Turnstile();
  #closed = false;

  private constructor({ base, layer }: OverlayOptions) {
    this.name = `${layer.name} over ${base.name}`;
    this.sync = base.sync && layer.sync;
    this.readOnly = layer.readOnly;
    this.#base = base;
    this.#layer = layer;
  }

  /**
   * Opens the overlay in `layer`, or makes one there. A new overlay is durable when this is done.
   * After an error both devices are still open and the caller's, and an interrupted creation leaves
   * a layer that does not open.
   *
   * @throws {DeviceError} `EINVAL` if `layer` holds no overlay, or one of another base
   * @throws {CorruptionError} if the header is damaged, or the layer is shorter than it says
   */
  static async open(options: OverlayOptions): Promise<OverlayDevice> {
    const overlay = new OverlayDevice(options);
    await run(overlay.#start(options.create ?? false));
    return overlay;
  }

  /** {@link open} for devices that are `sync`. @throws {DeviceError} `ENOTSUP` if one is not */
  static openSync(options: OverlayOptions): OverlayDevice {
    const overlay = new OverlayDevice(options);
    if (!overlay.sync) {
      const finding = `${overlay.name} is not sync; use OverlayDevice.open`;
      throw new DeviceError('ENOTSUP', { operation: 'open', position: 0, length: 0, finding });
    }
    const completion = run(overlay.#start(options.create ?? false));
    assert(completion === undefined, 'a sync device returned a promise');
    return overlay;
  }

  get size(): number {
    return this.#header.size;
  }

  get closed(): boolean {
    return this.#closed;
  }

  read(position: number, buffer: Uint8Array): Completion {
    return this.readv(position, [buffer]);
  }

  readv(position: number, buffers: readonly Uint8Array[]): Completion {
    const length = totalLength(buffers);
    guard(this, 'read', position, length);
    const cursor = new BufferCursor(buffers);
    return all(
      this.#presence.pieces(position, length).map((piece) => {
        const part = cursor.take(piece.length);
        return () =>
          piece.present
            ? this.#layer.readv(dataAddress(piece.position), part)
            : this.#readBase(piece.position, part);
      }),
    );
  }

  write(position: number, buffer: Uint8Array): Completion {
    return this.writev(position, [buffer]);
  }

  /** After an error each present block is written or not, in parts; absent blocks are as before. */
  writev(position: number, buffers: readonly Uint8Array[]): Completion {
    const length = totalLength(buffers);
    guard(this, 'write', position, length);
    return length === 0 ? undefined : run(this.#write(position, buffers, length));
  }

  /** One flush of the layer; two, if blocks became present since the last one. */
  flush(): Completion {
    guard(this, 'flush', 0, 0);
    return run(this.#turnstile.pass(this.#flush()));
  }

  /** Passed on for blocks that are present; the base has nothing to give back. */
  discard(position: number, length: number): Completion {
    guard(this, 'discard', position, length);
    const pieces = this.#wholeBlocks(position, length).filter((piece) => piece.present);
    return all(
      pieces.map((piece) => () => this.#layer.discard(dataAddress(piece.position), piece.length)),
    );
  }

  prepare(position: number, length: number): Completion {
    guard(this, 'prepare', position, length);
    return all(
      this.#wholeBlocks(position, length).map(
        (piece) => () => this.#layer.prepare(dataAddress(piece.position), piece.length),
      ),
    );
  }

  /** Grows the layer first and flushes it. The new size itself is durable with the next flush. */
  grow(size: number): Completion {
    guardSize(this, 'grow', size);
    return run(this.#turnstile.pass(this.#grow(size)));
  }

  /** Closes the layer. The base stays open. */
  close(): Completion {
    if (this.#closed) return undefined;
    this.#closed = true;
    return this.#layer.close();
  }

  *#start(create: boolean): Steps {
    const baseSize = this.#base.size;
    const head = new Uint8Array(Math.min(IDENTITY_HEAD, baseSize));
    const tail = new Uint8Array(Math.min(IDENTITY_TAIL, baseSize));
    yield this.#base.read(0, head);
    yield this.#base.read(baseSize - tail.length, tail);
    const identity = { baseSize, baseChecksum: baseChecksum(head, tail) };
    if (create) yield* this.#create({ ...identity, size: baseSize });
    else yield* this.#load(identity);
  }

  *#create(header: OverlayHeader): Steps {
    // Should an older overlay be here, it must not come back to life with half its bitmaps.
    if (this.#layer.size >= BLOCK_SIZE) {
      yield this.#layer.write(0, new Uint8Array(BLOCK_SIZE));
      yield this.#layer.flush();
    }
    yield* this.#resize(header);
    yield this.#layer.flush();
  }

  *#load(identity: Omit<OverlayHeader, 'size'>): Steps {
    const block = new Uint8Array(Math.min(BLOCK_SIZE, this.#layer.size));
    yield this.#layer.read(0, block);
    if (block.length < BLOCK_SIZE) throw overlayError(`${this.#layer.name} is too short`);
    const header = decodeHeader(block, this.#layer.name);
    const { baseSize, baseChecksum } = identity;
    if (header.baseSize !== baseSize || header.baseChecksum !== baseChecksum) {
      throw overlayError(
        `${this.#layer.name} belongs to another base, or ${this.#base.name} has changed since`,
      );
    }
    if (layerSize(header.size) > this.#layer.size) {
      const finding = `it needs ${layerSize(header.size)} bytes, the layer has ${this.#layer.size}`;
      throw new CorruptionError('overlay header', 0, finding);
    }
    this.#header = header;
    while (this.#presence.zones < zonesFor(header.size)) yield* this.#loadBitmaps();
  }

  /** Reads the next few bitmaps. */
  *#loadBitmaps(): Steps {
    const first = this.#presence.zones;
    const count = Math.min(BITMAP_BATCH, zonesFor(this.size) - first);
    const bitmaps = Array.from({ length: count }, () => new Uint8Array(BLOCK_SIZE));
    yield all(bitmaps.map((bits, i) => () => this.#layer.read(bitmapAddress(first + i), bits)));
    this.#presence.append(bitmaps);
  }

  *#grow(size: number): Steps {
    if (size > this.size) yield* this.#resize({ ...this.#header, size });
  }

  /** Makes room in the layer for `header.size` and then writes the header (L2). */
  *#resize(header: OverlayHeader): Steps {
    const oldLayerSize = this.#layer.size;
    if (layerSize(header.size) > oldLayerSize) yield this.#layer.grow(layerSize(header.size));
    // What is new of the layer is zeros; bitmaps in what is not are made so.
    const added: Uint8Array[] = [];
    for (let zone = this.#presence.zones; zone < zonesFor(header.size); zone++) {
      const bits = new Uint8Array(BLOCK_SIZE);
      if (bitmapAddress(zone) < oldLayerSize) yield this.#layer.write(bitmapAddress(zone), bits);
      added.push(bits);
    }
    yield this.#layer.flush();
    yield this.#layer.write(0, encodeHeader(header));
    this.#presence.append(added);
    this.#header = header;
  }

  *#flush(): Steps {
    // Only what has completed by now is covered by the flush that follows (L1).
    const bitmaps = this.#presence.takeUnsaved();
    try {
      yield this.#layer.flush();
      if (bitmaps.length === 0) return;
      yield all(
        bitmaps.map(
          ({ zone, bits }) =>
            () =>
              this.#layer.write(bitmapAddress(zone), bits),
        ),
      );
      yield this.#layer.flush();
    } catch (error) {
      this.#presence.giveBack(bitmaps);
      throw error;
    }
  }

  *#write(position: number, buffers: readonly Uint8Array[], length: number): Steps {
    const first = Math.floor(position / BLOCK_SIZE);
    const end = Math.ceil((position + length) / BLOCK_SIZE);
    // While we wait the world changes: look again from the start each time.
    for (let other = this.#maker(first, end); other; other = this.#maker(first, end)) {
      yield other.latch.opened;
      guard(this, 'write', position, length);
    }
    if (this.#presence.pieces(position, length).every((piece) => piece.present)) {
      yield this.#writeLayer(position, buffers, length);
      return;
    }
    const making = { first, end, latch: new Latch() };
    this.#making.add(making);
    try {
      yield* this.#make(position, buffers, length);
      this.#presence.add(position, length);
    } finally {
      this.#making.delete(making);
      making.latch.open();
    }
  }

  /** Writes the range, together with what is missing of absent blocks at its two ends. */
  *#make(position: number, buffers: readonly Uint8Array[], length: number): Steps {
    const end = position + length;
    const start = this.#presence.has(position) ? position : roundDown(position, BLOCK_SIZE);
    const stop = this.#presence.has(end - 1) ? end : roundUp(end, BLOCK_SIZE);
    const head = new Uint8Array(position - start);
    const tail = new Uint8Array(stop - end);
    yield all([() => this.#readBase(start, [head]), () => this.#readBase(end, [tail])]);
    yield this.#writeLayer(start, [head, ...buffers, tail], stop - start);
  }

  /** A write in flight that makes one of these blocks present. */
  #maker(first: number, end: number): Making | undefined {
    for (const making of this.#making) {
      if (making.first < end && first < making.end) return making;
    }
    return undefined;
  }

  /** Writes to the places of these blocks, present or not. */
  #writeLayer(position: number, buffers: readonly Uint8Array[], length: number): Completion {
    const cursor = new BufferCursor(buffers);
    return all(
      zoneParts(position, length).map((part) => {
        const views = cursor.take(part.length);
        return () => this.#layer.writev(dataAddress(part.position), views);
      }),
    );
  }

  /** Reads absent blocks: the base as far as it goes, then zeros. */
  #readBase(position: number, buffers: readonly Uint8Array[]): Completion {
    const length = totalLength(buffers);
    const inBase = Math.min(Math.max(this.#base.size - position, 0), length);
    const cursor = new BufferCursor(buffers);
    const views = cursor.take(inBase);
    for (const behind of cursor.take(length - inBase)) behind.fill(0);
    return inBase === 0 ? undefined : this.#base.readv(position, views);
  }

  /** The pieces of the blocks that lie wholly within a range. */
  #wholeBlocks(position: number, length: number): Piece[] {
    const start = roundUp(position, BLOCK_SIZE);
    const end = roundDown(position + length, BLOCK_SIZE);
    return end > start ? this.#presence.pieces(start, end - start) : [];
  }
}
