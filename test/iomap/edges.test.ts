/**
 * What a write reads. Only a first or a last block that it covers in part has old bytes to keep, so
 * it never reads more than two blocks, however long it is, and an aligned write reads none.
 *
 *   file     |  0  |  1  |  2  |  3  |        all of it on the device, shared with a clone
 *   write       [------------]                from the middle of 0 to the middle of 2
 *   reads     (0)         (2)
 */
import { describe, expect, it } from 'vitest';
import { BLOCK_SIZE as B } from '../../src/base/index.ts';
import { Edge, RequestFlag } from '../../src/iomap/index.ts';
import { audit, cloning, expectSame, noise, Rig, reading, truncating, writing } from './rig.ts';
import { ToyFile } from './toy-filesystem.ts';

const FILE_BLOCKS = 40;

/** A file of 40 blocks and its clone, on the device only. */
async function shared(): Promise<{ rig: Rig; file: ToyFile; clone: ToyFile; old: Uint8Array }> {
  const rig = new Rig();
  const old = noise(FILE_BLOCKS * B);
  const file = await rig.stored(old);
  return { rig, file, clone: await rig.do(cloning(file)), old };
}

/** Blocks of `file` that were read, in order. */
function blocksRead(rig: Rig, file: ToyFile): number[] {
  const index = new Map([...file.map].map(([of, on]) => [on, of]));
  return rig.memory.blocksRead.map((block) => index.get(block) ?? NaN).sort((a, b) => a - b);
}

/** Edges that each write asks sources for, from now on. */
function edgesAsked({ toy }: Rig): number[] {
  const asked: number[] = [];
  const begin = toy.begin.bind(toy);
  toy.begin = (file, request, answer, plan) => {
    if (request.flag === RequestFlag.WRITE) asked.push(request.edges);
    return begin(file, request, answer, plan);
  };
  return asked;
}

describe('a write over shared blocks', () => {
  it.each([
    ['one whole block', 3 * B, B, []],
    ['many whole blocks', 3 * B, 30 * B, []],
    ['a part of a block', 3 * B + 10, 20, [3]],
    ['the beginning of a block', 3 * B, 1, [3]],
    ['the end of a block', 4 * B - 1, 1, [3]],
    ['an unaligned head', 3 * B + 1, 2 * B - 1, [3]],
    ['an unaligned tail', 3 * B, 2 * B + 1, [5]],
    ['two neighbours in part', 4 * B - 1, 2, [3, 4]],
    ['head and tail', 3 * B + 1, 2 * B, [3, 5]],
    ['head and tail far apart', B / 2, 30 * B, [0, 30]],
    ['up to the end of the file', 38 * B + 5, 2 * B - 5, [38]],
    ['beyond the end of the file', 39 * B + 5, 3 * B, [39]],
    ['a part of a block behind the end', 41 * B + 5, 10, []],
  ])('of %s reads its edges and nothing else', async (_, at, length, wanted) => {
    const { rig, file, clone, old } = await shared();
    const data = noise(length, 2);
    await rig.do(writing(file, at, data));
    expect(blocksRead(rig, file)).toEqual(wanted);

    const written = new Uint8Array(Math.max(old.length, at + length));
    written.set(old);
    written.set(data, at);
    expectSame(await rig.contents(file), written, 'file');
    expectSame(await rig.contents(clone), old, 'clone');
    await rig.do(rig.syncing());
    rig.forget();
    expectSame(await rig.contents(file), written, 'file on the device');
    expectSame(await rig.contents(clone), old, 'clone on the device');
    audit(rig);
  });

  it('asks for no sources if it is aligned', async () => {
    const { rig, file } = await shared();
    const asked = edgesAsked(rig);
    await rig.do(writing(file, B, noise(5 * B)));
    expect(asked).toEqual([Edge.NONE]);
  });

  it('asks again when its edges came, and reads neighbours in one call', async () => {
    const { rig, file } = await shared();
    const asked = edgesAsked(rig);
    const { reads } = rig.device.counters;
    await rig.do(writing(file, 4 * B - 1, noise(2)));
    expect(asked).toEqual([Edge.HEAD | Edge.TAIL, Edge.HEAD | Edge.TAIL]);
    expect(rig.device.counters.reads - reads).toBe(1);
  });
});

describe('an edge that is in memory', () => {
  it('is neither asked for nor read if it is dirty', async () => {
    const { rig, file } = await shared();
    await rig.do(writing(file, 3 * B, noise(B)));
    const asked = edgesAsked(rig);
    await rig.do(writing(file, 3 * B + 5, noise(2 * B, 2)));
    expect(asked[0]).toBe(Edge.TAIL);
    expect(blocksRead(rig, file)).toEqual([5]);
  });

  it('is neither asked for nor read while it is being written', async () => {
    const rig = new Rig({ seed: 1 });
    const file = await rig.stored(noise(B));
    await rig.do(writing(file, 0, noise(B, 2)));
    const sync = rig.start(rig.syncing());
    const asked = edgesAsked(rig);
    rig.run(writing(file, 7, noise(9, 3)));
    expect(asked).toEqual([Edge.NONE]);
    await rig.schedule.run(sync);
    const wanted = noise(B, 2);
    wanted.set(noise(9, 3), 7);
    expectSame(await rig.contents(file), wanted);
    expect(rig.memory.blocksRead).toEqual([]);
    audit(rig);
  });

  it('is asked for and not read if it is clean', async () => {
    const { rig, file } = await shared();
    await rig.do(reading(file, 3 * B, new Uint8Array(B)));
    const asked = edgesAsked(rig);
    await rig.do(writing(file, 3 * B + 5, noise(10)));
    expect(asked).toEqual([Edge.HEAD]);
    expect(blocksRead(rig, file)).toEqual([3]);
  });
});

describe('a source without bytes', () => {
  /** [2, 3) a hole, [4, 5) unwritten, the rest data. */
  async function gaps(): Promise<{ rig: Rig; file: ToyFile; old: Uint8Array }> {
    const rig = new Rig();
    const file = new ToyFile(rig.toy);
    const old = noise(6 * B);
    for (const block of [0, 1, 3, 5]) {
      await rig.do(writing(file, block * B, old.subarray(block * B, (block + 1) * B)));
    }
    await rig.do(rig.syncing());
    rig.toy.preallocate(file, 4 * B, B);
    old.fill(0, 2 * B, 3 * B).fill(0, 4 * B, 5 * B);
    rig.forget();
    return { rig, file, old };
  }

  it.each([
    ['a hole at both edges', 2 * B + 10, 20, []],
    ['unwritten at both edges', 4 * B + 10, 20, []],
    ['a hole at the head', 2 * B + 10, 2 * B - 20, [3]],
    ['a hole at the tail', B + 10, B, [1]],
    ['an unwritten head', 4 * B + 1, B, [5]],
    ['an unwritten tail', 3 * B + 1, B, [3]],
    ['a hole to an unwritten block', 2 * B + 1, 2 * B, []],
  ])('is zeroed and not read: %s', async (_, at, length, wanted) => {
    const { rig, file, old } = await gaps();
    const clone = await rig.do(cloning(file));
    const data = noise(length, 2);
    await rig.do(writing(file, at, data));
    expect(blocksRead(rig, file)).toEqual(wanted);
    const written = old.slice();
    written.set(data, at);
    expectSame(await rig.contents(file), written);
    expectSame(await rig.contents(clone), old);
    await rig.do(rig.syncing());
    audit(rig);
  });

  it('is not read by readers either', async () => {
    const { rig, file, old } = await gaps();
    expectSame(await rig.contents(file), old);
    expect(blocksRead(rig, file)).toEqual([0, 1, 3, 5]);
  });

  it('is not read when the file is cut there', async () => {
    const { rig, file } = await gaps();
    for (const size of [4 * B + 100, 2 * B + 100]) await rig.do(truncating(file, size));
    expect(rig.memory.blocksRead).toEqual([]);
    expect(rig.toy.pool.dirtyBlocks).toBe(0);
  });

  it('is a block behind the end, though the device has bytes there', async () => {
    const rig = new Rig();
    const file = await rig.stored(noise(2 * B));
    await rig.do(truncating(file, B));
    await rig.do(writing(file, 2 * B + 5, noise(10, 2)));
    const wanted = new Uint8Array(2 * B + 15);
    wanted.set(noise(2 * B).subarray(0, B));
    wanted.set(noise(10, 2), 2 * B + 5);
    expect(rig.memory.blocksRead).toEqual([]);
    expectSame(await rig.contents(file), wanted);
    audit(rig);
  });
});
