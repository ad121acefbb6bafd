/**
 * Overlapping operations, in the order that the test chooses: one is stopped at the device, others
 * pass it, and it goes on.
 */
import { describe, expect, it } from 'vitest';
import { errorCode, type Operation } from '../../src/base/index.ts';
import {
  audit,
  B,
  cloning,
  expectSame,
  noise,
  Rig,
  reading,
  readingDirectly,
  truncating,
  writing,
  writingDirectly,
} from './rig.ts';
import type { ToyFile } from './toy-filesystem.ts';

const OLD = noise(8 * B);

/** A file of 8 blocks on a device that answers when it is let. */
async function gated(bytes = OLD): Promise<{ rig: Rig; file: ToyFile }> {
  const rig = new Rig({ gated: true });
  const file = await rig.stored(bytes);
  rig.gate.shut();
  return { rig, file };
}

function patched(...patches: (readonly [at: number, bytes: Uint8Array])[]): Uint8Array {
  const bytes = OLD.slice();
  for (const [at, patch] of patches) bytes.set(patch, at);
  return bytes;
}

/** What the file is on the device, and nothing is left over. */
async function expectStored(rig: Rig, file: ToyFile, wanted: Uint8Array): Promise<void> {
  await rig.gate.open();
  await rig.do(rig.syncing());
  rig.forget();
  expectSame(await rig.contents(file), wanted);
  audit(rig);
}

describe('a write while its block is under writeback', () => {
  it('takes another frame: the one in flight is not changed (F2)', async () => {
    const { rig, file } = await gated();
    rig.run(writing(file, 0, noise(B, 2)));
    const sync = rig.start(rig.syncing());
    rig.run(writing(file, 10, noise(100, 3)));
    await rig.open(sync);

    const stored = new Uint8Array(B);
    rig.memory.read((file.map.get(0) as number) * B, stored);
    expectSame(stored, noise(B, 2), 'the block in flight');
    await expectStored(rig, file, patched([0, noise(B, 2)], [10, noise(100, 3)]));
  });

  it('is not written before the older data is mapped (B1)', async () => {
    const { rig, file } = await gated();
    rig.run(writing(file, 0, noise(B, 2)));
    const older = rig.start(rig.syncing());
    rig.run(writing(file, 0, noise(B, 3)));
    const newer = rig.start(rig.syncing());
    expect(rig.gate.waiting).toEqual(['write']);
    await rig.gate.pass();
    await older;
    expect(rig.gate.waiting).toEqual(['write']);
    await rig.gate.pass();
    await newer;
    await expectStored(rig, file, patched([0, noise(B, 3)]));
  });

  it('is what a reader and the next write see', async () => {
    const { rig, file } = await gated();
    rig.run(writing(file, 0, noise(B, 2)));
    const sync = rig.start(rig.syncing());
    rig.run(writing(file, 10, noise(10, 3)));
    rig.run(writing(file, 15, noise(10, 4)));
    const target = new Uint8Array(B);
    rig.run(reading(file, 0, target));
    const wanted = patched([0, noise(B, 2)], [10, noise(10, 3)], [15, noise(10, 4)]);
    expectSame(target, wanted.subarray(0, B));
    await rig.open(sync);
    await expectStored(rig, file, wanted);
  });

  it('leaves the map alone until every run of the writeback is there', async () => {
    const { rig, file } = await gated();
    // Takes the idle blocks away that follow each other, so that two runs are two transfers.
    rig.toy.counts[9] = 1;
    const map = new Map(file.map);
    rig.run(writing(file, 0, noise(B, 2)));
    rig.run(writing(file, 4 * B, noise(B, 3)));
    const sync = rig.start(rig.syncing());
    expect(rig.gate.waiting).toEqual(['write', 'write']);
    await rig.gate.passOne('last');
    expect(file.map).toEqual(map);
    await rig.gate.passOne('first');
    await sync;
    expect(file.map.get(0)).not.toBe(map.get(0));
    rig.toy.counts[9] = 0;
    await expectStored(rig, file, patched([0, noise(B, 2)], [4 * B, noise(B, 3)]));
  });
});

describe('writes whose edges are on their way', () => {
  const left = noise(100, 2);
  const right = noise(100, 3);

  it('share one read and both land, if they are in one block', async () => {
    const { rig, file } = await gated();
    const writes = [rig.start(writing(file, 10, left)), rig.start(writing(file, 2000, right))];
    expect(rig.gate.waiting).toEqual(['read']);
    expect(await rig.open(...writes)).toEqual([100, 100]);
    await expectStored(rig, file, patched([10, left], [2000, right]));
  });

  it('land in the order in which they came, if they overlap', async () => {
    const { rig, file } = await gated();
    const writes = [rig.start(writing(file, 10, left)), rig.start(writing(file, 60, right))];
    await rig.open(...writes);
    await expectStored(rig, file, patched([10, left], [60, right]));
  });

  it.each(['unaligned first', 'aligned first'])(
    'T24: lands beside an aligned one: %s',
    async (order) => {
      const { rig, file } = await gated();
      const unaligned = () => rig.start(writing(file, B - 50, left));
      const aligned = () => rig.start(writing(file, B, OLD.subarray(0, 2 * B)));
      const first = order === 'unaligned first';
      const writes = first ? [unaligned(), aligned()] : [aligned(), unaligned()];
      await rig.gate.open();
      await Promise.all(writes);
      const whole = [B, OLD.subarray(0, 2 * B)] as const;
      const part = [B - 50, left] as const;
      await expectStored(rig, file, first ? patched(part, whole) : patched(whole, part));
    },
  );

  it('T1: leave a clone alone that was made in between', async () => {
    const { rig, file } = await gated();
    const write = rig.start(writing(file, 10, left));
    const clone = rig.run(cloning(file));
    await rig.open(write);
    expectSame(await rig.contents(clone), OLD, 'clone');
    await expectStored(rig, clone, OLD);
    await expectStored(rig, file, patched([10, left]));
  });

  it('T2: look the tail up again if it was written back and evicted meanwhile', async () => {
    const { rig, file } = await gated();
    const tail = noise(B, 4);
    const data = noise(4 * B + 200, 5);
    rig.run(writing(file, 5 * B, tail));
    // The head has to be read, the tail is dirty: it needs no source, as things are now.
    const write = rig.start(writing(file, B + 100, data));
    const sync = rig.start(rig.syncing());
    await rig.gate.pass('write');
    await sync;
    rig.cache.evictAll();
    expect(rig.gate.waiting).toEqual(['read']);
    expect(await rig.open(write)).toEqual([data.length]);
    await expectStored(rig, file, patched([5 * B, tail], [B + 100, data]));
  });
});

describe('a truncate', () => {
  it('waits for the data in flight that it cuts', async () => {
    const { rig, file } = await gated();
    rig.run(writing(file, 2 * B, noise(4 * B, 2)));
    const sync = rig.start(rig.syncing());
    const cut = rig.start(truncating(file, 3 * B));
    expect(file.size).toBe(8 * B);
    await rig.open<unknown>(sync, cut);
    expect(file.map.size).toBe(3);
    await expectStored(rig, file, patched([2 * B, noise(B, 2)]).subarray(0, 3 * B));
  });

  it('does not wait for data in flight below it, in another folio', async () => {
    const old = noise(20 * B);
    const { rig, file } = await gated(old);
    rig.run(writing(file, 0, noise(B, 2)));
    const sync = rig.start(rig.syncing());
    await expect(rig.start(truncating(file, 18 * B))).resolves.toBeUndefined();
    await rig.open(sync);
    old.set(noise(B, 2));
    await expectStored(rig, file, old.subarray(0, 18 * B));
  });

  it('lets a write pass that ends before it, and holds up one behind it', async () => {
    const { rig, file } = await gated();
    const cut = rig.start(truncating(file, 3 * B + 5));
    rig.run(writing(file, 0, noise(B, 2)));
    const behind = rig.start(writing(file, 6 * B, noise(B, 3)));
    expect(file.size).toBe(8 * B);
    await rig.open<unknown>(cut, behind);
    const wanted = patched([0, noise(B, 2)], [6 * B, noise(B, 3)]).fill(0, 3 * B + 5, 6 * B);
    await expectStored(rig, file, wanted.subarray(0, 7 * B));
  });

  it('comes after another truncate that had to wait', async () => {
    const { rig, file } = await gated();
    const cuts = [rig.start(truncating(file, 1000)), rig.start(truncating(file, 3 * B))];
    await rig.open(...cuts);
    await expectStored(rig, file, OLD.slice(0, 3 * B).fill(0, 1000));
  });

  it('comes after a write that makes the file longer', async () => {
    const { rig, file } = await gated();
    const write = rig.start(writing(file, 7 * B + 5, noise(9 * B, 2)));
    const cut = rig.start(truncating(file, 12 * B));
    await rig.open<unknown>(write, cut);
    const wanted = new Uint8Array(17 * B);
    wanted.set(OLD);
    wanted.set(noise(9 * B, 2), 7 * B + 5);
    await expectStored(rig, file, wanted.subarray(0, 12 * B));
  });
});

describe('a read on its way to a block', () => {
  it('finds what was written meanwhile, though its old block is free (K3)', async () => {
    const { rig, file } = await gated();
    const target = new Uint8Array(B);
    const read = rig.start(reading(file, 0, target));
    rig.run(writing(file, 0, noise(B, 2)));
    const sync = rig.start(rig.syncing());
    await rig.gate.pass('write');
    await sync;
    // The old block has no owner; it is not given away while the read may still fill a frame.
    const idle = rig.toy.available;
    await rig.open(read);
    expect(rig.toy.available).toBe(idle + 1);
    expectSame(target, noise(B, 2));
    await expectStored(rig, file, patched([0, noise(B, 2)]));
  });

  it('ends where the file ends now', async () => {
    const { rig, file } = await gated();
    const target = new Uint8Array(8 * B);
    const read = rig.start(reading(file, 100, target));
    rig.run(truncating(file, B));
    expect(await rig.open(read)).toEqual([B - 100]);
    expectSame(target.subarray(0, B - 100), OLD.subarray(100, B));
    audit(rig);
  });
});

interface Kind {
  readonly start: (rig: Rig, file: ToyFile) => Operation<unknown>;
  /** What it makes of the bytes of the file. */
  readonly makes: (bytes: Uint8Array) => Uint8Array;
}

const write = (at: number, data: Uint8Array): Kind => ({
  start: (_, file) => writing(file, at, data),
  makes: (bytes) => {
    const made = new Uint8Array(Math.max(bytes.length, at + data.length));
    made.set(bytes);
    made.set(data, at);
    return made;
  },
});
const directly = (at: number, data: Uint8Array): Kind => ({
  ...write(at, data),
  start: (_, file) => writingDirectly(file, at, data),
});
const same = (bytes: Uint8Array) => bytes;

describe('a call in this turn, while another operation waits for the device', () => {
  const kinds: Record<string, Kind> = {
    'aligned write': write(B, noise(2 * B, 2)),
    'unaligned write': write(B + 10, noise(2 * B, 3)),
    append: write(8 * B - 10, noise(2 * B, 4)),
    'direct write': directly(B, noise(2 * B, 6)),
    'unaligned direct write': directly(2 * B - 10, noise(2 * B, 7)),
    'direct append': directly(8 * B - 10, noise(2 * B, 8)),
    'direct read': {
      start: (_, file) => readingDirectly(file, B, new Uint8Array(3 * B)),
      makes: same,
    },
    read: { start: (_, file) => reading(file, B, new Uint8Array(3 * B)), makes: same },
    truncate: {
      start: (_, file) => truncating(file, 2 * B + 7),
      makes: (bytes) => bytes.slice(0, 2 * B + 7),
    },
    clone: { start: (_, file) => cloning(file), makes: same },
    writeback: { start: (rig) => rig.syncing(), makes: same },
  };
  const names = Object.keys(kinds);
  const pairs = names.flatMap((waiting) =>
    names.map((call) => [waiting, call] as [string, string]),
  );

  // Where the call is refused, what it had planned for is left over: a frame that is never loaded,
  // a writeback that nobody carries on.
  const leaving = new Set([
    'aligned write, writeback',
    'read, writeback',
    'unaligned write, read',
    'truncate, read',
  ]);
  const title = '%s waits: %s ends at once, or says ENOTSUP and ends later';
  it.each(pairs.filter((pair) => !leaving.has(pair.join(', '))))(title, inThisTurn);
  it.each(pairs.filter((pair) => leaving.has(pair.join(', '))))(title, inThisTurn);

  async function inThisTurn(...pair: [string, string]): Promise<void> {
    const [waiting, call] = pair.map((name) => kinds[name]) as [Kind, Kind];
    const rig = new Rig({ gated: true });
    const file = await rig.stored(OLD);
    await rig.do(writing(file, 4 * B, noise(B, 5)));
    const before = patched([4 * B, noise(B, 5)]);
    rig.gate.shut();
    const other = rig.start(waiting.start(rig, file));
    const refused = isRefused(() => rig.run(call.start(rig, file)));
    await rig.open(other);
    if (refused) await rig.do(call.start(rig, file));

    const found = await rig.contents(file);
    const orders = [call.makes(waiting.makes(before)), waiting.makes(call.makes(before))];
    const order = orders.findIndex((wanted) => Buffer.compare(found, wanted) === 0);
    expect(order, 'one after the other').toBeGreaterThanOrEqual(0);
    await expectStored(rig, file, orders[order] as Uint8Array);
  }
});

/** True if a call would have to wait for the device. */
function isRefused(call: () => void): boolean {
  try {
    call();
    return false;
  } catch (error) {
    if (errorCode(error) !== 'ENOTSUP') throw error;
    return true;
  }
}
