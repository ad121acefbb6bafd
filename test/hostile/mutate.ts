/**
 * Mutate: an image with something in it that should not be there, as a seed has it.
 *
 * *Raw* mutations change bytes, as a failing disk would: checksums tell. *Sealed* ones change a
 * field, a slot, a count, and put every checksum right again, as somebody would who means harm:
 * what is wrong reaches the code behind the checksums.
 */
import { BLOCK_SIZE, BLOCK_WORDS } from '../../src/base/index.ts';
import {
  INDEX_ENTRY_SIZE,
  indexPlace,
  interiorSlot,
  leafEntry,
  MAP_FANOUT,
  nodeCount,
  nodeLevel,
  nodeTree,
  RECLAIM_RESUME,
  RECLAIM_SLOT,
  recordLength,
  recordOffset,
  SLOT_WORDS,
  SlotRole,
  slotBlock,
  slotHasBlock,
  TreeKind,
  visitRecordSlots,
} from '../../src/format/index.ts';
import { Random } from '../../src/testing/index.ts';
import { ImageEditor } from '../check/image-editor.ts';

/** A number in the image: what it is, its first byte and how many it has. */
interface Field {
  readonly what: string;
  readonly at: number;
  readonly bytes: 1 | 2 | 4;
}

/** Bytes as a failing disk changes them, or fields with every checksum put right again. */
export type MutationKind = 'raw' | 'sealed';

export interface Mutation {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** What was done, in words. */
  readonly what: string;
}

/** Fields of a record, see record.ts; and of the superblock, see superblock.ts. */
const RECORD: readonly (readonly [string, number, 1 | 2 | 4])[] = [
  ['length', 0, 2],
  ['name length', 2, 1],
  ['kind', 3, 1],
  ['flags', 4, 2],
  ['inode', 8, 4],
  ['inode high', 12, 1],
  ['depth', 13, 1],
  ['mode', 14, 2],
  ['nlink', 24, 4],
  ['size', 32, 4],
  ['size high', 36, 4],
  ['blocks', 40, 4],
  ['blocks high', 44, 4],
  ['mtime', 56, 4],
  ['mtime high', 60, 4],
  ['change high', 84, 4],
  ['rdev', 92, 4],
  ['inline', 96, 2],
  ['attributes', 98, 2],
];
const SUPERBLOCK: readonly (readonly [string, number, 1 | 2 | 4])[] = [
  ['minor', 10, 2],
  ['group blocks', 12, 4],
  ['read-only features', 24, 4],
  ['block count', 56, 4],
  ['block count high', 60, 4],
  ['txg', 64, 4],
  ['txg high', 68, 4],
  ['index start', 88, 4],
  ['index blocks', 92, 4],
  ['index place', 96, 1],
  ['count cap', 97, 1],
  ['log start', 100, 4],
  ['log blocks', 104, 4],
  ['log tail', 108, 4],
  ['log sequence high', 116, 4],
  ['meta root', 128, 4],
  ['meta root flags', 132, 2],
  ['next inode', 144, 4],
  ['next inode high', 148, 4],
  ['hash seed', 152, 4],
  ['free', 160, 4],
  ['free high', 164, 4],
  ['reserved', 168, 4],
  ['reserved high', 172, 4],
  ['next realm', 176, 4],
  ['next realm high', 180, 4],
  ['label', 184, 4],
];

/** An image, and all that can be changed in it. */
export class Target {
  readonly image: Uint8Array;
  /** Blocks that have a count. */
  readonly used: readonly number[];
  readonly free: readonly number[];
  /** Words of the slots that name data. */
  readonly dataSlots: readonly number[];
  readonly #nodes: readonly number[];
  readonly #fields: readonly (readonly Field[])[];
  readonly #slots: readonly number[];

  constructor(image: Uint8Array) {
    this.image = image;
    const editor = new ImageEditor(image);
    const { geometry } = editor.superblock;
    const blocks = Array.from({ length: geometry.blockCount }, (_, block) => block);
    this.used = blocks.filter((block) => editor.count(block) > 0);
    this.free = blocks.filter((block) => editor.count(block) === 0);
    const survey = new Survey(editor);
    this.#nodes = [...survey.nodes];
    this.#slots = survey.slots;
    const superblock = SUPERBLOCK.map(([what, offset, bytes]) => {
      return { what: `superblock ${what}`, at: editor.superblockAt(offset), bytes };
    });
    const { records, headers, entries, slots } = survey;
    const others = [slots.flatMap(slotFields), superblock, indexFields(editor)];
    this.#fields = [records, headers, entries, ...others];
    this.dataSlots = survey.dataSlots;
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
    for (let i = random.pick([1, 1, 1, 2, 3]); i > 0; i--) {
      const kind = random.pick(['field', 'field', 'field', 'splice', 'count', 'noise', 'exchange']);
      if (kind === 'field') done.push(this.#setField(editor, random));
      else if (kind === 'splice') done.push(this.#splice(editor, random));
      else if (kind === 'count') done.push(this.#setCount(editor, random));
      else if (kind === 'noise') done.push(this.#noise(editor, random));
      else done.push(this.#exchange(editor, random));
    }
    editor.sealWhatIsThere();
    return { bytes: editor.bytes, what: done.join('; ') };
  }

  #setField({ view }: ImageEditor, random: Random): string {
    const { what, at, bytes } = random.pick(random.pick(this.#fields));
    const old = { 1: view.getUint8(at), 2: view.getUint16(at, true), 4: view.getUint32(at, true) }[
      bytes
    ];
    const values = [0, 1, 2, 3, 0x7f, 0xff, 0x8000, 0xffff, 0x7fffffff, 0xffffffff];
    const near = [old + 1, old - 1, old * 2, old ^ (1 << random.below(8 * bytes)), random.next()];
    const value = random.pick([...values, ...near, ...near]) >>> 0;
    if (bytes === 1) view.setUint8(at, value);
    else if (bytes === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    return `${what} at ${at}: ${old} to ${value}`;
  }

  /** One slot is put in the place of another. */
  #splice({ words }: ImageEditor, random: Random): string {
    const [from, to] = [random.pick(this.#slots), random.pick(this.#slots)];
    words.copyWithin(to, from, from + SLOT_WORDS);
    return `slot at ${from * 4} over the one at ${to * 4}`;
  }

  #setCount(editor: ImageEditor, random: Random): string {
    const block = random.below(editor.superblock.geometry.blockCount);
    const count = random.pick([0, 0, 0, 1, 1, 2, 3]);
    editor.setCount(block, count);
    return `count of ${block} to ${count}`;
  }

  #noise({ bytes }: ImageEditor, random: Random): string {
    const block = random.pick(this.#nodes);
    const offset = random.pick([random.below(64), random.below(BLOCK_SIZE)]);
    const run = random.bytes(random.between(1, Math.min(BLOCK_SIZE - offset, 64)));
    bytes.set(run, block * BLOCK_SIZE + offset);
    return `${run.length} bytes of noise in ${block} at ${offset}`;
  }

  /** One node's content is put in the place of another. */
  #exchange({ bytes }: ImageEditor, random: Random): string {
    const [from, to] = [random.pick(this.#nodes), random.pick(this.#nodes)];
    bytes.copyWithin(to * BLOCK_SIZE, from * BLOCK_SIZE, (from + 1) * BLOCK_SIZE);
    return `content of ${from} over that of ${to}`;
  }
}

/** Everything that hangs from the meta root: where its nodes, records and slots are. */
class Survey {
  readonly nodes = new Set<number>();
  readonly slots: number[] = [];
  readonly dataSlots: number[] = [];
  readonly records: Field[] = [];
  readonly headers: Field[] = [];
  readonly entries: Field[] = [];
  readonly #editor: ImageEditor;

  constructor(editor: ImageEditor) {
    this.#editor = editor;
    this.#slot(editor.metaRoot, SlotRole.KEYED, TreeKind.DIRECTORY);
  }

  #slot(at: number, role: SlotRole, detail: number): void {
    const { words } = this.#editor;
    this.slots.push(at);
    if (role === SlotRole.DATA && slotHasBlock(words, at)) this.dataSlots.push(at);
    const block = slotBlock(words, at);
    if (!slotHasBlock(words, at) || role === SlotRole.DATA || this.nodes.has(block)) return;
    this.nodes.add(block);
    if (role === SlotRole.MAP) this.#map(block, detail);
    else this.#keyed(block);
  }

  #map(block: number, level: number): void {
    const { words } = this.#editor;
    for (let i = 0; i < MAP_FANOUT; i++) {
      const at = block * BLOCK_WORDS + i * SLOT_WORDS;
      const hole = !slotHasBlock(words, at);
      if (hole && i > 3) continue;
      this.#slot(at, level === 0 ? SlotRole.DATA : SlotRole.MAP, Math.max(0, level - 1));
    }
  }

  #keyed(block: number): void {
    const { words } = this.#editor;
    const base = block * BLOCK_WORDS;
    for (const [what, offset, bytes] of [
      ['magic', 0, 4],
      ['level', 4, 1],
      ['tree', 5, 1],
      ['count', 6, 2],
      ['heap', 8, 2],
      ['dead', 10, 2],
    ] as const) {
      this.headers.push({ what: `node ${block} ${what}`, at: base * 4 + offset, bytes });
    }
    const level = nodeLevel(words, base);
    for (let i = 0; i < nodeCount(words, base); i++) {
      const entry = (level > 0 ? base + 16 + 2 * i : leafEntry(base, i)) * 4;
      for (const offset of level > 0 ? [0, 4] : [0, 4, 8]) {
        this.entries.push({ what: `node ${block} entry ${i}`, at: entry + offset, bytes: 4 });
      }
      if (level > 0) this.#slot(interiorSlot(base, i), SlotRole.KEYED, nodeTree(words, base));
      else
        this.#record(base * 4 + recordOffset(words, base, i), recordLength(words, base, i), base);
    }
  }

  #record(at: number, length: number, base: number): void {
    const { words, bytes } = this.#editor;
    if (nodeTree(words, base) === TreeKind.RECLAIM) {
      this.records.push({ what: 'item role', at: at + 2, bytes: 1 });
      this.records.push({ what: 'item detail', at: at + 3, bytes: 1 });
      this.records.push({ what: 'item resume', at: at + RECLAIM_RESUME, bytes: 4 });
      const slot = (at + RECLAIM_SLOT) / 4;
      this.#slot(slot, bytes[at + 2] as SlotRole, bytes[at + 3] as number);
      return;
    }
    for (const [what, offset, size] of RECORD) {
      if (offset + size <= length) {
        this.records.push({ what: `record ${what}`, at: at + offset, bytes: size });
      }
    }
    visitRecordSlots(words, bytes, at, (_, slot, role, detail) => this.#slot(slot, role, detail));
  }
}

function slotFields(slot: number): Field[] {
  return [
    { what: 'slot block', at: slot * 4, bytes: 4 },
    { what: 'slot block high', at: slot * 4 + 4, bytes: 1 },
    { what: 'slot flags', at: slot * 4 + 5, bytes: 1 },
    { what: 'slot birth', at: slot * 4 + 8, bytes: 4 },
  ];
}

/** The entries of the group index that is current. */
function indexFields({ superblock: { geometry, state } }: ImageEditor): Field[] {
  const start = indexPlace(geometry, state.indexPlace, 0) * BLOCK_SIZE;
  return Array.from({ length: geometry.groupCount }, (_, group) =>
    (
      [
        ['free', 4, 4],
        ['width', 8, 1],
        ['current', 9, 1],
        ['txg high', 10, 2],
        ['txg', 12, 4],
      ] as const
    ).map(([what, offset, bytes]) => ({
      what: `group ${group} ${what}`,
      at: start + group * INDEX_ENTRY_SIZE + offset,
      bytes,
    })),
  ).flat();
}
