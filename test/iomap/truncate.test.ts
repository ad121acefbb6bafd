/**
 * Truncate: what is cut reads as zeros when the file grows again, whatever it was and wherever it
 * was kept.
 */
import { describe, expect, it } from 'vitest';
import { audit, B, cloning, expectSame, noise, Rig, truncating, writing } from './rig.ts';
import { ToyFile } from './toy-filesystem.ts';

const BYTES = noise(3 * B);

/** What block 1 of a file of three blocks may be, with what it reads as. */
const kinds = {
  mapped: BYTES.subarray(B, 2 * B),
  'dirty over a hole': BYTES.subarray(B, 2 * B),
  'dirty over mapped': noise(B, 2),
  'dirty over unwritten': BYTES.subarray(B, 2 * B),
  unwritten: new Uint8Array(B),
  hole: new Uint8Array(B),
};
type Kind = keyof typeof kinds;

async function fileWith(kind: Kind): Promise<{ rig: Rig; file: ToyFile; bytes: Uint8Array }> {
  const rig = new Rig();
  const file = new ToyFile(rig.toy);
  const write = (block: number, bytes: Uint8Array) => rig.do(writing(file, block * B, bytes));
  await write(0, BYTES.subarray(0, B));
  await write(2, BYTES.subarray(2 * B));
  if (kind === 'mapped' || kind === 'dirty over mapped') await write(1, kinds.mapped);
  await rig.do(rig.syncing());
  if (kind.endsWith('unwritten')) rig.toy.preallocate(file, B, B);
  if (kind.startsWith('dirty')) await write(1, kinds[kind]);
  rig.forget();
  const bytes = BYTES.slice();
  bytes.set(kinds[kind], B);
  return { rig, file, bytes };
}

describe.each(Object.keys(kinds) as Kind[])('a block that is %s', (kind) => {
  it.each([B, B + 1, B + 100, 2 * B - 1])(
    'T20: reads as zeros behind byte %i when it was cut there and the file grew',
    async (size) => {
      const { rig, file, bytes } = await fileWith(kind);
      await rig.do(truncating(file, size));
      await rig.do(truncating(file, 3 * B));
      const wanted = bytes.slice().fill(0, size);
      expectSame(await rig.contents(file), wanted);
      await rig.do(rig.syncing());
      rig.forget();
      expectSame(await rig.contents(file), wanted, 'file on the device');
      audit(rig);
    },
  );

  it('T20: reads as zeros behind the cut when a write makes the file longer', async () => {
    const { rig, file, bytes } = await fileWith(kind);
    await rig.do(truncating(file, B + 10));
    await rig.do(writing(file, 2 * B + 50, noise(10, 3)));
    const wanted = bytes.slice(0, 2 * B + 60).fill(0, B + 10);
    wanted.set(noise(10, 3), 2 * B + 50);
    expectSame(await rig.contents(file), wanted);
    await rig.do(rig.syncing());
    rig.forget();
    expectSame(await rig.contents(file), wanted, 'file on the device');
    audit(rig);
  });

  it('stays as it is in a clone', async () => {
    const { rig, file, bytes } = await fileWith(kind);
    const clone = await rig.do(cloning(file));
    await rig.do(truncating(file, B + 10));
    await rig.do(rig.syncing());
    rig.forget();
    expectSame(await rig.contents(clone), bytes);
    expectSame(await rig.contents(file), bytes.subarray(0, B + 10));
    audit(rig);
  });
});

describe('Truncate', () => {
  it('reads the block that it cuts, and no other', async () => {
    const { rig, file } = await fileWith('mapped');
    await rig.do(truncating(file, B + 10));
    expect(rig.memory.blocksRead).toEqual([file.map.get(1)]);
  });

  it('reads nothing if it cuts between blocks, or makes the file longer', async () => {
    const { rig, file } = await fileWith('mapped');
    for (const size of [10 * B + 1, 2 * B, 0]) await rig.do(truncating(file, size));
    expect(rig.memory.blocksRead).toEqual([]);
    expect([...file.map]).toEqual([]);
    audit(rig);
  });

  it('forgets dirty data, and its promise, behind the end', async () => {
    const rig = new Rig();
    const file = new ToyFile(rig.toy);
    await rig.do(writing(file, 0, noise(40 * B)));
    await rig.do(truncating(file, 17 * B));
    expect([rig.toy.promised, rig.toy.pool.dirtyBlocks, file.folioCount]).toEqual([17, 17, 2]);
    await rig.do(truncating(file, 0));
    expect([rig.toy.promised, rig.toy.pool.dirtyBlocks, file.folioCount]).toEqual([0, 0, 0]);
    audit(rig);
  });

  it('calls back in the turn in which the size changes', async () => {
    const { rig, file } = await fileWith('mapped');
    const sizes: number[] = [];
    const cut = truncating(file, B + 1, () => sizes.push(file.size));
    await rig.do(cut);
    expect(sizes).toEqual([B + 1]);
  });

  it('changes nothing if the block that it cuts cannot be read', async () => {
    const { rig, file, bytes } = await fileWith('mapped');
    rig.device.inject({ on: 'read', effect: 'fail', times: 1 });
    await expect(rig.do(truncating(file, B + 1))).rejects.toMatchObject({ code: 'EIO' });
    expectSame(await rig.contents(file), bytes);
    audit(rig);
  });

  it('is refused if there is no space for the block that it cuts', async () => {
    const rig = new Rig({ deviceBlocks: 3 });
    const file = await rig.stored(BYTES);
    await expect(rig.do(truncating(file, B + 1))).rejects.toMatchObject({ code: 'ENOSPC' });
    expectSame(await rig.contents(file), BYTES);
    await rig.do(truncating(file, B));
    expectSame(await rig.contents(file), BYTES.subarray(0, B));
    audit(rig);
  });
});

describe('the end of a file', () => {
  it('T19: is exact after every writeback of appends inside one block', async () => {
    const rig = new Rig();
    const file = new ToyFile(rig.toy);
    const sizes: number[] = [];
    const complete = rig.toy.complete.bind(rig.toy);
    rig.toy.complete = (ioend) => {
      sizes.push(ioend.size);
      complete(ioend);
    };
    for (const [from, to] of [
      [0, 100],
      [100, 1000],
      [1000, 1001],
      [1001, B + 1],
    ] as const) {
      await rig.do(writing(file, from, BYTES.subarray(from, to)));
      await rig.do(rig.syncing());
      rig.forget();
      expectSame(await rig.contents(file), BYTES.subarray(0, to));
    }
    expect(sizes).toEqual([100, 1000, 1001, B + 1]);
    expect(await rig.contents(file, 0, 3 * B)).toHaveLength(B + 1);
    audit(rig);
  });

  it('is followed by zeros on the device too', async () => {
    const rig = new Rig();
    const file = await rig.stored(BYTES);
    await rig.do(truncating(file, B + 10));
    await rig.do(rig.syncing());
    const stored = new Uint8Array(B);
    rig.memory.read((file.map.get(1) as number) * B, stored);
    expectSame(stored, BYTES.slice(B, 2 * B).fill(0, 10));
  });
});
