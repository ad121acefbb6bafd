import { describe, expect, it } from 'vitest';
import {
  BLOCK_SIZE,
  type Block,
  CorruptionError,
  checksum32,
  type Frame,
  type Io,
  NO_FRAME,
  PlainIo,
  Plan,
  PlannedOperation,
} from '../base/index.ts';
import { BlockCache, type BlockKind, LoadFlag } from './block-cache.ts';

const FRAMES = 64;
const SEED = 7n;
const KIND: BlockKind = { name: 'test block' };

const block = (n: number): Block => n as Block;

function newCache(): BlockCache {
  return new BlockCache({ capacity: FRAMES * BLOCK_SIZE, seed: SEED });
}

/** A plan in its first round. */
function newPlan(): Plan {
  const plan = new Plan();
  plan.restart();
  return plan;
}

function contents(n: number): Uint8Array {
  return new Uint8Array(BLOCK_SIZE).fill(n & 255);
}

/** Asks for a block that holds `contents(n)`; the transfer, or the frame if it is there. */
function want(cache: BlockCache, plan: Plan, n: number, flags = 0): Io | Frame {
  const frame = cache.want(plan, block(n), checksum32(contents(n), SEED), flags, KIND);
  return frame === NO_FRAME ? (plan.io.at(-1) as Io) : frame;
}

/** The device answers a read with `contents(n)`, or fails. */
function answer(io: Io, n: number | Error): Io | undefined {
  if (typeof n !== 'number') return io.finish(n);
  io.buffers[0]?.set(contents(n));
  return io.finish(undefined);
}

/** Makes blocks resident and clean, without pins. */
function load(cache: BlockCache, ...blocks: number[]): void {
  for (const n of blocks) {
    const plan = newPlan();
    answer(want(cache, plan, n) as Io, n);
    cache.unpin(plan);
  }
}

function loadAll(cache: BlockCache): void {
  load(cache, ...Array.from({ length: FRAMES }, (_, i) => i));
}

class Relief extends PlannedOperation<void> {
  protected override prepare(): void {}
  protected override apply(): boolean {
    return this.finish(undefined);
  }
}

describe('BlockCache.want()', () => {
  it('reads a block that is missing, once, whoever asks', () => {
    const cache = newCache();
    const [one, two] = [newPlan(), newPlan()];
    const io = want(cache, one, 5) as Io;
    expect(io).toMatchObject({ kind: 'read', position: 5 * BLOCK_SIZE, length: BLOCK_SIZE });
    expect(want(cache, two, 5)).toBe(io);
    expect([cache.find(block(5)), cache.isLoading(block(5)), cache.loads]).toEqual([-1, true, 1]);

    answer(io, 5);
    expect(cache.isLoading(block(5))).toBe(false);
    const frame = cache.resident(block(5));
    expect(cache.view(frame)).toEqual(contents(5));
    expect([want(cache, one, 5), cache.blockOf(frame), cache.loads]).toEqual([frame, 5, 1]);
  });

  it('pins what it loads until every plan that asked has let go (C3)', () => {
    const cache = newCache();
    const [one, two] = [newPlan(), newPlan()];
    const io = want(cache, one, 5) as Io;
    want(cache, two, 5);
    answer(io, 5);
    for (const [plan, busy] of [
      [one, 1],
      [two, 0],
    ] as const) {
      cache.evictAll();
      expect(cache.find(block(5))).not.toBe(NO_FRAME);
      cache.unpin(plan);
      expect(cache.busy).toBe(busy);
    }
    cache.evictAll();
    expect(cache.find(block(5))).toBe(NO_FRAME);
  });

  it('does not pin twice for a plan that asks again', () => {
    const cache = newCache();
    const plan = newPlan();
    const io = want(cache, plan, 5) as Io;
    plan.restart();
    expect(want(cache, plan, 5)).toBe(io);
    answer(io, 5);
    cache.unpin(plan);
    expect([cache.busy, plan.pinned.length]).toEqual([0, 0]);
  });

  it('asks for relief if no frame can be taken, and for nothing else then', () => {
    const cache = newCache();
    const relief = new Relief();
    cache.relief = () => relief;
    for (let i = 0; i < FRAMES; i++) cache.take();
    const plan = newPlan();
    cache.want(plan, block(5), 0, 0, KIND);
    expect([plan.io, plan.after]).toEqual([[], [relief]]);
    cache.want(plan, block(6), 0, 0, KIND);
    expect(plan.after).toEqual([relief]);
  });

  it('waits for what the plan needs already before it asks for relief', () => {
    const cache = newCache();
    for (let i = 1; i < FRAMES; i++) cache.take();
    const plan = newPlan();
    want(cache, plan, 5);
    expect(cache.want(plan, block(6), 0, 0, KIND)).toBe(NO_FRAME);
    expect([plan.io.length, plan.after]).toEqual([1, []]);
  });

  it('waits for a load of somebody else, well or not, if there is no relief', () => {
    const cache = newCache();
    for (let i = 1; i < FRAMES; i++) cache.take();
    const other = newPlan();
    const io = want(cache, other, 5) as Io;
    const plan = newPlan();
    cache.want(plan, block(6), 0, 0, KIND);
    expect([plan.io, plan.behind, plan.ready]).toEqual([[], [io], false]);
    answer(io, new Error('no'));
    cache.unpin(other);
    plan.restart();
    expect(want(cache, plan, 6)).toBe(plan.io[0]);
  });

  it('refuses an operation that needs half the cache at once', () => {
    const cache = newCache();
    const plan = newPlan();
    for (let i = 0; i < FRAMES / 2; i++) want(cache, plan, i);
    expect(() => want(cache, plan, FRAMES)).toThrow(
      expect.objectContaining({ code: 'ENOMEM', message: expect.stringContaining('32 blocks') }),
    );
  });

  it('keeps what a round of planning has found until that round is applied', () => {
    const cache = newCache();
    loadAll(cache);
    const plan = newPlan();
    const frames = [0, 1, 62, 63].map((n) => want(cache, plan, n));
    const taken = Array.from({ length: FRAMES / 2 }, () => cache.take());
    expect(taken.filter((frame) => frames.includes(frame))).toEqual([]);
  });

  it('forgets a load with the plan, if no device was ever asked for it', () => {
    const cache = newCache();
    const plan = newPlan();
    want(cache, plan, 5);
    cache.unpin(plan);
    expect([cache.isLoading(block(5)), cache.busy]).toEqual([false, 0]);
  });
});

describe('a load', () => {
  it('fails if the device does, and is tried again by the next one who asks', () => {
    const cache = newCache();
    const plan = newPlan();
    const error = new Error('no');
    const io = want(cache, plan, 5) as Io;
    expect(answer(io, error)).toBeUndefined();
    expect(io.error).toBe(error);
    expect([cache.find(block(5)), cache.busy]).toEqual([NO_FRAME, 1]);
    cache.unpin(plan);
    expect(cache.busy).toBe(0);
    expect(want(cache, newPlan(), 5)).not.toBe(io);
  });

  it('fails if the checksum differs, and says what was found (C4)', () => {
    const cache = newCache();
    const io = want(cache, newPlan(), 5) as Io;
    answer(io, 6);
    expect(io.error).toBeInstanceOf(CorruptionError);
    const [found, wanted] = [6, 5].map((n) => checksum32(contents(n), SEED).toString(16));
    expect(io.error?.message).toBe(
      `Cannot read test block at 0x5000: checksum is 0x${found}, wanted 0x${wanted}`,
    );
    expect(cache.find(block(5))).toBe(NO_FRAME);
  });

  it('does not verify a block without a checksum', () => {
    const cache = newCache();
    const plan = newPlan();
    cache.want(plan, block(5), 0, LoadFlag.UNVERIFIED, KIND);
    answer(plan.io[0] as Io, 77);
    expect(cache.view(cache.resident(block(5)))).toEqual(contents(77));
  });

  it('fails if the content is not what the kind of block must be', () => {
    const cache = newCache();
    const plan = newPlan();
    const fault: BlockKind['fault'] = (_words, base, bytes) =>
      `it begins with ${bytes[base * 4]} at word ${base}`;
    cache.want(plan, block(5), 0, LoadFlag.UNVERIFIED, { name: 'odd block', fault });
    const io = plan.io[0] as Io;
    answer(io, 9);
    const base = (plan.pinned[0] as number) * 1024;
    expect(io.error?.message).toBe(
      `Cannot read odd block at 0x5000: it begins with 9 at word ${base}`,
    );
  });

  it('tries the second copy after the first, and tells who can repair it', () => {
    const cache = newCache();
    const repairable: [Block, string][] = [];
    cache.onRepairable = (which, finding) => repairable.push([which, finding.message]);
    const io = want(cache, newPlan(), 5, LoadFlag.TWIN) as Io;
    const twin = answer(io, new Error('unreadable')) as Io;
    expect(twin).toMatchObject({ kind: 'read', position: 6 * BLOCK_SIZE });
    expect(cache.isLoading(block(5))).toBe(true);
    expect(answer(twin, 5)).toBeUndefined();
    expect(io.error).toBeUndefined();
    expect(cache.view(cache.resident(block(5)))).toEqual(contents(5));
    expect(repairable).toEqual([[5, 'unreadable']]);
  });

  it('tries the second copy if the first is not what it should be', () => {
    const cache = newCache();
    const io = want(cache, newPlan(), 5, LoadFlag.TWIN) as Io;
    answer(answer(io, 6) as Io, 5);
    expect([io.error, cache.view(cache.resident(block(5)))]).toEqual([undefined, contents(5)]);
  });

  it('fails with what was wrong with the first copy if the second is no better', () => {
    const cache = newCache();
    const plan = newPlan();
    const io = want(cache, plan, 5, LoadFlag.TWIN) as Io;
    const first = new Error('first');
    expect(answer(answer(io, first) as Io, new Error('second'))).toBeUndefined();
    expect(io.error).toBe(first);
    cache.unpin(plan);
    expect([cache.find(block(5)), cache.busy]).toEqual([NO_FRAME, 0]);
  });
});

describe('a frame', () => {
  it('is lent and given back', () => {
    const cache = newCache();
    const frame = cache.take();
    expect([cache.busy, cache.available]).toEqual([1, FRAMES - 1]);
    cache.give(frame);
    expect(cache.busy).toBe(0);
    expect(() => cache.give(frame)).toThrow('only a held frame can be given back');
  });

  it('that is dirty stays until it is clean', () => {
    const cache = newCache();
    const frame = cache.create(block(5));
    cache.evictAll();
    expect([cache.find(block(5)), cache.isDirty(frame), cache.busy]).toEqual([frame, true, 1]);
    cache.clean(frame);
    expect([cache.isDirty(frame), cache.busy]).toEqual([false, 0]);
    cache.evictAll();
    expect(cache.find(block(5))).toBe(NO_FRAME);
    expect(() => cache.clean(frame)).toThrow('only a dirty frame becomes clean');
  });

  it('that was lent becomes the clean copy of a block, in the place of an older one', () => {
    const cache = newCache();
    load(cache, 5);
    const frame = cache.take();
    cache.view(frame).fill(99);
    cache.adopt(frame, block(5));
    expect([cache.find(block(5)), cache.busy]).toEqual([frame, 0]);
    expect(cache.view(frame)).toEqual(contents(99));
  });

  it('that is clean moves to another block with its content, unless it is pinned', () => {
    const cache = newCache();
    load(cache, 5, 6);
    const frame = cache.resident(block(5));
    expect(cache.move(frame, block(6))).toBe(true);
    expect([cache.find(block(5)), cache.find(block(6))]).toEqual([NO_FRAME, frame]);
    expect([cache.isDirty(frame), cache.busy]).toEqual([true, 1]);
    expect(cache.view(frame)).toEqual(contents(5));
    expect(cache.move(frame, block(7))).toBe(false);

    const plan = newPlan();
    answer(want(cache, plan, 8) as Io, 8);
    expect(cache.move(cache.resident(block(8)), block(9))).toBe(false);
  });

  it('that is forgotten while pinned keeps its bytes until the pin goes', () => {
    const cache = newCache();
    const plan = newPlan();
    answer(want(cache, plan, 5) as Io, 5);
    const frame = cache.resident(block(5));
    cache.forget(block(5));
    expect([cache.find(block(5)), cache.busy]).toEqual([NO_FRAME, 1]);
    const others = Array.from({ length: FRAMES - 1 }, () => cache.take());
    expect(others).not.toContain(frame);
    expect(cache.view(frame)).toEqual(contents(5));
    cache.unpin(plan);
    expect(cache.take()).toBe(frame);
  });

  it('that is loading is not forgotten', () => {
    const cache = newCache();
    want(cache, newPlan(), 5);
    expect(() => cache.forget(block(5))).toThrow('block 5 is forgotten while it is loaded');
  });

  it('copyOut() copies a part of it, or all', () => {
    const cache = newCache();
    const frame = cache.take();
    cache.view(frame).set(contents(0).map((_, i) => i & 255));
    const target = new Uint8Array(8);
    cache.copyOut(frame, 300, 4, target, 2);
    expect([...target]).toEqual([0, 0, 44, 45, 46, 47, 0, 0]);
    const whole = new Uint8Array(BLOCK_SIZE + 1);
    cache.copyOut(frame, 0, BLOCK_SIZE, whole, 1);
    expect(whole.subarray(1)).toEqual(cache.view(frame));
  });
});

describe('BlockCache', () => {
  it('evicts what has not been looked at for longest, more or less', () => {
    const cache = newCache();
    loadAll(cache);
    newPlan();
    cache.take(); // the hand has been around once: nothing counts as looked at any more
    const looked = Array.from({ length: 20 }, (_, i) => block(40 + i)).filter(
      (it) => cache.find(it) !== NO_FRAME,
    );
    newPlan();
    for (let i = 0; i < 30; i++) cache.take();
    expect(looked.every((it) => cache.find(it) !== NO_FRAME)).toBe(true);
  });

  it('has a place for every block, however they collide', () => {
    const cache = newCache();
    // Multiples of 2^25: with a table of 128 places, many begin their search at the same one.
    const blocks = Array.from({ length: FRAMES }, (_, i) => i * 2 ** 25);
    load(cache, ...blocks);
    for (const n of blocks.filter((_, i) => i % 3 === 0)) cache.forget(block(n));
    for (const [i, n] of blocks.entries()) {
      expect(cache.find(block(n)) !== NO_FRAME).toBe(i % 3 !== 0);
    }
  });

  it('is not smaller than it can work with', () => {
    const small = () => new BlockCache({ capacity: 63 * BLOCK_SIZE, seed: SEED });
    expect(small).toThrow('A cache has at least 64 blocks, not 63');
  });

  it('resident() is a broken promise if the block is not there', () => {
    expect(() => newCache().resident(block(5))).toThrow(
      'block 5 was planned for but is not in memory',
    );
  });

  it('room() is there as long as enough frames are neither busy, promised nor kept (C6)', () => {
    const cache = newCache();
    const plan = newPlan();
    const kept = FRAMES / 8;
    cache.promised = 5;
    for (let i = 0; i < FRAMES - kept - 5 - 3; i++) cache.take();
    expect(cache.room(plan, 3)).toBe(true);
    expect(() => cache.room(plan, 4)).toThrow(expect.objectContaining({ code: 'ENOMEM' }));
    plan.need(new PlainIo('flush'));
    expect(cache.room(plan, 4)).toBe(false);
  });
});
