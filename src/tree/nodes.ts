/**
 * Nodes: what a block of a tree is, and which slots are in it.
 */
import { BLOCK_SIZE, BLOCK_WORDS, type Frame } from '../base/index.ts';
import type { BlockCache, BlockKind } from '../cache/index.ts';
import {
  interiorSlot,
  KIND_MASK,
  MAP_DEPTH_MAX,
  MAP_FANOUT,
  nodeCount,
  nodeFault,
  nodeLevel,
  nodeTree,
  RECLAIM_RECORD_SIZE,
  RECLAIM_SLOT,
  recordFault,
  recordLength,
  recordOffset,
  recordSlotFault,
  SLOT_SIZE,
  SLOT_WORDS,
  SlotKind,
  SlotRole,
  type SlotVisitor,
  slotFault,
  slotHasBlock,
  TreeKind,
  visitRecordSlots,
} from '../format/index.ts';

/** Levels a keyed tree can have: 168^7 leaves are more than an image has blocks. */
export const LEVEL_MAX = 8;

export const MAP_NODE: BlockKind = { name: 'map node', fault: mapFault };
export const DATA_BLOCK: BlockKind = { name: 'data block' };

const NAMES: Readonly<Record<TreeKind, string>> = {
  [TreeKind.DIRECTORY]: 'directory node',
  [TreeKind.LINKS]: 'link table node',
  [TreeKind.RECLAIM]: 'reclaim queue node',
};

/** How a node of a keyed tree is loaded: it and every record in it are looked at once. */
export const KEYED_NODE = Object.fromEntries(
  Object.values(TreeKind).map((tree) => [
    tree,
    {
      name: NAMES[tree],
      fault: (words: Uint32Array, base: number, bytes: Uint8Array) =>
        keyedFault(words, base, bytes, tree),
    },
  ]),
) as Readonly<Record<TreeKind, BlockKind>>;

function mapFault(_words: Uint32Array, base: number, bytes: Uint8Array): string | undefined {
  for (let i = 0; i < MAP_FANOUT; i++) {
    const fault = slotFault(bytes, base * 4 + i * SLOT_SIZE);
    if (fault !== undefined) return `in slot ${i}, ${fault}`;
  }
  return undefined;
}

function keyedFault(
  words: Uint32Array,
  base: number,
  bytes: Uint8Array,
  tree: TreeKind,
): string | undefined {
  const fault = nodeFault(words, base, { tree, level: undefined, levelMax: LEVEL_MAX });
  if (fault !== undefined) return fault;
  if (nodeLevel(words, base) > 0) return childrenFault(words, base, bytes);
  for (let i = 0; i < nodeCount(words, base); i++) {
    const length = recordLength(words, base, i);
    const at = base * 4 + recordOffset(words, base, i);
    const finding = leafRecordFault(bytes, at, length, tree);
    if (finding !== undefined) return `in record ${i}, ${finding}`;
  }
  return undefined;
}

function childrenFault(words: Uint32Array, base: number, bytes: Uint8Array): string | undefined {
  for (let i = 0; i < nodeCount(words, base); i++) {
    const fault = slotFault(bytes, interiorSlot(base, i) * 4);
    if (fault !== undefined) return `in child ${i}, ${fault}`;
  }
  return undefined;
}

function leafRecordFault(
  bytes: Uint8Array,
  at: number,
  length: number,
  tree: TreeKind,
): string | undefined {
  if (tree === TreeKind.RECLAIM) return itemFault(bytes, at, length);
  return recordFault(bytes, at, length) ?? recordSlotFault(bytes, at);
}

/** An item of the reclaim queue names something that can be taken apart. */
function itemFault(bytes: Uint8Array, at: number, length: number): string | undefined {
  if (length !== RECLAIM_RECORD_SIZE) return `its length is ${length}, not ${RECLAIM_RECORD_SIZE}`;
  const role = bytes[at + 2] as SlotRole;
  const detail = bytes[at + 3] as number;
  const kind = (bytes[at + RECLAIM_SLOT + 5] as number) & KIND_MASK;
  if (kind !== SlotKind.DATA && kind !== SlotKind.NODE) return 'it names no block';
  const known =
    role === SlotRole.DATA ||
    (role === SlotRole.MAP && detail < MAP_DEPTH_MAX) ||
    (role === SlotRole.KEYED && detail in NAMES);
  if (!known) return `it is for role ${role}, detail ${detail}`;
  return slotFault(bytes, at + RECLAIM_SLOT);
}

/** Calls `visit` for every slot of a node that names a block. */
export function visitSlots(
  blocks: BlockCache,
  frame: Frame,
  role: SlotRole,
  detail: number,
  visit: SlotVisitor,
): void {
  const base = frame * BLOCK_WORDS;
  if (role === SlotRole.MAP) visitMapSlots(blocks.words, base, detail, visit);
  else if (role === SlotRole.KEYED) visitKeyedSlots(blocks, base, visit);
}

function visitMapSlots(words: Uint32Array, base: number, level: number, visit: SlotVisitor): void {
  const role = level === 0 ? SlotRole.DATA : SlotRole.MAP;
  for (let i = 0; i < MAP_FANOUT; i++) {
    const at = base + i * SLOT_WORDS;
    if (slotHasBlock(words, at)) visit(words, at, role, Math.max(0, level - 1));
  }
}

function visitKeyedSlots(blocks: BlockCache, base: number, visit: SlotVisitor): void {
  const { words, bytes } = blocks;
  const count = nodeCount(words, base);
  const tree = nodeTree(words, base);
  if (nodeLevel(words, base) > 0) {
    for (let i = 0; i < count; i++) visit(words, interiorSlot(base, i), SlotRole.KEYED, tree);
    return;
  }
  const start = (base / BLOCK_WORDS) * BLOCK_SIZE;
  for (let i = 0; i < count; i++) {
    const record = start + recordOffset(words, base, i);
    if (tree === TreeKind.RECLAIM) {
      const role = bytes[record + 2] as SlotRole;
      const at = (record + RECLAIM_SLOT) >>> 2;
      visit(words, at, role, bytes[record + 3] as number);
    } else {
      visitRecordSlots(words, bytes, record, (slots, at, role, detail) => {
        if (slotHasBlock(slots, at)) visit(slots, at, role, detail);
      });
    }
  }
}

/** How the target of a slot is loaded. */
export function blockKind(role: SlotRole, detail: number): BlockKind {
  if (role === SlotRole.KEYED) return KEYED_NODE[detail as TreeKind];
  return role === SlotRole.MAP ? MAP_NODE : DATA_BLOCK;
}
