import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BLOCK_SIZE, BLOCK_WORDS, type Block, type Txg } from '../base/index.ts';
import {
  INTERIOR_FANOUT,
  initNode,
  interiorKey,
  interiorSearch,
  interiorSlot,
  KEYED_LEVEL_MAX,
  LEAF_ENTRY_SIZE,
  leafDead,
  leafHeap,
  leafKey,
  leafRoom,
  leafSearch,
  leafUsed,
  NODE_HEADER_SIZE,
  type NodeHeader,
  nodeBirth,
  nodeCount,
  nodeFault,
  nodeImage,
  nodeLevel,
  nodeOwner,
  nodeTree,
  RECORD_MAX,
  recordLength,
  recordOffset,
  setInteriorKey,
  setLeafEntry,
  setLeafHeap,
  setNodeBirth,
  setNodeCount,
  TreeKind,
} from './keyed-node.ts';
import { SlotKind, setSlot, slotBlock } from './slot.ts';

const key = fc.nat(Number.MAX_SAFE_INTEGER);
const keys = (max: number): fc.Arbitrary<number[]> =>
  fc.uniqueArray(key, { maxLength: max }).map((list) => list.sort((a, b) => a - b));

const HEADER: NodeHeader = {
  level: 0,
  tree: TreeKind.DIRECTORY,
  realm: 1,
  inode: 2,
  birth: 3 as Txg,
  image: 4n,
};
const EXPECTED = { tree: TreeKind.DIRECTORY, level: undefined, levelMax: KEYED_LEVEL_MAX };
/** Nodes lie anywhere in the cache's memory. */
const BASE = BLOCK_WORDS;

function emptyNode(header: Partial<NodeHeader> = {}): Uint32Array {
  const words = new Uint32Array(3 * BLOCK_WORDS).fill(0xffffffff);
  initNode(words, BASE, { ...HEADER, ...header });
  return words;
}

/** A leaf with a record of 8 bytes for each key, as an insert would leave them. */
function leafOf(list: readonly number[], length = 8): Uint32Array {
  const words = emptyNode();
  let heap = BLOCK_SIZE;
  list.forEach((each, i) => {
    heap -= length;
    setLeafEntry(words, BASE, i, { key: each, offset: heap, length });
  });
  setNodeCount(words, BASE, list.length);
  setLeafHeap(words, BASE, heap, 0);
  return words;
}

function interiorOf(list: readonly number[]): Uint32Array {
  const words = emptyNode({ level: 1 });
  list.forEach((each, i) => {
    setInteriorKey(words, BASE, i, each);
    const block = (100 + i) as Block;
    const slot = { block, flags: SlotKind.NODE, birth: 1 as Txg, checksum: i };
    setSlot(words, interiorSlot(BASE, i), slot);
  });
  setNodeCount(words, BASE, list.length);
  return words;
}

describe('initNode()', () => {
  it('stores what is read back', () => {
    const header = fc.record({
      level: fc.nat(KEYED_LEVEL_MAX),
      tree: fc.constantFrom(...Object.values(TreeKind)),
      realm: key,
      inode: key,
      birth: fc.nat(2 ** 48 - 1).map((birth) => birth as Txg),
      image: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    });
    fc.assert(
      fc.property(header, (value) => {
        const words = emptyNode(value);
        expect(nodeLevel(words, BASE)).toBe(value.level);
        expect(nodeTree(words, BASE)).toBe(value.tree);
        expect(nodeOwner(words, BASE)).toEqual({ realm: value.realm, inode: value.inode });
        expect(nodeBirth(words, BASE)).toBe(value.birth);
        expect(nodeImage(words, BASE)).toBe(value.image);
        expect(nodeCount(words, BASE)).toBe(0);
        setNodeBirth(words, BASE, 9 as Txg);
        expect(nodeBirth(words, BASE)).toBe(9);
      }),
    );
  });

  it('makes an empty node and touches no other', () => {
    const words = emptyNode();
    expect(nodeFault(words, BASE, EXPECTED)).toBeUndefined();
    expect(leafHeap(words, BASE)).toBe(BLOCK_SIZE);
    expect(leafRoom(words, BASE)).toBe(BLOCK_SIZE - NODE_HEADER_SIZE);
    expect(leafUsed(words, BASE)).toBe(0);
    expect(words.subarray(0, BASE).every((word) => word === 0xffffffff)).toBe(true);
    expect(words.subarray(2 * BASE).every((word) => word === 0xffffffff)).toBe(true);
  });
});

describe('leafSearch()', () => {
  it('finds the first key that is not below', () => {
    fc.assert(
      fc.property(keys(60), key, (list, wanted) => {
        const words = leafOf(list);
        expect(nodeFault(words, BASE, EXPECTED)).toBeUndefined();
        expect(list.map((_, i) => leafKey(words, BASE, i))).toEqual(list);
        for (const each of [wanted, ...list]) {
          const index = list.filter((other) => other < each).length;
          expect(leafSearch(words, BASE, each)).toBe(index);
        }
      }),
    );
  });
});

describe('interiorSearch()', () => {
  it('finds the last child whose key is not above, or the first', () => {
    const some = keys(INTERIOR_FANOUT).filter((list) => list.length > 0);
    fc.assert(
      fc.property(some, key, (list, wanted) => {
        const words = interiorOf(list);
        expect(nodeFault(words, BASE, EXPECTED)).toBeUndefined();
        expect(list.map((_, i) => interiorKey(words, BASE, i))).toEqual(list);
        for (const each of [wanted, ...list]) {
          const index = list.slice(1).filter((other) => other <= each).length;
          expect(interiorSearch(words, BASE, each)).toBe(index);
        }
      }),
    );
  });

  it('has room for 168 children, which fill the node', () => {
    const words = interiorOf(Array.from({ length: INTERIOR_FANOUT }, (_, i) => i));
    expect(interiorSlot(BASE, INTERIOR_FANOUT)).toBe(2 * BASE);
    expect(slotBlock(words, interiorSlot(BASE, 167))).toBe(267);
    expect(interiorKey(words, BASE, 167)).toBe(167);
    expect(words[2 * BASE]).toBe(0xffffffff);
  });
});

describe('a leaf', () => {
  it('counts its room', () => {
    const words = leafOf([1, 2, 3], 100);
    expect(leafUsed(words, BASE)).toBe(3 * (100 + LEAF_ENTRY_SIZE));
    setLeafHeap(words, BASE, leafHeap(words, BASE) - 40, 40);
    expect(leafDead(words, BASE)).toBe(40);
    expect(leafUsed(words, BASE)).toBe(3 * (100 + LEAF_ENTRY_SIZE));
  });
});

describe('nodeFault()', () => {
  const change = (words: Uint32Array, apply: (words: Uint32Array) => void): Uint32Array => {
    apply(words);
    return words;
  };

  it.each<[string, Uint32Array, RegExp]>([
    ['another magic', change(leafOf([1]), (w) => w.fill(0, BASE, BASE + 1)), /magic/],
    ['another tree', emptyNode({ tree: TreeKind.LINKS }), /tree of kind 2, not 1/],
    ['a level too high', emptyNode({ level: 9 }), /level is 9, above 8/],
    ['an interior node without children', interiorOf([]), /0 children/],
    [
      'too many children',
      change(interiorOf([1]), (w) => setNodeCount(w, BASE, 169)),
      /169 children/,
    ],
    ['interior keys that fall', interiorOf([5, 4]), /key 1/],
    ['an interior key beyond 53 bits', interiorOf([2 ** 53]), /key 0/],
    [
      'a child that is none',
      change(interiorOf([1, 2]), (w) => w.fill(0, interiorSlot(BASE, 1), interiorSlot(BASE, 2))),
      /child 1 is of kind 0/,
    ],
    ['equal leaf keys', leafOf([4, 4]), /key 1/],
    ['a leaf key beyond 53 bits', leafOf([2 ** 53]), /key 0/],
    ['a record that is too long', leafOf([1], RECORD_MAX + 4), /record 0 has 1332 bytes/],
    ['a record of an odd length', leafOf([1], 10), /record 0 has 10 bytes/],
    ['a record of no bytes', leafOf([1], 0), /record 0 has 0 bytes/],
    ['a heap in the entries', change(leafOf([1]), (w) => setLeafHeap(w, BASE, 70, 0)), /overlap/],
    ['a heap after the end', change(leafOf([]), (w) => setLeafHeap(w, BASE, 5000, 0)), /overlap/],
    [
      'bytes nobody accounts for',
      change(leafOf([1]), (w) => setLeafHeap(w, BASE, 4000, 0)),
      /over/,
    ],
  ])('finds %s', (_, words, finding) => {
    expect(nodeFault(words, BASE, EXPECTED)).toMatch(finding);
  });

  it('finds another level than the one wanted', () => {
    expect(nodeFault(leafOf([1]), BASE, { ...EXPECTED, level: 1 })).toBe('its level is 0, not 1');
  });

  it('lets nothing through that leads out of the node', () => {
    const word = fc.tuple(fc.nat(40), fc.nat(0xffffffff));
    const noise = fc.array(word, { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(keys(10), fc.boolean(), noise, (list, leaf, edits) => {
        const words = leaf ? leafOf(list) : interiorOf(list.length > 0 ? list : [1]);
        for (const [at, value] of edits) words[BASE + 1 + at] = value;
        const before = words.slice();
        if (nodeFault(words, BASE, EXPECTED) === undefined) expectInside(words);
        expect(words.every((each, i) => each === before[i])).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  it('answers for any bytes at all', () => {
    const noise = fc.uint8Array({ minLength: BLOCK_SIZE, maxLength: BLOCK_SIZE });
    fc.assert(
      fc.property(noise, fc.boolean(), (bytes, magic) => {
        const words = emptyNode();
        words.set(new Uint32Array(bytes.slice().buffer), BASE);
        if (magic) words[BASE] = 0x4e4b5452;
        expect(() => nodeFault(words, BASE, EXPECTED)).not.toThrow();
      }),
    );
  });
});

/** Everything that a node leads to is inside it. */
function expectInside(words: Uint32Array): void {
  for (let i = 0; i < nodeCount(words, BASE); i++) {
    if (nodeLevel(words, BASE) > 0) {
      expect(interiorSlot(BASE, i) + 4).toBeLessThanOrEqual(2 * BASE);
      continue;
    }
    const offset = recordOffset(words, BASE, i);
    expect(offset).toBeGreaterThanOrEqual(NODE_HEADER_SIZE + LEAF_ENTRY_SIZE * (i + 1));
    expect(offset % 4).toBe(0);
    expect(offset + recordLength(words, BASE, i)).toBeLessThanOrEqual(BLOCK_SIZE);
  }
}
