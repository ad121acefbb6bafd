/**
 * Mount: finds the newest checkpoint and walks all that it names but data; and how a new image is
 * made.
 *
 * The walk says of every block what it is for, so nothing of that is stored; and it verifies every
 * checksum on its way, so what is mounted is whole but for data.
 */
import {
  BLOCK_SIZE,
  CorruptionError,
  FilesystemError,
  hex,
  PlainIo,
  type Plan,
  PlannedOperation,
} from 'ramet/base';
import { LogFilesystem, type LogOptions } from './filesystem.ts';
import {
  CHECKPOINTS,
  type Checkpoint,
  decodeCheckpoint,
  decodeInode,
  decodeTable,
  encodeCheckpoint,
  NO_SLOT,
  SLOTS_PER_BLOCK,
  type Slot,
} from './format.ts';
import { type Purpose, Use } from './space.ts';

/** Blocks that one turn looks at. */
const BATCH = 16;
const SEGMENT_BLOCKS = 128;
const SEGMENTS_MIN = 4;

/** A block that was named, with what it is for. */
interface Item {
  readonly slot: Slot;
  readonly purpose: Purpose;
}

const KINDS = {
  [Use.TABLE]: { name: 'table' },
  [Use.INODE]: { name: 'inode' },
  [Use.MAP]: { name: 'map block' },
} as Readonly<Record<Use, { name: string }>>;

/** Makes an empty image of a device's first `size` bytes. What was there is lost. */
export class Format extends PlannedOperation<void> {
  readonly #stages: PlainIo[][];

  /** @throws {FilesystemError} `EINVAL` if it is too small */
  constructor(size: number, { segmentBlocks = SEGMENT_BLOCKS } = {}) {
    super();
    const blocks = Math.floor(size / BLOCK_SIZE);
    if (blocks < SEGMENTS_MIN * segmentBlocks) {
      const finding = `${blocks} blocks, wanted ${SEGMENTS_MIN} segments of ${segmentBlocks}`;
      throw new FilesystemError('EINVAL', `Cannot format: ${finding}`);
    }
    const first = encodeCheckpoint({ generation: 1, blocks, segmentBlocks, tables: [] });
    const none = new Uint8Array(BLOCK_SIZE);
    this.#stages = [[new PlainIo('write', 0, [none, first])], [new PlainIo('flush')]];
  }

  protected override prepare(plan: Plan): void {
    for (const io of this.#stages[0] as PlainIo[]) if (!io.finished) plan.need(io);
  }

  protected override apply(): boolean {
    this.#stages.shift();
    return this.#stages.length > 0 ? false : this.finish(undefined);
  }
}

/** @throws {FilesystemError} `EINVAL` if there is no image, `EIO` if it is damaged */
export class Mount extends PlannedOperation<LogFilesystem> {
  readonly #size: number;
  readonly #options: LogOptions;
  readonly #read: PlainIo;
  #fs: LogFilesystem | undefined;
  #items: Item[] = [];

  /** `size`: bytes of the device. */
  constructor(size: number, options: LogOptions = {}) {
    super();
    this.#size = size;
    this.#options = options;
    this.#read = new PlainIo('read', 0, [new Uint8Array(CHECKPOINTS * BLOCK_SIZE)]);
  }

  protected override prepare(plan: Plan): void {
    if (!this.#read.finished) plan.need(this.#read);
    for (const { slot, purpose } of this.#items.slice(0, BATCH)) this.#want(slot, purpose, plan);
  }

  protected override apply(): boolean {
    if (this.#fs === undefined) {
      this.#fs = this.#begin();
      return false;
    }
    const { blocks } = this.#fs.pool;
    for (const { slot, purpose } of this.#items.splice(0, BATCH)) {
      this.#visit(this.#fs, slot, purpose, blocks.view(blocks.resident(slot.block)));
    }
    blocks.unpin(this.plan);
    return this.#items.length > 0 ? false : this.finish(this.#fs);
  }

  protected override release(): void {
    this.#fs?.pool.blocks.unpin(this.plan);
  }

  #begin(): LogFilesystem {
    const checkpoint = newest(this.#read.buffers[0] as Uint8Array);
    const { blocks, generation, tables } = checkpoint;
    if (blocks * BLOCK_SIZE > this.#size) {
      const finding = `the image has ${hex(blocks * BLOCK_SIZE)} bytes`;
      throw new FilesystemError('EINVAL', `Cannot mount ${hex(this.#size)} bytes: ${finding}`);
    }
    const fs = new LogFilesystem(checkpoint, this.#options);
    fs.generation = generation + 1;
    for (const [table, slot] of tables.entries()) {
      fs.tables.push(slot);
      this.#name(fs, slot, { use: Use.TABLE, owner: table, index: 0 });
    }
    return fs;
  }

  /** A slot names a block: it is in use, and to be visited unless it is data. */
  #name({ space }: LogFilesystem, slot: Slot, purpose: Purpose): void {
    if (slot.block === NO_SLOT.block) return;
    space.claim(slot.block, purpose);
    if (purpose.use !== Use.DATA) this.#items.push({ slot, purpose });
  }

  #want({ block, checksum }: Slot, { use }: Purpose, plan: Plan): void {
    this.#fs?.pool.blocks.want(plan, block, checksum, 0, KINDS[use]);
  }

  #visit(fs: LogFilesystem, slot: Slot, { use, owner, index }: Purpose, bytes: Uint8Array): void {
    if (use === Use.INODE) {
      this.#visitInode(fs, slot, owner, bytes);
      return;
    }
    for (const [i, named] of decodeTable(bytes).entries()) {
      const at = (use === Use.TABLE ? owner : index) * SLOTS_PER_BLOCK + i;
      if (use === Use.TABLE) this.#name(fs, named, { use: Use.INODE, owner: at, index: 0 });
      else this.#name(fs, named, { use: Use.DATA, owner, index: at });
    }
  }

  #visitInode(fs: LogFilesystem, slot: Slot, id: number, bytes: Uint8Array): void {
    const { name, size, maps } = decodeInode(bytes, id, slot.block);
    if (fs.names.has(name)) {
      throw new CorruptionError('inode', slot.block * BLOCK_SIZE, `a second file named ${name}`);
    }
    const file = Object.assign(fs.add(id, name), { size, slot });
    for (const [map, named] of maps.entries()) {
      if (named.block !== NO_SLOT.block) file.maps[map] = named;
      this.#name(fs, named, { use: Use.MAP, owner: id, index: map });
    }
  }
}

function newest(bytes: Uint8Array): Checkpoint {
  let found: Checkpoint | undefined;
  for (let place = 0; place < CHECKPOINTS; place++) {
    const start = place * BLOCK_SIZE;
    const checkpoint = decodeCheckpoint(bytes.subarray(start, start + BLOCK_SIZE));
    if (checkpoint === undefined) continue;
    if (found === undefined || checkpoint.generation > found.generation) found = checkpoint;
  }
  if (found !== undefined) return found;
  throw new FilesystemError('EINVAL', 'Cannot mount: neither checkpoint is valid');
}
