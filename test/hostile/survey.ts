/**
 * Survey: everything in an image that a mutation can change: where its nodes, records, slots and
 * numbers are.
 */
import { BLOCK_WORDS } from '../../src/base/index.ts';
import {
  INDEX_ENTRY_SIZE,
  InodeKind,
  indexPlace,
  interiorSlot,
  leafEntry,
  MAP_FANOUT,
  nodeCount,
  nodeLevel,
  nodeTree,
  RECLAIM_RESUME,
  RECLAIM_SLOT,
  recordKind,
  recordLength,
  recordOffset,
  SLOT_WORDS,
  SlotRole,
  slotBlock,
  slotHasBlock,
  TreeKind,
  visitRecordSlots,
} from '../../src/format/index.ts';
import type { ImageEditor, RecordPlace } from '../check/image-editor.ts';

/** A number in the image: what it is, its first byte and how many it has. */
export interface Field {
  readonly what: string;
  readonly at: number;
  readonly bytes: 1 | 2 | 4;
}

type Layout = readonly (readonly [string, number, 1 | 2 | 4])[];

/** Fields of a record, see record.ts. */
const RECORD: Layout = [
  ['length', 0, 2],
  ['name length', 2, 1],
  ['kind', 3, 1],
  ['flags', 4, 2],
  ['inode', 8, 4],
  ['inode high', 12, 1],
  ['depth', 13, 1],
  ['mode', 14, 2],
  ['uid', 16, 4],
  ['gid', 20, 4],
  ['nlink', 24, 4],
  ['generation', 28, 4],
  ['size', 32, 4],
  ['size high', 36, 4],
  ['blocks', 40, 4],
  ['blocks high', 44, 4],
  ['atime', 48, 4],
  ['mtime', 56, 4],
  ['mtime high', 60, 4],
  ['ctime', 64, 4],
  ['btime', 72, 4],
  ['change high', 84, 4],
  ['project', 88, 4],
  ['rdev', 92, 4],
  ['inline', 96, 2],
  ['attributes', 98, 2],
];
const LINK: Layout = RECORD.slice(0, 6);
const IDENTITY: Layout = [
  ['realm', 0, 4],
  ['realm high', 4, 4],
  ['outer realm', 8, 4],
  ['outer realm high', 12, 4],
];
const HEADER: Layout = [
  ['magic', 0, 4],
  ['level', 4, 1],
  ['tree', 5, 1],
  ['count', 6, 2],
  ['heap', 8, 2],
  ['dead', 10, 2],
  ['inode', 16, 4],
  ['birth', 24, 4],
  ['image', 32, 4],
  ['realm', 40, 4],
];
const ITEM: Layout = [
  ['role', 2, 1],
  ['detail', 3, 1],
  ['resume', RECLAIM_RESUME, 4],
];
const SLOT: Layout = [
  ['block', 0, 4],
  ['block high', 4, 1],
  ['flags', 5, 1],
  ['birth high', 6, 2],
  ['birth', 8, 4],
];
const INDEX: Layout = [
  ['free', 4, 4],
  ['width', 8, 1],
  ['current', 9, 1],
  ['txg high', 10, 2],
  ['txg', 12, 4],
];
/** See superblock.ts. */
const SUPERBLOCK: Layout = [
  ['major', 8, 2],
  ['minor', 10, 2],
  ['group blocks', 12, 4],
  ['compatible features', 16, 4],
  ['read-only features', 24, 4],
  ['incompatible features', 32, 4],
  ['block count', 56, 4],
  ['block count high', 60, 4],
  ['txg', 64, 4],
  ['txg high', 68, 4],
  ['index start', 88, 4],
  ['index blocks', 92, 4],
  ['index place', 96, 1],
  ['count cap', 97, 1],
  ['checksum kind', 98, 1],
  ['log start', 100, 4],
  ['log blocks', 104, 4],
  ['log tail', 108, 4],
  ['log sequence', 112, 4],
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

function fieldsOf(layout: Layout, what: string, at: number): Field[] {
  return layout.map(([name, offset, bytes]) => ({
    what: `${what} ${name}`,
    at: at + offset,
    bytes,
  }));
}

/** Everything that hangs from the meta root, and what leads there. */
export class Survey {
  /** Blocks of nodes of trees, and of maps. */
  readonly keyed = new Set<number>();
  readonly maps = new Set<number>();
  readonly data = new Set<number>();
  /** Words of all slots, and of those that are for data. */
  readonly slots: number[] = [];
  readonly dataSlots: number[] = [];
  /** Records of directories and link tables, by the leaf they are in. */
  readonly leaves = new Map<number, RecordPlace[]>();
  readonly records: Field[] = [];
  readonly headers: Field[] = [];
  readonly entries: Field[] = [];
  /** Bytes of names, attributes, inline data and targets. */
  readonly parts: Field[] = [];
  readonly superblock: Field[];
  readonly index: Field[];
  readonly #editor: ImageEditor;

  constructor(editor: ImageEditor) {
    this.#editor = editor;
    this.superblock = fieldsOf(SUPERBLOCK, 'superblock', editor.superblockAt(0));
    const { geometry, state } = editor.superblock;
    const start = indexPlace(geometry, state.indexPlace, 0) * BLOCK_WORDS * 4;
    this.index = Array.from({ length: geometry.groupCount }, (_, group) =>
      fieldsOf(INDEX, `group ${group}`, start + group * INDEX_ENTRY_SIZE),
    ).flat();
    this.#slot(editor.metaRoot, SlotRole.KEYED, TreeKind.DIRECTORY);
  }

  get slotFields(): Field[] {
    return this.slots.flatMap((slot) => fieldsOf(SLOT, 'slot', slot * 4));
  }

  #slot(at: number, role: SlotRole, detail: number): void {
    const { words } = this.#editor;
    this.slots.push(at);
    if (role === SlotRole.DATA) this.dataSlots.push(at);
    if (!slotHasBlock(words, at)) return;
    const block = slotBlock(words, at);
    const seen = this.#blocksOf(role);
    if (seen.has(block)) return;
    seen.add(block);
    if (role === SlotRole.MAP) this.#map(block, detail);
    else if (role === SlotRole.KEYED) this.#keyed(block);
  }

  #blocksOf(role: SlotRole): Set<number> {
    if (role === SlotRole.DATA) return this.data;
    return role === SlotRole.MAP ? this.maps : this.keyed;
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
    this.headers.push(...fieldsOf(HEADER, `node ${block}`, base * 4));
    const level = nodeLevel(words, base);
    for (let i = 0; i < nodeCount(words, base); i++) {
      const entry = (level > 0 ? base + 16 + 2 * i : leafEntry(base, i)) * 4;
      for (const offset of level > 0 ? [0, 4] : [0, 4, 8]) {
        this.entries.push({ what: `node ${block} entry ${i}`, at: entry + offset, bytes: 4 });
      }
      if (level > 0) this.#slot(interiorSlot(base, i), SlotRole.KEYED, nodeTree(words, base));
      else this.#record(block, i);
    }
  }

  #record(leaf: number, index: number): void {
    const { words, bytes } = this.#editor;
    const base = leaf * BLOCK_WORDS;
    const at = base * 4 + recordOffset(words, base, index);
    const length = recordLength(words, base, index);
    if (nodeTree(words, base) === TreeKind.RECLAIM) {
      this.records.push(...fieldsOf(ITEM, 'item', at));
      const slot = (at + RECLAIM_SLOT) / 4;
      this.#slot(slot, bytes[at + 2] as SlotRole, bytes[at + 3] as number);
      return;
    }
    const place: RecordPlace = { leaf, index, key: 0, at, length };
    this.leaves.set(leaf, [...(this.leaves.get(leaf) ?? []), place]);
    if (recordKind(bytes, at) === InodeKind.LINK) {
      this.records.push(...fieldsOf(LINK, 'link', at));
      this.#part('name', at + 16, at + length);
      return;
    }
    this.records.push(...fieldsOf(RECORD, 'record', at));
    const { identity, links, attributes, name, data } = this.#editor.layoutOf(place);
    if (links > identity) this.records.push(...fieldsOf(IDENTITY, 'record', at + identity));
    this.#part('attributes', at + attributes, at + name);
    this.#part('name', at + name, at + data);
    this.#part('data', at + data, at + length);
    visitRecordSlots(words, bytes, at, (_, slot, role, detail) => this.#slot(slot, role, detail));
  }

  /** The first bytes of a part; what follows is like them. */
  #part(what: string, start: number, end: number): void {
    for (let at = start; at < Math.min(end, start + 12); at++) {
      this.parts.push({ what: `byte of ${what}`, at, bytes: 1 });
    }
  }
}
