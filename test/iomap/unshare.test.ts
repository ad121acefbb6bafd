/**
 * Blocks that become dirty as they are: unshare, and what makes a range ready for stores.
 */
import { describe, expect, it } from 'vitest';
import { BLOCK_SIZE as B, errorCode } from '../../src/base/index.ts';
import { attempt, MakeWritable, Unshare } from '../../src/iomap/index.ts';
import { audit, cloning, expectSame, noise, Rig, truncating, writing } from './rig.ts';
import { ToyFile } from './toy-filesystem.ts';

const FILE_BLOCKS = 20;

async function shared(): Promise<{ rig: Rig; file: ToyFile; clone: ToyFile; old: Uint8Array }> {
  const rig = new Rig();
  const old = noise(FILE_BLOCKS * B - 100);
  const file = await rig.stored(old);
  const clone = await rig.do(cloning(file));
  rig.forget();
  return { rig, file, clone, old };
}

function sharedBlocks({ toy }: Rig, { map }: ToyFile): number[] {
  return [...map].filter(([, on]) => (toy.counts[on] as number) > 1).map(([of]) => of);
}

describe('unshare', () => {
  it.each([
    ['one byte', 3 * B + 1, 1, [3]],
    ['the end of one block and the start of another', 4 * B - 1, 2, [3, 4]],
    ['all of it, and what is behind the end', 0, 100 * B, Array.from({ length: 20 }, (_, i) => i)],
    ['what is behind the end', 20 * B, B, []],
  ])('of %s copies those blocks', async (_, at, length, blocks) => {
    const { rig, file, clone, old } = await shared();
    await rig.do(new Unshare(clone, at, length));
    expect(rig.memory.blocksRead).toHaveLength(blocks.length);
    await rig.do(rig.syncing());
    const rest = Array.from({ length: FILE_BLOCKS }, (_, i) => i).filter(
      (i) => !blocks.includes(i),
    );
    expect(sharedBlocks(rig, clone)).toEqual(rest);
    rig.forget();
    expectSame(await rig.contents(clone), old, 'clone');
    expectSame(await rig.contents(file), old, 'file');
    audit(rig);
  });

  it('leaves holes, what is dirty, and what nobody shares', async () => {
    const { rig, file, clone } = await shared();
    await rig.do(writing(clone, 2 * B, noise(B, 7)));
    await rig.do(truncating(clone, 5 * B));
    await rig.do(truncating(clone, 30 * B));
    const wanted = await rig.contents(clone);
    rig.forget();
    await rig.do(new Unshare(clone, 0, 30 * B));
    expect(rig.memory.blocksRead).toHaveLength(4);
    expect(rig.toy.pool.dirtyBlocks).toBe(5);
    await rig.do(rig.syncing());
    const where = [...clone.map];
    expect(where).toHaveLength(5);
    await rig.do(new Unshare(clone, 0, 30 * B));
    expect(rig.toy.pool.dirtyBlocks).toBe(0);
    await rig.do(new Unshare(file, 0, 30 * B));
    expect(rig.toy.pool.dirtyBlocks).toBe(0);
    expectSame(await rig.contents(clone), wanted, 'clone');
    audit(rig);
  });

  it('works in chunks where memory is small', async () => {
    const rig = new Rig({ frames: 64, dirtyLimit: 8 });
    const old = noise(40 * B);
    const clone = await rig.do(cloning(await rig.stored(old)));
    await rig.do(new Unshare(clone, 5, 40 * B));
    await rig.do(rig.syncing());
    expect(sharedBlocks(rig, clone)).toEqual([]);
    expectSame(await rig.contents(clone), old, 'clone');
    audit(rig);
  });
});

describe('make writable', () => {
  it('takes space for every block of the range, so that a store there can do without', async () => {
    const { rig, file, clone, old } = await shared();
    const sparse = new ToyFile(rig.toy);
    await rig.do(truncating(sparse, 10 * B));
    rig.forget();
    await rig.do(new MakeWritable(clone, 3 * B + 5, 2 * B));
    expect(rig.memory.blocksRead).toHaveLength(3);
    await rig.do(new MakeWritable(sparse, B, B));
    expect(rig.toy.pool.dirtyBlocks).toBe(4);
    const store = writing(clone, 4 * B + 3, noise(50, 9));
    store.overwriteOnly = true;
    expect(attempt(store)).toBe(50);
    expect(rig.toy.pool.dirtyBlocks).toBe(4);
    await rig.do(rig.syncing());
    const wanted = old.slice();
    wanted.set(noise(50, 9), 4 * B + 3);
    expectSame(await rig.contents(clone), wanted, 'clone');
    expectSame(await rig.contents(file), old, 'file');
    expectSame(await rig.contents(sparse), new Uint8Array(10 * B), 'sparse file');
    audit(rig);
  });

  it('is refused behind the last block', async () => {
    const { rig, clone } = await shared();
    const beyond = rig.do(new MakeWritable(clone, 0, FILE_BLOCKS * B + 1));
    await expect(beyond).rejects.toMatchObject({ code: 'EINVAL' });
    audit(rig);
  });
});

describe('an attempt', () => {
  it('does at once what needs nothing, and refuses what has to wait', async () => {
    const { rig, file, old } = await shared();
    const codeOf = (call: () => unknown): string | undefined => {
      try {
        call();
        return undefined;
      } catch (error) {
        return errorCode(error);
      }
    };
    expect(codeOf(() => attempt(writing(file, 5, noise(10))))).toBe('EAGAIN');
    expect(attempt(writing(file, 5 * B, noise(B, 3)))).toBe(B);
    expect(rig.memory.blocksRead).toEqual([]);
    old.set(noise(B, 3), 5 * B);
    const over = writing(file, 5 * B + 10, noise(100, 4));
    over.overwriteOnly = true;
    expect(attempt(over)).toBe(100);
    old.set(noise(100, 4), 5 * B + 10);
    for (const [at, length] of [
      [5 * B, B + 1],
      [4 * B, B],
      [file.size - 1, 2],
    ] as const) {
      const more = writing(file, at, noise(length));
      more.overwriteOnly = true;
      expect(codeOf(() => attempt(more))).toBe('EAGAIN');
    }
    expectSame(await rig.contents(file), old, 'file');
    audit(rig);
  });

  it('of a block in flight is refused: a store would need another place', async () => {
    const rig = new Rig({ gated: true });
    const file = await rig.stored(noise(4 * B));
    await rig.do(writing(file, 0, noise(B, 5)));
    rig.gate.shut();
    const sync = rig.start(rig.syncing());
    await Promise.resolve();
    const over = writing(file, 0, noise(10));
    over.overwriteOnly = true;
    expect(() => attempt(over)).toThrow(/not in a dirty block/u);
    await rig.open(sync);
    audit(rig);
  });
});
