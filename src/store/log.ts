/**
 * Intent log: what was done since the last commit, durable with one flush.
 *
 * Every mutation of the open txg is kept in memory, encoded, in the order in which it happened.
 * When somebody asks for durability, all that no frame has yet becomes one frame of the ring
 * (flush-log.ts). A mount replays the frames that came after its root. What a commit makes durable
 * is dropped here, and its frames are free to be overwritten.
 *
 * J1. Frames hold mutations in order, without gaps: a frame is written only after the flush of the
 *     one before it has succeeded. So only the last frame can be torn.
 * J2. What is left of txg N goes into a frame of its own before anything of N + 1, unless the
 *     superblock of N is durable by then. So the first frame after a root belongs to the txg after
 *     it; where nothing was done in that txg, the next one waits until its superblock is durable. A
 *     mount of a root whose successor was lost takes no frame of what came after that.
 * J3. Frames from the tail of the newest durable superblock on are not overwritten.
 * J4. The data that a `write` names reached the device before its frame was written; one flush
 *     covers both, and the checksums in the record tell whether it did. The data of a
 *     `write-inline` is in the frame.
 *
 * Where the log has no room, or has lost track, whoever asks gets a commit instead. It is lost when
 * more is done between two frames than a frame may hold: who imports a tree and never asks for
 * durability does not pay for it.
 */
import { assert, BLOCK_SIZE, MIB, roundUp, type Txg } from '../base/index.ts';
import {
  encodeMutation,
  type Geometry,
  LOG_HEADER_SIZE,
  logFrameChecksum,
  type Mutation,
  mutationSize,
  sealLogFrame,
} from '../format/index.ts';

/**
 * Most bytes of a frame, about 9,000 creations, and of the frames that a mount may have to replay.
 */
const FRAME_MAX = MIB;
const REPLAY_MAX = 16 * MIB;
const NO_BYTES = new Uint8Array(0);
/** Bytes of a buffer at first. */
const BUFFER_MIN = 16384;

/** Mutations of one txg that no frame has. */
class Segment {
  readonly epoch: Txg;
  /** Number of the first one. */
  operation: number;
  records = 0;
  /** A frame in the making: room for the header, then the mutations. */
  bytes: Uint8Array;
  length = LOG_HEADER_SIZE;
  /** Some are not here: only a commit makes them durable. */
  lost = false;

  constructor(epoch: Txg, operation: number, bytes: Uint8Array) {
    this.epoch = epoch;
    this.operation = operation;
    this.bytes = bytes;
  }
}

/** A frame on its way to the device. */
export interface FrameWrite {
  /** Block of the device. */
  readonly block: number;
  readonly bytes: Uint8Array;
  /** Mutations that are durable when it is. */
  readonly operation: number;
}

/** Where the next frame goes. */
export interface LogPlace {
  /** Block of the log, from its start. */
  readonly head: number;
  readonly sequence: number;
}

/** Where the log of a volume goes on. */
export interface LogEnd extends LogPlace {
  /** True if a mount would not look for a frame there before a commit has been made. */
  readonly moved: boolean;
}

/** What a txg that has closed leaves in the log: where it ends. */
interface Closed extends LogPlace {
  readonly txg: Txg;
  readonly operation: number;
}

export class IntentLog {
  /** Mutations since the mount, and how many of them are durable. */
  operation = 0;
  durable = 0;
  /** True if a commit has to be made before the next frame, whatever has changed. */
  moved = false;
  readonly #start: number;
  readonly #blocks: number;
  readonly #seed: bigint;
  readonly #frameMax: number;
  /** Oldest block that a mount needs, and where the next frame goes. */
  #tail = 0;
  #head = 0;
  #sequence = 0;
  #previous = 0n;
  /** In order; the last one is that of the open txg. */
  #segments: Segment[];
  /** The txg of the newest frame or of the newest durable root, whichever is newer (J2). */
  #reached: number;
  #closed: Closed[] = [];
  /** Blocks before this one were prepared. Nothing is prepared twice. */
  #prepared = 0;
  #spare: Uint8Array | undefined;

  constructor(geometry: Geometry, seed: bigint, epoch: Txg) {
    this.#start = geometry.logStart;
    this.#blocks = geometry.logBlocks;
    this.#seed = seed;
    this.#frameMax = Math.min(FRAME_MAX, (this.#blocks >>> 1) * BLOCK_SIZE);
    this.#segments = [new Segment(epoch, 0, NO_BYTES)];
    this.#reached = epoch - 1;
  }

  /** The log goes on here: called once, before anything is written. */
  goOn({ head, sequence, moved }: LogEnd): void {
    this.#head = head % this.#blocks;
    this.#tail = this.#head;
    this.#sequence = sequence;
    this.moved = moved;
  }

  /** Blocks from the first frame that a mount would replay to where the next one goes. */
  get used(): number {
    return (this.#head - this.#tail + this.#blocks) % this.#blocks;
  }

  /** As many as there can be of these. */
  get size(): number {
    return Math.min(this.#blocks - 1, REPLAY_MAX / BLOCK_SIZE);
  }

  /** False if what is told is dropped. */
  get isKeeping(): boolean {
    return !this.#open.lost;
  }

  /** True if `bytes` of data leave room for what others do before the next frame. */
  takesData(bytes: number): boolean {
    return this.isKeeping && this.#open.length + bytes <= this.#frameMax / 2;
  }

  /** Adds what was done. */
  append(record: Mutation): void {
    this.operation++;
    const segment = this.#open;
    if (segment.lost) return;
    const end = segment.length + mutationSize(record);
    if (end > this.#frameMax) {
      this.lose();
      return;
    }
    if (end > segment.bytes.length) segment.bytes = grown(segment.bytes, end);
    segment.length = encodeMutation(record, segment.bytes, segment.length);
    segment.records++;
  }

  /** Something was done, and the log is lost anyway. */
  pass(): void {
    this.operation++;
  }

  /** Something was done that no mutation tells of, or too much. */
  lose(): void {
    this.operation++;
    const segment = this.#open;
    segment.lost = true;
    segment.records = 0;
    this.#keep(segment.bytes);
    segment.bytes = NO_BYTES;
  }

  /** The txg closes, the next one is `epoch`. Where a mount of its root begins to replay. */
  close(txg: Txg, epoch: Txg): LogPlace {
    this.moved = false;
    const end = { head: this.#head, sequence: this.#sequence };
    this.#closed.push({ ...end, txg, operation: this.operation });
    this.#segments.push(new Segment(epoch, this.operation, this.#takeBuffer()));
    return end;
  }

  /** The root of `txg` is durable, and with it all that the txg did. */
  committed(txg: Txg): void {
    for (const closed of this.#closed) {
      if (closed.txg > txg) continue;
      this.#tail = closed.head;
      this.durable = Math.max(this.durable, closed.operation);
    }
    this.#closed = this.#closed.filter((closed) => closed.txg > txg);
    this.#reached = Math.max(this.#reached, txg);
    for (const { epoch, bytes } of this.#segments) if (epoch <= txg) this.#keep(bytes);
    this.#segments = this.#segments.filter(({ epoch }) => epoch > txg);
  }

  /**
   * What was done has changed nothing that a commit would write. Its mutations stay: those that
   * come after them count on their numbers, and on the inodes that they introduce.
   */
  forget(): void {
    this.durable = this.operation;
  }

  /** True if a txg that has closed is not all in frames, and its commit has to be waited for. */
  get needsClosed(): boolean {
    const [first] = this.#segments;
    return (first !== this.#open && first?.lost === true) || this.#hasGap;
  }

  /** True if the next frame is of a txg that does not follow what is durable (J2). */
  get #hasGap(): boolean {
    const epoch = this.#oldest?.epoch;
    return epoch !== undefined && epoch > this.#reached + 1;
  }

  /** True if the oldest mutations without a frame can get one now. */
  get canSeal(): boolean {
    const segment = this.#oldest;
    return (
      !this.moved &&
      !this.#hasGap &&
      segment !== undefined &&
      !segment.lost &&
      this.#place(framed(segment)) !== undefined
    );
  }

  /**
   * Blocks of the device, at most about `most`, that the coming frames are written to and that
   * were not named here since the mount; none, if the next frame's place was.
   */
  unprepared(most: number): { readonly block: number; readonly count: number } {
    const count = framed(this.#oldest as Segment);
    const place = this.#place(count) as number;
    const end = place < this.#tail ? this.#tail : this.#blocks;
    if (place + count <= this.#prepared) return { block: 0, count: 0 };
    const first = Math.max(place, Math.min(this.#prepared, place + count));
    this.#prepared = Math.min(end, Math.max(first + most, place + count));
    return { block: this.#start + first, count: this.#prepared - first };
  }

  /** The oldest mutations without a frame get one. {@link canSeal} was true. */
  seal(): FrameWrite {
    const segment = this.#oldest as Segment;
    const blocks = framed(segment);
    const place = this.#place(blocks);
    assert(place !== undefined, 'a frame is sealed where it has a place');
    if (segment.bytes.length < blocks * BLOCK_SIZE) {
      segment.bytes = grown(segment.bytes, blocks * BLOCK_SIZE);
    }
    const bytes = segment.bytes.subarray(0, blocks * BLOCK_SIZE);
    bytes.fill(0, segment.length);
    const { epoch, operation, records, length } = segment;
    const header = { sequence: this.#sequence, epoch, operation, previous: this.#previous };
    sealLogFrame(bytes, header, { length: length - LOG_HEADER_SIZE, records }, this.#seed);
    this.#sequence++;
    this.#reached = epoch;
    this.#previous = logFrameChecksum(bytes);
    this.#head = (place + blocks) % this.#blocks;
    segment.operation += records;
    segment.records = 0;
    segment.length = LOG_HEADER_SIZE;
    segment.bytes = this.#takeBuffer();
    return { block: this.#start + place, bytes, operation: segment.operation };
  }

  /** The device has a frame, for good. */
  written(frame: FrameWrite): void {
    this.durable = Math.max(this.durable, frame.operation);
    this.#keep(new Uint8Array(frame.bytes.buffer));
  }

  get #open(): Segment {
    return this.#segments[this.#segments.length - 1] as Segment;
  }

  get #oldest(): Segment | undefined {
    return this.#segments.find(({ records, lost }) => lost || records > 0);
  }

  /** Where `count` blocks go; undefined if there is no place, or if a mount would take too long. */
  #place(count: number): number | undefined {
    const [head, tail, blocks] = [this.#head, this.#tail, this.#blocks];
    if (this.used + count > this.size) return undefined;
    if (head < tail) return head + count < tail ? head : undefined;
    if (head + count <= blocks && (head + count) % blocks !== tail) return head;
    return count < tail ? 0 : undefined;
  }

  /** A buffer that nobody needs is used again: the host takes its time to hand out memory. */
  #keep(bytes: Uint8Array): void {
    if (bytes.length > (this.#spare?.length ?? 0)) this.#spare = bytes;
  }

  #takeBuffer(): Uint8Array {
    const spare = this.#spare ?? new Uint8Array(BUFFER_MIN);
    this.#spare = undefined;
    return spare;
  }
}

function framed(segment: Segment): number {
  return roundUp(segment.length, BLOCK_SIZE) / BLOCK_SIZE;
}

/** The same bytes in a buffer of whole blocks that holds at least `length`. */
function grown(bytes: Uint8Array, length: number): Uint8Array {
  const larger = new Uint8Array(
    roundUp(Math.max(BUFFER_MIN, 2 * bytes.length, length), BLOCK_SIZE),
  );
  larger.set(bytes);
  return larger;
}
