/**
 * Writeback: what is written, in how many transfers and in what order, and who waits for whom.
 */
import { describe, expect, it } from 'vitest';
import { Plan } from '../../src/base/index.ts';
import { Writeback } from '../../src/iomap/index.ts';
import { audit, B, expectSame, noise, Rig, writing } from './rig.ts';
import { ToyFile } from './toy-filesystem.ts';

/** Dirty blocks of new files, one file per list of blocks. */
async function dirty(rig: Rig, ...files: number[][]): Promise<ToyFile[]> {
  const made = files.map(() => new ToyFile(rig.toy));
  for (const [i, blocks] of files.entries()) {
    for (const block of blocks) {
      await rig.do(writing(made[i] as ToyFile, block * B, noise(B, block + 1)));
    }
  }
  return made;
}

/** Blocks of all files that have become known to their maps, in that order. */
function completions({ toy }: Rig): string[] {
  const seen: string[] = [];
  const complete = toy.complete.bind(toy);
  toy.complete = (ioend) => {
    const first = ioend.offset / B;
    seen.push(`${ioend.file.id}: ${first} to ${first + ioend.frames.length - 1}`);
    complete(ioend);
  };
  return seen;
}

describe('Writeback', () => {
  it('writes runs of a file in file order, in one transfer if the places follow', async () => {
    const rig = new Rig();
    const seen = completions(rig);
    await dirty(rig, [20, 3, 4, 2, 19]);
    const { writes } = rig.device.counters;
    expect(await rig.do(rig.syncing())).toBe(5);
    expect(seen).toEqual(['1: 2 to 4', '1: 19 to 20']);
    expect(rig.device.counters.writes - writes).toBe(1);
    audit(rig);
  });

  it('makes as many runs as there are places', async () => {
    const rig = new Rig();
    const seen = completions(rig);
    for (let block = 1; block < rig.toy.counts.length; block += 3) rig.toy.counts[block] = 1;
    await dirty(rig, [0, 1, 2, 3, 4]);
    await rig.do(rig.syncing());
    expect(seen).toEqual(['1: 0 to 0', '1: 1 to 2', '1: 3 to 4']);
  });

  it('takes the file that has been dirty longest first, whole', async () => {
    const rig = new Rig();
    const seen = completions(rig);
    const [first] = await dirty(rig, [0], [0, 1]);
    await rig.do(writing(first as ToyFile, 30 * B, noise(B)));
    expect(await rig.do(new Writeback(rig.toy.pool, { blocks: 2 }))).toBe(2);
    expect(seen).toEqual(['1: 0 to 0', '1: 30 to 30']);
    await rig.do(rig.syncing());
    audit(rig);
  });

  it('goes on where the last round stopped', async () => {
    const rig = new Rig();
    const seen = completions(rig);
    const [file] = await dirty(rig, [0, 20, 40]);
    await rig.do(new Writeback(rig.toy.pool, { blocks: 1 }));
    await rig.do(writing(file as ToyFile, 0, noise(B)));
    await rig.do(new Writeback(rig.toy.pool, { blocks: 1 }));
    expect(seen).toEqual(['1: 0 to 0', '1: 20 to 20']);
    await rig.do(new Writeback(rig.toy.pool, { blocks: 2 }));
    expect(seen).toEqual(['1: 0 to 0', '1: 20 to 20', '1: 40 to 40', '1: 0 to 0']);
    audit(rig);
  });

  it('writes back only the files that are chosen', async () => {
    const rig = new Rig();
    const [first, second] = await dirty(rig, [0], [0]);
    await rig.do(new Writeback(rig.toy.pool, { only: (file) => file === second }));
    expect([first?.clean, second?.clean]).toEqual([false, true]);
  });

  it('leaves what it wrote in the cache', async () => {
    const rig = new Rig();
    const [file] = await dirty(rig, [0, 1, 2]);
    await rig.do(rig.syncing());
    expectSame(await rig.contents(file as ToyFile, 2 * B), noise(B, 3));
    expect(rig.memory.blocksRead).toEqual([]);
  });

  it('gives the device nothing to do if nothing is dirty', async () => {
    const rig = new Rig();
    expect(await rig.do(rig.syncing())).toBe(0);
    expect(rig.device.counters.operations).toBe(0);
  });

  it('leaves a file alone that another one is writing back, and takes the others', async () => {
    const rig = new Rig({ gated: true });
    const [first, second] = await dirty(rig, [0], [0]);
    rig.gate.shut();
    const one = rig.start(new Writeback(rig.toy.pool, { only: (file) => file === first }));
    rig.run(writing(first as ToyFile, 0, noise(B, 7)));
    const two = rig.start(rig.syncing());
    expect(rig.gate.waiting).toEqual(['write', 'write']);
    await rig.gate.passOne('last');
    expect([first?.map.size, second?.map.size]).toEqual([0, 1]);
    await rig.open(one, two);
    expectSame(await rig.contents(first as ToyFile), noise(B, 7));
    audit(rig);
  });

  it('does not end while data is in flight that was dirty before', async () => {
    const rig = new Rig({ gated: true });
    const [file] = await dirty(rig, [0]);
    rig.gate.shut();
    const one = rig.start(rig.syncing());
    let mapped = 0;
    const two = rig.start(rig.syncing()).then(() => {
      mapped = file?.map.size ?? 0;
    });
    await rig.open<unknown>(one, two);
    expect(mapped).toBe(1);
  });

  it('has written all that was dirty at the start, whatever came since', async () => {
    const rig = new Rig({ gated: true, frames: 4096, deviceBlocks: 2048 });
    const [long, other] = [new ToyFile(rig.toy), new ToyFile(rig.toy)];
    await rig.do(writing(long, 0, noise(1100 * B)));
    await rig.do(writing(other, 0, noise(B)));
    rig.gate.shut();
    const sync = rig.start(rig.syncing());
    for (let n = 1100; n < 1400; n += 100) rig.run(writing(long, n * B, noise(100 * B)));
    await rig.open(sync);
    expect(other.clean).toBe(true);
  });
});

describe('BufferPool', () => {
  it('lets a write wait for writeback at the limit of dirty blocks', async () => {
    const rig = new Rig({ dirtyLimit: 16 });
    const file = new ToyFile(rig.toy);
    await rig.do(writing(file, 0, noise(100 * B)));
    expect(rig.toy.pool.dirtyBlocks).toBeLessThanOrEqual(16);
    expect(rig.device.counters.bytesWritten).toBeGreaterThanOrEqual(84 * B);
    expectSame(await rig.contents(file), noise(100 * B));
    audit(rig);
  });

  it('lets a write wait at the limit for data in flight', async () => {
    const rig = new Rig({ gated: true, dirtyLimit: 16 });
    const [file] = await dirty(rig, [...Array(16).keys()]);
    rig.gate.shut();
    const sync = rig.start(rig.syncing());
    const write = Promise.allSettled([rig.start(writing(file as ToyFile, 0, noise(B, 99)))]);
    await rig.gate.pass('read');
    await rig.open(sync);
    expect(await write).toEqual([{ status: 'fulfilled', value: B }]);
    expectSame(await rig.contents(file as ToyFile, 0, B), noise(B, 99));
    audit(rig);
  });

  it('gives everybody who waits the same relief', async () => {
    const rig = new Rig();
    await dirty(rig, [0]);
    const { pool } = rig.toy;
    const relief = pool.relief();
    expect(pool.relief()).toBe(relief);
    await rig.do(relief);
    expect(pool.relief()).not.toBe(relief);
  });

  it('drained() names what has to end before the chosen files are on the device', async () => {
    const rig = new Rig({ gated: true });
    const { pool } = rig.toy;
    const [first, second] = await dirty(rig, [0], [0]);
    const drained = (file: ToyFile | undefined): boolean => {
      const plan = new Plan();
      plan.restart();
      const done = pool.drained(plan, (other) => other === file);
      expect(done).toBe(plan.after.length === 0);
      return done;
    };
    expect([drained(first), drained(second)]).toEqual([false, false]);
    rig.gate.shut();
    const sync = rig.start(new Writeback(pool, { only: (file) => file === first }));
    expect([drained(first), drained(second)]).toEqual([false, false]);
    await rig.open(sync);
    expect([drained(first), drained(second)]).toEqual([true, false]);
  });
});
