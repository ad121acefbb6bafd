/**
 * Failures: what is reported, what is left, and that nothing stays promised, pinned or locked.
 */
import { describe, expect, it } from 'vitest';
import { CorruptionError } from '../../src/base/index.ts';
import { audit, B, cloning, expectSame, noise, Rig, reading, truncating, writing } from './rig.ts';
import { ToyFile } from './toy-filesystem.ts';

const OLD = noise(20 * B);
const NEW = noise(20 * B, 2);

/** A file of 20 blocks on the device. Chunks are 4 blocks long, unless another limit is given. */
async function stored(dirtyLimit = 8): Promise<{ rig: Rig; file: ToyFile }> {
  const rig = new Rig({ dirtyLimit });
  return { rig, file: await rig.stored(OLD) };
}

/** The old bytes with new ones in [from, to). */
function mixed(from: number, to: number): Uint8Array {
  const bytes = OLD.slice();
  bytes.set(NEW.subarray(from, to), from);
  return bytes;
}

/** Where the device keeps a block of the file. */
function place(file: ToyFile, block: number): { position: number; length: number } {
  return { position: (file.map.get(block) as number) * B, length: B };
}

describe('a write that fails', () => {
  it('T27: reports the bytes written, not the error, if an edge cannot be read', async () => {
    const { rig, file } = await stored();
    rig.device.inject({ on: 'read', effect: 'fail', within: place(file, 10) });
    const tail = 10 * B + 100;
    expect(await rig.do(writing(file, 0, NEW.subarray(0, tail)))).toBe(8 * B);
    expectSame(await rig.contents(file, 0, 10 * B), mixed(0, 8 * B).subarray(0, 10 * B));

    const rest = writing(file, 8 * B, NEW.subarray(8 * B, tail));
    await expect(rig.do(rest)).rejects.toMatchObject({ code: 'EIO' });
    rig.device.heal();
    expectSame(await rig.contents(file), mixed(0, 8 * B));
    audit(rig);
  });

  it('T27: reports the bytes written, not the error, if the space runs out', async () => {
    const rig = new Rig({ deviceBlocks: 10, dirtyLimit: 8 });
    const file = new ToyFile(rig.toy);
    expect(await rig.do(writing(file, 0, NEW))).toBe(8 * B);
    await expect(rig.do(writing(file, 8 * B, NEW))).rejects.toMatchObject({ code: 'ENOSPC' });
    expectSame(await rig.contents(file), NEW.subarray(0, 8 * B));
    audit(rig);
  });

  it('T27: reports the bytes written, not the error, if writeback fails', async () => {
    const { rig, file } = await stored();
    rig.device.inject({ on: 'write', effect: 'fail' });
    expect(await rig.do(writing(file, 0, NEW))).toBe(8 * B);
    rig.device.heal();
    expectSame(await rig.contents(file), mixed(0, 8 * B));
    audit(rig);
  });

  it('has changed nothing if its first chunk failed', async () => {
    const { rig, file } = await stored();
    rig.device.inject({ on: 'read', effect: 'fail', times: 1 });
    const write = writing(file, 5, NEW.subarray(0, 3 * B));
    await expect(rig.do(write)).rejects.toMatchObject({ code: 'EIO' });
    expectSame(await rig.contents(file), OLD);
    audit(rig);
  });

  it('has promised nothing if there is no space', async () => {
    const rig = new Rig({ deviceBlocks: 3 });
    const file = new ToyFile(rig.toy);
    await expect(rig.do(writing(file, 0, NEW))).rejects.toMatchObject({ code: 'ENOSPC' });
    expect([file.size, rig.toy.promised]).toEqual([0, 0]);
    audit(rig);
  });

  it('T3: leaves dirty data alone that others wrote in its range', async () => {
    const { rig, file } = await stored(40);
    await rig.do(writing(file, 3 * B, NEW.subarray(3 * B, 4 * B)));
    rig.device.inject({ on: 'read', effect: 'fail', times: 1 });
    const write = writing(file, 2 * B + 1, noise(4 * B, 3));
    await expect(rig.do(write)).rejects.toMatchObject({ code: 'EIO' });
    expectSame(await rig.contents(file), mixed(3 * B, 4 * B));
    expect(rig.toy.promised).toBe(1);
    audit(rig);
  });

  it.each([
    ['head', 2 * B + 1, 4 * B - 1],
    ['tail', 2 * B, 4 * B + 1],
    ['both edges', 2 * B + 1, 4 * B],
  ])('T4, T5: keeps no reservation for what it did not write: %s', async (_, at, length) => {
    const { rig, file } = await stored(40);
    const clone = await rig.do(cloning(file));
    const before = rig.toy.available;
    rig.device.inject({ on: 'read', effect: 'fail' });
    await expect(rig.do(writing(clone, at, NEW.subarray(0, length)))).rejects.toThrow();
    expect([rig.toy.promised, rig.toy.available]).toEqual([0, before]);
    rig.device.heal();
    expectSame(await rig.contents(clone), OLD);
    expectSame(await rig.contents(file), OLD);
    audit(rig);
  });

  it('T26: ends each write that has begun, once, whatever else fails', async () => {
    const { rig, file } = await stored();
    const { begin, end } = { begin: rig.toy.begin.bind(rig.toy), end: rig.toy.end.bind(rig.toy) };
    const calls: string[] = [];
    rig.toy.begin = (of, request, answer, plan) => {
      const begun = begin(of, request, answer, plan);
      calls.push('begin');
      return begun;
    };
    rig.toy.end = (of, request, answer, outcome) => {
      calls.push(`end ${outcome.written}`);
      end(of, request, answer, outcome);
    };
    // The edges are one transfer; that fails, then the first of them alone.
    rig.device.inject({ on: 'read', effect: 'fail', times: 2 });
    await expect(rig.do(writing(file, 1, NEW.subarray(0, B)))).rejects.toThrow('a planted fault');
    await rig.do(writing(file, 1, NEW.subarray(0, B)));
    const missed = ['begin', 'end 0'];
    expect(calls).toEqual([...missed, ...missed, 'begin', `end ${B}`]);
  });
});

describe('a writeback that fails', () => {
  it('leaves the data dirty and the old map as it was, and succeeds when tried again', async () => {
    const { rig, file } = await stored(40);
    const clone = await rig.do(cloning(file));
    const map = new Map(file.map);
    await rig.do(writing(file, 2 * B + 5, NEW.subarray(2 * B + 5, 4 * B + 5)));
    rig.device.inject({ on: 'write', effect: 'fail' });
    await expect(rig.do(rig.syncing())).rejects.toMatchObject({ code: 'EIO' });
    expect(file.map).toEqual(map);
    expect(rig.toy.pool.dirtyBlocks).toBe(3);
    audit(rig);

    rig.device.heal();
    await rig.do(rig.syncing());
    rig.forget();
    expectSame(await rig.contents(file), mixed(2 * B + 5, 4 * B + 5));
    expectSame(await rig.contents(clone), OLD);
    audit(rig);
  });

  it('maps nothing if one of its runs failed', async () => {
    const { rig, file } = await stored(40);
    const map = new Map(file.map);
    for (const block of [1, 5, 9]) {
      await rig.do(writing(file, block * B, NEW.subarray(block * B, (block + 1) * B)));
    }
    // Its runs are one transfer; that fails, then the first of them alone.
    rig.device.inject({ on: 'write', effect: 'fail', times: 2 });
    await expect(rig.do(rig.syncing())).rejects.toMatchObject({ code: 'EIO' });
    expect(file.map).toEqual(map);
    expect(rig.toy.pool.dirtyBlocks).toBe(3);
    await rig.do(rig.syncing());
    rig.forget();
    const wanted = OLD.slice();
    for (const block of [1, 5, 9]) wanted.set(NEW.subarray(block * B, (block + 1) * B), block * B);
    expectSame(await rig.contents(file), wanted);
    audit(rig);
  });

  it('T15: chooses anew when tried again, and loses nothing that came between', async () => {
    const { rig, file } = await stored(40);
    await rig.do(writing(file, 0, NEW.subarray(0, 6 * B)));
    rig.device.inject({ on: 'write', effect: 'fail' });
    await expect(rig.do(rig.syncing())).rejects.toThrow();
    await rig.do(truncating(file, 3 * B));
    await rig.do(writing(file, 4 * B, NEW.subarray(4 * B, 5 * B)));
    rig.device.heal();
    await rig.do(rig.syncing());
    rig.forget();
    expectSame(
      await rig.contents(file),
      mixed(0, 5 * B)
        .fill(0, 3 * B, 4 * B)
        .subarray(0, 5 * B),
    );
    audit(rig);
  });

  it('T11: makes the clone that waits for it fail, and the next one is whole', async () => {
    const { rig, file } = await stored(40);
    await rig.do(writing(file, 0, NEW.subarray(0, B)));
    rig.device.inject({ on: 'write', effect: 'fail', times: 1 });
    await expect(rig.do(cloning(file))).rejects.toMatchObject({ code: 'EIO' });
    expect(rig.toy.files).toEqual([file]);
    audit(rig);
    const clone = await rig.do(cloning(file));
    expectSame(await rig.contents(clone), mixed(0, B));
    audit(rig);
  });

  it('keeps what was written meanwhile, with one promise a block', async () => {
    const rig = new Rig({ gated: true });
    const file = new ToyFile(rig.toy);
    await rig.do(writing(file, 0, OLD.subarray(0, 4 * B)));
    rig.device.inject({ on: 'write', effect: 'fail', times: 1 });
    rig.gate.shut();
    const sync = rig.start(rig.syncing()).catch((error) => error);
    rig.run(writing(file, B, NEW.subarray(B, 3 * B)));
    expect(rig.toy.pool.dirtyBlocks).toBe(6);
    await rig.gate.open();
    expect(await sync).toMatchObject({ code: 'EIO' });
    expect(rig.toy.promised).toBe(4);
    audit(rig);
    await rig.do(rig.syncing());
    expectSame(await rig.contents(file), mixed(B, 3 * B).subarray(0, 4 * B));
    audit(rig);
  });
});

describe('a read that fails', () => {
  it('reports what it read before, and the next one fails', async () => {
    const { rig, file } = await stored();
    rig.device.inject({ on: 'read', effect: 'fail', within: place(file, 9) });
    const target = new Uint8Array(20 * B);
    expect(await rig.do(reading(file, 100, target))).toBe(8 * B);
    expectSame(target.subarray(0, 8 * B), OLD.subarray(100, 8 * B + 100));
    await expect(rig.do(reading(file, 9 * B, target))).rejects.toMatchObject({ code: 'EIO' });
    rig.device.heal();
    expectSame(await rig.contents(file), OLD);
    audit(rig);
  });

  it('caches nothing that does not have its checksum', async () => {
    const { rig, file } = await stored();
    rig.device.inject({ on: 'read', effect: 'rot', times: 1 });
    const read = rig.do(reading(file, 0, new Uint8Array(B)));
    await expect(read).rejects.toThrow(CorruptionError);
    expectSame(await rig.contents(file), OLD);
    audit(rig);
  });

  it('fails a write that would have kept the bytes', async () => {
    const { rig, file } = await stored();
    rig.device.inject({ on: 'read', effect: 'misdirect', times: 1 });
    const write = writing(file, 3, NEW.subarray(0, 1));
    await expect(rig.do(write)).rejects.toMatchObject({ code: 'EIO', structure: 'data block' });
    expectSame(await rig.contents(file), OLD);
    audit(rig);
  });
});
