/**
 * Little memory: caches smaller than the files, operations that wait for each other's frames, and
 * operations that are given up.
 */
import { describe, expect, it } from 'vitest';
import { audit, B, expectSame, noise, Rig, reading, writing } from './rig.ts';

const BYTES = noise(200 * B);

describe('a read', () => {
  it('is as long as a quarter of the cache in one turn, and goes on from there', async () => {
    const rig = new Rig({ frames: 64 });
    const file = await rig.stored(BYTES);
    expectSame(await rig.contents(file, 100, 30 * B), BYTES.subarray(100, 30 * B + 100));
    expect(rig.device.counters.reads).toBe(2);
    audit(rig);
  });

  it('is as long as was asked for, in a cache that cannot hold it', async () => {
    const rig = new Rig({ frames: 64 });
    const file = await rig.stored(BYTES);
    expectSame(await rig.contents(file), BYTES);
    audit(rig);
  });

  it('loads each block once, whatever others evict (C3)', async () => {
    const rig = new Rig({ frames: 64, seed: 5, concurrency: 4 });
    const file = await rig.stored(BYTES);
    const reads = [0, 16, 32, 48].map((block) => {
      return rig.start(reading(file, block * B, new Uint8Array(16 * B)));
    });
    await rig.schedule.run(Promise.all(reads));
    expect(rig.cache.loads).toBe(64);
    expect(rig.cache.busy).toBe(0);
  });

  it('waits if others have all frames for what they are loading', async () => {
    const rig = new Rig({ frames: 64, seed: 1 });
    const file = await rig.stored(BYTES);
    const targets = Array.from({ length: 8 }, () => new Uint8Array(16 * B));
    const reads = targets.map((target, i) => rig.start(reading(file, i * 16 * B, target)));
    await rig.schedule.run(Promise.all(reads));
    for (const [i, target] of targets.entries()) {
      expectSame(target, BYTES.subarray(i * 16 * B, (i + 1) * 16 * B));
    }
    audit(rig);
  });
});

describe('a write', () => {
  it('finds the old bytes of its tail where it saw them', async () => {
    const rig = new Rig({ frames: 64 });
    const file = await rig.stored(BYTES.subarray(0, 64 * B));
    // All of the cache is clean; the last block is in the frame that is evicted first.
    for (let block = 0; block < 64; block++) await rig.contents(file, block * B, B);
    await rig.do(writing(file, 58 * B, noise(5 * B + 100, 2)));
    const wanted = BYTES.slice(0, 64 * B);
    wanted.set(noise(5 * B + 100, 2), 58 * B);
    expectSame(await rig.contents(file, 58 * B), wanted.subarray(58 * B));
    audit(rig);
  });

  it('leaves a quarter of the limit to others in each turn', async () => {
    const rig = new Rig({ frames: 64 });
    const file = await rig.stored(new Uint8Array(0));
    const chunks: number[] = [];
    const end = rig.toy.end.bind(rig.toy);
    rig.toy.end = (of, request, answer, outcome) => {
      chunks.push(outcome.written);
      end(of, request, answer, outcome);
    };
    await rig.do(writing(file, 100, BYTES));
    expect(Math.max(...chunks)).toBe(16 * B);
    expect(chunks.reduce((sum, chunk) => sum + chunk, 0)).toBe(BYTES.length);
    expectSame(await rig.contents(file, 100, 16 * B), BYTES.subarray(0, 16 * B));
    audit(rig);
  });
});

describe('an operation that is given up', () => {
  it('reports what it wrote before', async () => {
    const rig = new Rig({ frames: 64, seed: 1 });
    const file = await rig.stored(new Uint8Array(0));
    const controller = new AbortController();
    const { signal } = controller;
    const work = rig.driver.start(writing(file, 0, BYTES), { signal });
    controller.abort();
    const written = await rig.schedule.run(work);
    expect(written).toBeGreaterThan(0);
    expect(written).toBeLessThan(BYTES.length);
    expect(file.size).toBe(written);
    await rig.do(rig.syncing());
    expectSame(await rig.contents(file, 0, 16 * B), BYTES.subarray(0, 16 * B));
    audit(rig);
  });

  it('leaves no frame behind that it would have loaded', async () => {
    const rig = new Rig({ seed: 1 });
    const file = await rig.stored(BYTES);
    const signal = AbortSignal.abort();
    const work = rig.driver.start(reading(file, 0, new Uint8Array(B)), { signal });
    await expect(rig.schedule.run(work)).rejects.toThrow();
    audit(rig);
  });

  it('leaves no frame behind if a call in this turn was refused', async () => {
    const rig = new Rig({ seed: 1 });
    const file = await rig.stored(BYTES);
    const refused = expect.objectContaining({ code: 'ENOTSUP' });
    expect(() => rig.run(reading(file, 0, new Uint8Array(B)))).toThrow(refused);
    audit(rig);
  });
});

it('readers who take all frames wait for each other, not for a writeback of nothing', async () => {
  const rig = new Rig({ frames: 64, gated: true, concurrency: Number.POSITIVE_INFINITY });
  const file = await rig.stored(noise(300 * B));
  rig.gate.shut();
  const readers = Array.from({ length: 12 }, (_, i) =>
    rig.start(reading(file, i * 20 * B, new Uint8Array(10 * B))),
  );
  await Promise.resolve();
  expect(await rig.open(...readers)).toEqual(readers.map(() => 10 * B));
  audit(rig);
});
