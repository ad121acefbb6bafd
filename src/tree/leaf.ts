/**
 * Leaves of keyed trees: entries that grow up, records that grow down.
 */
import { assert, BLOCK_SIZE, type Frame } from '../base/index.ts';
import type { BlockCache } from '../cache/index.ts';
import {
  LEAF_ENTRY_SIZE,
  leafDead,
  leafEntry,
  leafHeap,
  leafKey,
  leafRoom,
  NODE_HEADER_SIZE,
  nodeCount,
  recordLength,
  recordOffset,
  setLeafEntry,
  setLeafHeap,
  setNodeCount,
} from '../format/index.ts';

const BASE_WORDS = BLOCK_SIZE / 4;

/** Puts an entry before entry `index`, with room for a record. The leaf has the room. */
export function insertEntry(
  blocks: BlockCache,
  frame: Frame,
  index: number,
  key: number,
  length: number,
): void {
  const { words } = blocks;
  const base = frame * BASE_WORDS;
  const count = nodeCount(words, base);
  assert(leafRoom(words, base) >= length + LEAF_ENTRY_SIZE, 'a leaf has room for what it is given');
  const entriesEnd = NODE_HEADER_SIZE + LEAF_ENTRY_SIZE * (count + 1);
  if (leafHeap(words, base) - length < entriesEnd) compact(blocks, frame);
  const offset = leafHeap(words, base) - length;
  words.copyWithin(leafEntry(base, index + 1), leafEntry(base, index), leafEntry(base, count));
  setLeafEntry(words, base, index, { key, offset, length });
  setLeafHeap(words, base, offset, leafDead(words, base));
  setNodeCount(words, base, count + 1);
}

/** Takes an entry and its record out. */
export function removeEntry(blocks: BlockCache, frame: Frame, index: number): void {
  const { words } = blocks;
  const base = frame * BASE_WORDS;
  const count = nodeCount(words, base);
  const dead = leafDead(words, base) + recordLength(words, base, index);
  words.copyWithin(leafEntry(base, index), leafEntry(base, index + 1), leafEntry(base, count));
  words.fill(0, leafEntry(base, count - 1), leafEntry(base, count));
  setNodeCount(words, base, count - 1);
  if (count === 1) setLeafHeap(words, base, BLOCK_SIZE, 0);
  else setLeafHeap(words, base, leafHeap(words, base), dead);
}

/** Moves the entries from `from` on to the end of another leaf. */
export function moveEntries(blocks: BlockCache, source: Frame, from: number, to: Frame): void {
  const { words, bytes } = blocks;
  const base = source * BASE_WORDS;
  const target = to * BASE_WORDS;
  const count = nodeCount(words, base);
  for (let i = from; i < count; i++) {
    const length = recordLength(words, base, i);
    const start = base * 4 + recordOffset(words, base, i);
    const end = nodeCount(words, target);
    insertEntry(blocks, to, end, leafKey(words, base, i), length);
    bytes.copyWithin(target * 4 + recordOffset(words, target, end), start, start + length);
  }
  for (let i = count - 1; i >= from; i--) removeEntry(blocks, source, i);
  if (from > 0) compact(blocks, source);
}

const scratch = new Uint8Array(BLOCK_SIZE);

/** Pushes the records together at the end of the leaf, in key order from the end. */
function compact(blocks: BlockCache, frame: Frame): void {
  const { words, bytes } = blocks;
  const base = frame * BASE_WORDS;
  const start = base * 4;
  const count = nodeCount(words, base);
  scratch.set(blocks.view(frame));
  let heap = BLOCK_SIZE;
  for (let i = 0; i < count; i++) {
    const length = recordLength(words, base, i);
    const offset = recordOffset(words, base, i);
    heap -= length;
    bytes.set(scratch.subarray(offset, offset + length), start + heap);
    setLeafEntry(words, base, i, { key: leafKey(words, base, i), offset: heap, length });
  }
  const entriesEnd = NODE_HEADER_SIZE + LEAF_ENTRY_SIZE * count;
  bytes.fill(0, start + entriesEnd, start + heap);
  setLeafHeap(words, base, heap, 0);
}
