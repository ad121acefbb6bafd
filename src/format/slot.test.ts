import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Block, Txg } from '../base/index.ts';
import {
  clearSlot,
  copySlot,
  DIRTY,
  NOCSUM,
  SlotKind,
  sameSlot,
  sealSlot,
  setSlot,
  slotBirth,
  slotBlock,
  slotChecksum,
  slotFlags,
  slotHasBlock,
  slotKind,
  TWIN,
} from './slot.ts';

const u32 = fc.nat(0xffffffff);
const fields = fc.record({
  block: u32.map((block) => block as Block),
  flags: fc.nat(0xff),
  birth: fc.nat(2 ** 48 - 1).map((birth) => birth as Txg),
  checksum: u32,
});

describe('setSlot()', () => {
  it('stores what is read back, and touches no other word', () => {
    fc.assert(
      fc.property(fields, fc.nat(3), (slot, at) => {
        const words = new Uint32Array(8).fill(0x5a5a5a5a);
        setSlot(words, at, slot);
        expect(slotBlock(words, at)).toBe(slot.block);
        expect(slotFlags(words, at)).toBe(slot.flags);
        expect(slotBirth(words, at)).toBe(slot.birth);
        expect(slotChecksum(words, at)).toBe(slot.checksum);
        const outside = [...words].filter((_, i) => i < at || i >= at + 4);
        expect(outside).toEqual(new Array(4).fill(0x5a5a5a5a));
      }),
    );
  });

  it('holds the largest block, birth and checksum', () => {
    const words = new Uint32Array(4);
    const birth = (2 ** 48 - 1) as Txg;
    setSlot(words, 0, { block: 0xffffffff as Block, flags: 0xff, birth, checksum: 0xffffffff });
    expect([...words]).toEqual([0xffffffff, 0xffffff00, 0xffffffff, 0xffffffff]);
    expect(slotBirth(words, 0)).toBe(birth);
  });
});

describe('a slot', () => {
  it('of zeros is a hole', () => {
    const words = new Uint32Array(4);
    expect(slotKind(words, 0)).toBe(SlotKind.HOLE);
    expect(slotHasBlock(words, 0)).toBe(false);
  });

  it.each(Object.entries(SlotKind))('of kind %s names a block only as data or node', (_, kind) => {
    const words = new Uint32Array(4);
    setSlot(words, 0, { block: 7 as Block, flags: kind | TWIN, birth: 1 as Txg, checksum: 2 });
    expect(slotKind(words, 0)).toBe(kind);
    expect(slotHasBlock(words, 0)).toBe(kind === SlotKind.DATA || kind === SlotKind.NODE);
  });

  it('is copied and cleared whole', () => {
    fc.assert(
      fc.property(fields, (slot) => {
        const words = new Uint32Array(8);
        setSlot(words, 0, slot);
        copySlot(words, 0, words, 4);
        expect(words.subarray(4)).toEqual(words.subarray(0, 4));
        expect(sameSlot(words, 0, words, 4)).toBe(true);
        clearSlot(words, 0);
        expect([...words.subarray(0, 4)]).toEqual([0, 0, 0, 0]);
      }),
    );
  });

  it('is the same as another by kind and block, not by birth or checksum', () => {
    const words = new Uint32Array(8);
    const slot = {
      block: 7 as Block,
      flags: SlotKind.DATA as number,
      birth: 1 as Txg,
      checksum: 2,
    };
    setSlot(words, 0, slot);
    setSlot(words, 4, { ...slot, flags: slot.flags | NOCSUM, birth: 9 as Txg, checksum: 8 });
    expect(sameSlot(words, 0, words, 4)).toBe(true);
    setSlot(words, 4, { ...slot, flags: SlotKind.NODE });
    expect(sameSlot(words, 0, words, 4)).toBe(false);
    setSlot(words, 4, { ...slot, block: 8 as Block });
    expect(sameSlot(words, 0, words, 4)).toBe(false);
  });
});

describe('sealSlot()', () => {
  it('gives a checksum, takes DIRTY away and leaves the rest', () => {
    fc.assert(
      fc.property(fields, u32, (slot, checksum) => {
        const words = new Uint32Array(4);
        setSlot(words, 0, { ...slot, flags: slot.flags | DIRTY });
        sealSlot(words, 0, checksum);
        expect(slotFlags(words, 0)).toBe(slot.flags & ~DIRTY);
        expect(slotChecksum(words, 0)).toBe(checksum);
        expect(slotBlock(words, 0)).toBe(slot.block);
        expect(slotBirth(words, 0)).toBe(slot.birth);
      }),
    );
  });
});
