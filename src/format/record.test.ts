import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { viewOf, wordsOf } from '../base/index.ts';
import { RECORD_MAX, TreeKind } from './keyed-node.ts';
import {
  embeddedSlots,
  InodeFlag,
  InodeKind,
  layoutRecord,
  linkRecordLength,
  newLayout,
  newShape,
  RECORD_FIXED,
  type RecordShape,
  readShape,
  recordFault,
  recordKind,
  recordNameLength,
  recordNameOffset,
  rootDetail,
  rootRole,
  SlotRole,
  STAND_IN,
  standIn,
  visitRecordSlots,
} from './record.ts';

const KINDS = Object.values(InodeKind).filter((kind) => kind !== InodeKind.LINK);
const shape: fc.Arbitrary<RecordShape> = fc
  .record({
    kind: fc.constantFrom(...KINDS),
    flags: fc.nat(0x3ff),
    nameLength: fc.nat(255),
    inlineLength: fc.nat(768),
    attributesLength: fc.nat(128),
  })
  .filter((value) => layoutRecord(value, newLayout()).length <= RECORD_MAX);

/** Records lie anywhere in a node, and the node anywhere in memory. */
const AT = 64;

/** A record of this shape, its parts zeros, with garbage before and after. */
function recordOf(value: RecordShape): { bytes: Uint8Array; length: number } {
  const { length } = layoutRecord(value, newLayout());
  const bytes = new Uint8Array(AT + length + 64).fill(0xee);
  bytes.fill(0, AT, AT + length);
  const view = viewOf(bytes);
  view.setUint16(AT, length, true);
  bytes[AT + 2] = value.nameLength;
  bytes[AT + 3] = value.kind;
  view.setUint32(AT + 4, value.flags, true);
  bytes[AT + 13] = value.kind === InodeKind.TREE ? TreeKind.RECLAIM : 0;
  view.setUint16(AT + 96, value.inlineLength, true);
  view.setUint16(AT + 98, value.attributesLength, true);
  return { bytes, length };
}

/** The sum of what is there, as docs/FORMAT.md 8.2 lists it. */
function sizeOf({ flags, nameLength, inlineLength, attributesLength }: RecordShape): number {
  const pad = (length: number): number => Math.ceil(length / 4) * 4;
  const has = (flag: number): boolean => (flags & flag) !== 0;
  let size = RECORD_FIXED;
  if (has(InodeFlag.SLOTS)) size += has(InodeFlag.EMBED4) ? 64 : 16;
  if (has(InodeFlag.REALM)) size += 16;
  if (has(InodeFlag.LINKS)) size += 16;
  size += has(InodeFlag.ATTR_BLOCKS) ? 16 : pad(attributesLength);
  return size + pad(nameLength) + pad(inlineLength);
}

describe('layoutRecord()', () => {
  it('puts parts one after the other, at multiples of 4', () => {
    fc.assert(
      fc.property(shape, (value) => {
        const layout = layoutRecord(value, newLayout());
        const { slots, attributeSlot, identity, links, attributes, name, data } = layout;
        const starts = [slots, attributeSlot, identity, links, attributes, name, data];
        expect(slots).toBe(RECORD_FIXED);
        expect(starts).toEqual([...starts].sort((a, b) => a - b));
        expect([...starts, layout.length].every((at) => at % 4 === 0)).toBe(true);
        expect(layout.length).toBe(sizeOf(value));
        expect(layout.slotCount).toBe(embeddedSlots(value.flags));
      }),
    );
  });

  it('has room for all there can be at once but inline data', () => {
    const flags = 0x3ff & ~(InodeFlag.INLINE | InodeFlag.ATTR_BLOCKS);
    const most = { kind: InodeKind.FILE, flags, nameLength: 255, inlineLength: 0 };
    const { length } = layoutRecord({ ...most, attributesLength: 128 }, newLayout());
    expect(length).toBeLessThanOrEqual(RECORD_MAX);
  });
});

describe('readShape()', () => {
  it('reads what the layout depends on', () => {
    fc.assert(
      fc.property(shape, (value) => {
        const { bytes, length } = recordOf(value);
        expect(readShape(bytes, AT, newShape())).toEqual(value);
        expect(recordKind(bytes, AT)).toBe(value.kind);
        expect(recordNameLength(bytes, AT)).toBe(value.nameLength);
        expect(recordNameOffset(bytes, AT)).toBe(layoutRecord(value, newLayout()).name);
        expect(recordFault(bytes, AT, length)).toBeUndefined();
      }),
    );
  });

  it('has neither data nor attributes for a LINK', () => {
    const length = linkRecordLength(5);
    const bytes = new Uint8Array(200).fill(0xff);
    bytes.set([length, 0, 5, InodeKind.LINK, 0, 0, 0, 0], AT);
    const read = readShape(bytes, AT, newShape());
    expect(read).toMatchObject({ inlineLength: 0, attributesLength: 0 });
    expect(recordNameOffset(bytes, AT)).toBe(16);
    expect(recordFault(bytes, AT, length)).toBeUndefined();
  });
});

describe('visitRecordSlots()', () => {
  it('shows every slot of the record, in order, inside it', () => {
    fc.assert(
      fc.property(shape, (value) => {
        const { bytes, length } = recordOf(value);
        const seen: number[] = [];
        visitRecordSlots(wordsOf(bytes), bytes, AT, (_, at) => seen.push(at * 4 - AT));
        const { slots, attributeSlot, links } = layoutRecord(value, newLayout());
        const expected = Array.from(
          { length: embeddedSlots(value.flags) },
          (_, i) => slots + 16 * i,
        );
        if ((value.flags & InodeFlag.ATTR_BLOCKS) !== 0) expected.push(attributeSlot);
        if ((value.flags & InodeFlag.LINKS) !== 0) expected.push(links);
        expect(seen).toEqual(expected);
        for (const at of seen) expect(at + 16).toBeLessThanOrEqual(length);
      }),
    );
  });

  it.each([
    [InodeKind.FILE, 0, SlotRole.DATA, 0],
    [InodeKind.FILE, 1, SlotRole.MAP, 0],
    [InodeKind.FILE, 6, SlotRole.MAP, 5],
    [InodeKind.SYMLINK, 0, SlotRole.DATA, 0],
    [InodeKind.DIRECTORY, 0, SlotRole.KEYED, TreeKind.DIRECTORY],
    [InodeKind.TREE, TreeKind.RECLAIM, SlotRole.KEYED, TreeKind.RECLAIM],
  ])('says what hangs from kind %i of depth %i', (kind, depth, role, detail) => {
    expect(rootRole(kind, depth)).toBe(role);
    expect(rootDetail(kind, depth)).toBe(detail);
  });
});

describe('recordFault()', () => {
  const plain: RecordShape = { ...newShape(), nameLength: 8, flags: InodeFlag.SLOTS };

  it.each<[string, (bytes: Uint8Array) => void, RegExp]>([
    ['another length', (b) => b.set([4], AT), /length is 4, its entry says 124/],
    ['kind 0', (b) => b.set([0], AT + 3), /kind is 0/],
    ['kind 10', (b) => b.set([10], AT + 3), /kind is 10/],
    ['a longer name', (b) => b.set([9], AT + 2), /parts do not fill it/],
    ['more slots', (b) => b.set([2], AT + 4), /parts do not fill it/],
    ['more inline data', (b) => b.set([0xff, 0xff], AT + 96), /parts do not fill it/],
    ['a depth of 7', (b) => b.set([7], AT + 13), /depth is 7/],
    ['a TREE of directories', (b) => b.set([InodeKind.TREE], AT + 3), /depth is 0/],
    ['a LINK that is too long', (b) => b.set([InodeKind.LINK], AT + 3), /name overflows/],
  ])('finds %s', (_, change, finding) => {
    const { bytes, length } = recordOf(plain);
    change(bytes);
    expect(recordFault(bytes, AT, length)).toMatch(finding);
  });

  it('finds attributes in more blocks than a node has slots', () => {
    const value = { ...plain, flags: InodeFlag.ATTR_BLOCKS, attributesLength: 257 };
    const { bytes, length } = recordOf(value);
    expect(recordFault(bytes, AT, length)).toMatch(/257 blocks/);
  });

  it('finds a record too short to have a length', () => {
    expect(recordFault(Uint8Array.of(8, 0, 0, 0, 0, 0, 0, 0), 0, 8)).toMatch(/length is 8/);
    const { bytes } = recordOf(plain);
    viewOf(bytes).setUint16(AT, 96, true);
    expect(recordFault(bytes, AT, 96)).toMatch(/96 bytes, fewer than 100/);
  });

  it('lets nothing through that leads out of the record', () => {
    const edits = fc.array(fc.tuple(fc.nat(99), fc.nat(255)), { maxLength: 6 });
    fc.assert(
      fc.property(shape, edits, (value, changes) => {
        const { bytes, length } = recordOf(value);
        for (const [at, byte] of changes) bytes[AT + at] = byte;
        if (recordFault(bytes, AT, length) !== undefined) return;
        const start = recordNameOffset(bytes, AT);
        expect(start + recordNameLength(bytes, AT)).toBeLessThanOrEqual(length);
        visitRecordSlots(wordsOf(bytes), bytes, AT, (_, at) => {
          expect(at * 4 - AT + 16).toBeLessThanOrEqual(length);
        });
      }),
      { numRuns: 2000 },
    );
  });
});

describe('standIn()', () => {
  it('is a safe integer from 2^52 on, the same for the same two realms', () => {
    const realm = fc.nat(Number.MAX_SAFE_INTEGER);
    fc.assert(
      fc.property(realm, realm, (outer, stored) => {
        const number = standIn(outer, stored);
        expect(number).toBeGreaterThanOrEqual(STAND_IN);
        expect(number).toBeLessThanOrEqual(Number.MAX_SAFE_INTEGER);
        expect(standIn(outer, stored)).toBe(number);
        if (outer !== stored) expect(standIn(stored, outer)).not.toBe(number);
      }),
    );
  });
});
