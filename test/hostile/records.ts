/**
 * Records: mutations of leaves that keep them well formed, so that what is wrong is not the node
 * but what it says: records that are there twice, in the place of another or of another directory,
 * and names that are none.
 */
import { BLOCK_WORDS, binaryBytes, binaryString, hashName } from '../../src/base/index.ts';
import {
  leafDead,
  leafEntry,
  leafHeap,
  leafKey,
  nodeCount,
  recordLength,
  recordNameOffset,
  recordOffset,
  setLeafEntry,
  setLeafHeap,
  setNodeCount,
} from '../../src/format/index.ts';
import type { Random } from '../../src/testing/index.ts';
import type { ImageEditor, RecordPlace } from '../check/image-editor.ts';

/** Bytes of an entry of a leaf, in words. */
const ENTRY_WORDS = 3;

/** Names that no directory has, or that a host would take for something else. */
export const BAD_NAMES: readonly string[] = [
  '.',
  '..',
  '/',
  '\0',
  'a/b',
  'a\0b',
  '../x',
  '/tmp',
  '..\0/',
  '../../x',
  '../outside/x',
  '/../outside/planted',
];

/** One record more in a leaf, in key order; false if there is no room. */
export function insertRecord(
  { words, bytes }: ImageEditor,
  leaf: number,
  key: number,
  record: Uint8Array,
): boolean {
  const base = leaf * BLOCK_WORDS;
  const count = nodeCount(words, base);
  const heap = leafHeap(words, base) - record.length;
  if (64 + (count + 1) * ENTRY_WORDS * 4 > heap) return false;
  bytes.set(record, base * 4 + heap);
  let at = 0;
  while (at < count && leafKey(words, base, at) < key) at++;
  const from = leafEntry(base, at);
  words.copyWithin(from + ENTRY_WORDS, from, leafEntry(base, count));
  setLeafEntry(words, base, at, { key, offset: heap, length: record.length });
  setLeafHeap(words, base, heap, leafDead(words, base));
  setNodeCount(words, base, count + 1);
  return true;
}

/** Takes the entry of a record out of its leaf; its bytes stay. */
function removeRecord({ words }: ImageEditor, leaf: number, index: number): void {
  const base = leaf * BLOCK_WORDS;
  const count = nodeCount(words, base);
  const length = recordLength(words, base, index);
  words.copyWithin(leafEntry(base, index), leafEntry(base, index + 1), leafEntry(base, count));
  setNodeCount(words, base, count - 1);
  setLeafHeap(words, base, leafHeap(words, base), leafDead(words, base) + length);
}

/** The key under which a directory has a name. */
export function keyOf(editor: ImageEditor, name: string, number = 0): number {
  return hashName(name, editor.superblock.hashSeed) * 256 + number;
}

/** A record with another name. Its parts lie where they have to. */
export function renamed(record: Uint8Array, name: string): Uint8Array {
  const start = recordNameOffset(record, 0);
  const old = (start + (record[2] as number) + 3) & ~3;
  const padded = (name.length + 3) & ~3;
  // Something has changed it before, so that its parts do not lie in it.
  if (old > record.length) return record;
  const bytes = new Uint8Array(start + padded + record.length - old);
  bytes.set(record.subarray(0, start));
  bytes.set(binaryBytes(name), start);
  bytes.set(record.subarray(old), start + padded);
  new DataView(bytes.buffer).setUint16(0, bytes.length, true);
  bytes[2] = name.length;
  return bytes;
}

export function recordBytes({ bytes }: ImageEditor, { at, length }: RecordPlace): Uint8Array {
  return bytes.slice(at, at + length);
}

function entryOf(
  { words }: ImageEditor,
  leaf: number,
  i: number,
): { key: number; offset: number; length: number } {
  const base = leaf * BLOCK_WORDS;
  const [offset, length] = [recordOffset(words, base, i), recordLength(words, base, i)];
  return { key: leafKey(words, base, i), offset, length };
}

function nameOf(record: Uint8Array): string {
  const start = recordNameOffset(record, 0);
  return binaryString(record.subarray(start, start + (record[2] as number)));
}

/** One of the changes above, as a seed has it; what was done, in words. */
export function changeRecords(
  editor: ImageEditor,
  leaves: ReadonlyMap<number, readonly RecordPlace[]>,
  random: Random,
): string {
  const { words } = editor;
  const [leaf, places] = random.pick([...leaves]);
  const place = random.pick(places);
  const base = leaf * BLOCK_WORDS;
  const { index } = place;
  if (index >= nodeCount(words, base)) return 'nothing';
  const record = recordBytes(editor, place);
  const way = random.pick(['twice', 'graft', 'name', 'remove', 'swap', 'swap'] as const);
  switch (way) {
    case 'twice':
      insertRecord(editor, leaf, leafKey(words, base, index) + random.pick([0, 1, 255]), record);
      break;
    case 'graft': {
      const into = random.pick([...leaves.keys()]);
      const name = random.pick([nameOf(record), 'grafted']);
      insertRecord(editor, into, keyOf(editor, name), renamed(record, name));
      return `record ${index} of ${leaf} into ${into} as ${name}`;
    }
    case 'name': {
      const name = random.pick(BAD_NAMES);
      removeRecord(editor, leaf, index);
      insertRecord(editor, leaf, keyOf(editor, name), renamed(record, name));
      return `record ${index} of ${leaf} is called ${JSON.stringify(name)}`;
    }
    case 'remove':
      removeRecord(editor, leaf, index);
      break;
    case 'swap': {
      const other = random.below(nodeCount(words, base));
      const [left, right] = [entryOf(editor, leaf, index), entryOf(editor, leaf, other)];
      setLeafEntry(words, base, index, { ...right, key: left.key });
      setLeafEntry(words, base, other, { ...left, key: right.key });
      return `records ${index} and ${other} of ${leaf} for each other`;
    }
  }
  return `${way} record ${index} of ${leaf}`;
}
