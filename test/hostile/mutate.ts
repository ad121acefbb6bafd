/**
 * Mutate: an image with something in it that should not be there, as a seed has it.
 *
 * *Raw* mutations change bytes, as a failing disk would: checksums tell. *Sealed* ones change a
 * field, a slot, a count, a record, and put every checksum right again, as somebody would who means
 * harm: what is wrong reaches the code behind the checksums.
 */
import { BLOCK_SIZE, BLOCK_WORDS } from '../../src/base/index.ts';
import {
  clearSlot,
  MAP_FANOUT,
  SLOT_WORDS,
  SlotKind,
  setSlot,
  slotBirth,
  slotChecksum,
  slotFlags,
  TWIN,
} from '../../src/format/index.ts';
import { Random } from '../../src/testing/index.ts';
import { ImageEditor } from '../check/image-editor.ts';
import { LogImage, mutateFrames } from './logs.ts';
import { changeRecords } from './records.ts';
import { type Field, Survey } from './survey.ts';

/** Bytes as a failing disk changes them, or fields with every checksum put right again. */
export type MutationKind = 'raw' | 'sealed';

export interface Mutation {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** What was done, in words. */
  readonly what: string;
}

/** What a sealed mutation is made of; a way that is here more often is taken more often. */
const WAYS = [
  'field',
  'field',
  'field',
  'field',
  'field',
  'splice',
  'splice',
  'redirect',
  'redirect',
  'redirect',
  'hole',
  'fan',
  'count',
  'noise',
  'exchange',
  'records',
  'records',
  'records',
  'log',
] as const;

/** Counts at the limits of all widths. */
const COUNTS = [0, 0, 1, 1, 2, 3, 15, 255, 65_535];
const VALUES = [0, 1, 2, 3, 0x7f, 0xff, 0x8000, 0xffff, 0x7fffffff, 0xffffffff];

/** An image, and all that can be changed in it. */
export class Target {
  readonly image: Uint8Array<ArrayBuffer>;
  /** Blocks that have a count. */
  readonly used: readonly number[];
  readonly free: readonly number[];
  /** Words of the slots that name data. */
  readonly dataSlots: readonly number[];
  readonly #survey: Survey;
  readonly #fields: readonly (readonly Field[])[];
  /** Nodes of trees, nodes of maps, data. */
  readonly #roles: readonly (readonly number[])[];
  readonly #log: LogImage;

  constructor(image: Uint8Array<ArrayBuffer>) {
    this.image = image;
    const editor = new ImageEditor(image);
    const { geometry } = editor.superblock;
    const blocks = Array.from({ length: geometry.blockCount }, (_, block) => block);
    this.used = blocks.filter((block) => editor.count(block) > 0);
    this.free = blocks.filter((block) => editor.count(block) === 0);
    const survey = new Survey(editor);
    this.#survey = survey;
    this.#log = new LogImage(image);
    this.dataSlots = survey.dataSlots;
    const { records, headers, entries, slotFields, superblock, index, parts } = survey;
    this.#fields = [records, records, headers, entries, slotFields, superblock, index, parts];
    this.#roles = [[...survey.keyed], [...survey.maps], [...survey.data]].filter(
      (each) => each.length > 0,
    );
  }

  /** Mutation `number` of a kind: the same at every call. */
  mutation(kind: MutationKind, number: number): Mutation {
    const random = new Random(number);
    return kind === 'raw' ? this.#raw(random) : this.#sealed(random);
  }

  #raw(random: Random): Mutation {
    const bytes = new Uint8Array(this.image);
    const done: string[] = [];
    for (let i = random.pick([1, 1, 2, 5]); i > 0; i--) done.push(this.#damage(bytes, random));
    return { bytes, what: done.join('; ') };
  }

  #damage(bytes: Uint8Array, random: Random): string {
    const [block, other] = [random.pick(this.used), random.pick(this.used)];
    const [at, from] = [block * BLOCK_SIZE, other * BLOCK_SIZE];
    const content = bytes.slice(from, from + BLOCK_SIZE);
    const offset = random.below(BLOCK_SIZE);
    const kind = random.pick(['bit', 'run', 'zero', 'swap', 'copy'] as const);
    if (kind === 'bit') {
      bytes[at + offset] = (bytes[at + offset] as number) ^ (1 << random.below(8));
    } else if (kind === 'run') {
      bytes.set(random.bytes(random.between(1, BLOCK_SIZE - offset)), at + offset);
    } else if (kind === 'zero') bytes.fill(0, at, at + BLOCK_SIZE);
    else if (kind === 'swap') bytes.copyWithin(from, at, at + BLOCK_SIZE);
    if (kind === 'swap' || kind === 'copy') bytes.set(content, at);
    return `${kind} block ${block} at ${offset}, block ${other}`;
  }

  #sealed(random: Random): Mutation {
    const editor = new ImageEditor(this.image);
    const done: string[] = [];
    for (let i = random.pick([1, 1, 1, 2, 2, 3]); i > 0; i--) {
      done.push(this.#change(editor, random.pick(WAYS), random));
    }
    editor.sealWhatIsThere();
    return { bytes: editor.bytes, what: done.join('; ') };
  }

  #change(editor: ImageEditor, way: (typeof WAYS)[number], random: Random): string {
    switch (way) {
      case 'splice':
        return this.#splice(editor, random);
      case 'redirect':
        return this.#redirect(editor, random);
      case 'hole':
        return this.#clear(editor, random);
      case 'fan':
        return this.#fan(editor, random);
      case 'count':
        return setAnyCount(editor, random);
      case 'noise':
        return this.#noise(editor, random);
      case 'exchange':
        return this.#exchange(editor, random);
      case 'records':
        return changeRecords(editor, this.#survey.leaves, random);
      case 'log':
        if (this.#log.frames.length > 1) return this.#frames(editor, random);
    }
    return this.#setField(editor, random);
  }

  #setField({ view }: ImageEditor, random: Random): string {
    const { what, at, bytes } = random.pick(random.pick(this.#fields));
    const old = { 1: view.getUint8(at), 2: view.getUint16(at, true), 4: view.getUint32(at, true) }[
      bytes
    ];
    const near = [old + 1, old - 1, old * 2, old ^ (1 << random.below(8 * bytes)), random.next()];
    const value = random.pick([...VALUES, ...near, ...near]) >>> 0;
    if (bytes === 1) view.setUint8(at, value);
    else if (bytes === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    return `${what} at ${at}: ${old} to ${value}`;
  }

  /** One slot is put in the place of another. */
  #splice({ words }: ImageEditor, random: Random): string {
    const [from, to] = [random.pick(this.#survey.slots), random.pick(this.#survey.slots)];
    words.copyWithin(to, from, from + SLOT_WORDS);
    return `slot at ${from * 4} over the one at ${to * 4}`;
  }

  /** A slot names another block: of the same role or another, one above it, a fixed one, any. */
  #redirect({ words, superblock }: ImageEditor, random: Random): string {
    const at = random.pick(this.#survey.slots);
    const { blockCount } = superblock.geometry;
    const any = [0, 4, blockCount - 1, blockCount, random.below(blockCount)];
    const block = random.pick([random.pick(any), ...this.#roles.map((each) => random.pick(each))]);
    const kind = random.pick([slotFlags(words, at) & ~TWIN, SlotKind.DATA, SlotKind.NODE]);
    const twin = random.pick([slotFlags(words, at) & TWIN, 0]);
    const checksum = slotChecksum(words, at);
    const birth = random.pick([1, slotBirth(words, at)]) as ReturnType<typeof slotBirth>;
    setSlot(words, at, { block: block as never, flags: kind | twin, birth, checksum });
    return `slot at ${at * 4} to block ${block}, flags ${kind | twin}`;
  }

  /** A slot becomes a hole, or unwritten. */
  #clear({ words }: ImageEditor, random: Random): string {
    const at = random.pick(this.#survey.slots);
    clearSlot(words, at);
    const kind = random.pick([SlotKind.HOLE, SlotKind.UNWRITTEN]);
    new Uint8Array(words.buffer)[at * 4 + 5] = kind;
    return `slot at ${at * 4} to kind ${kind}`;
  }

  /** All slots of a map node are the same: a file of a size that no disk has. */
  #fan({ words }: ImageEditor, random: Random): string {
    if (this.#survey.maps.size === 0) return 'nothing';
    const block = random.pick([...this.#survey.maps]);
    const base = block * BLOCK_WORDS;
    const from = base + random.pick([0, random.below(MAP_FANOUT)]) * SLOT_WORDS;
    const slot = words.slice(from, from + SLOT_WORDS);
    const count = random.pick([2, 255, MAP_FANOUT]);
    for (let i = 0; i < count; i++) words.set(slot, base + i * SLOT_WORDS);
    return `${count} slots of map node ${block} are one`;
  }

  #noise({ bytes }: ImageEditor, random: Random): string {
    const block = random.pick(random.pick(this.#roles));
    const offset = random.pick([random.below(64), random.below(BLOCK_SIZE)]);
    const run = random.bytes(random.between(1, Math.min(BLOCK_SIZE - offset, 64)));
    bytes.set(run, block * BLOCK_SIZE + offset);
    return `${run.length} bytes of noise in ${block} at ${offset}`;
  }

  /** The content of one node is put in the place of another, mostly of its own role. */
  #exchange({ bytes }: ImageEditor, random: Random): string {
    const role = random.pick(this.#roles);
    const from = random.pick(role);
    const to = random.pick(random.chance(0.8) ? role : random.pick(this.#roles));
    bytes.copyWithin(to * BLOCK_SIZE, from * BLOCK_SIZE, (from + 1) * BLOCK_SIZE);
    return `content of ${from} over that of ${to}`;
  }

  #frames({ bytes }: ImageEditor, random: Random): string {
    this.#log.write(bytes, mutateFrames(this.#log.frames, random));
    return 'a frame of the log';
  }
}

function setAnyCount(editor: ImageEditor, random: Random): string {
  const block = random.below(editor.superblock.geometry.blockCount);
  const count = random.pick(COUNTS);
  try {
    editor.setCount(block, count);
  } catch {
    // Where counts are was changed before, to somewhere outside.
  }
  return `count of ${block} to ${count}`;
}
