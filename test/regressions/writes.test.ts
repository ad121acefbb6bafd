/** Buffered writes: what they keep, what they give back, and what they report. */
import { expect, it } from 'vitest';
import { PlannedOperation } from '../../src/base/index.ts';
import { BufferedWrite, DirtyChunk, MappingType, RequestFlag } from '../../src/iomap/index.ts';
import { audit, B, expectSame, noise, Rig, type RigOptions, writing } from '../iomap/rig.ts';
import { ToyFile, UNWRITTEN } from '../iomap/toy-filesystem.ts';
import { regression } from './regression.ts';
import { patched } from './rig.ts';
import { rememberSources } from './stale.ts';

const OLD = noise(8 * B);

/** A toy filesystem with a file of 8 blocks, on the device and nowhere else. */
interface Toy {
  readonly rig: Rig;
  readonly file: ToyFile;
}

async function toy(options: RigOptions = {}): Promise<Toy> {
  const rig = new Rig(options);
  return { rig, file: await rig.stored(OLD) };
}

/** The file holds these bytes, in memory and on the device, and nothing is left over. */
async function expectFile({ rig, file }: Toy, wanted: Uint8Array): Promise<void> {
  await rig.gate.open();
  expectSame(await rig.contents(file), wanted, 'the file');
  await rig.do(rig.syncing());
  rig.forget();
  expectSame(await rig.contents(file), wanted, 'the file on the device');
  audit(rig);
}

/** What a write comes to that is expected to fail, or not to. */
async function outcome(write: Promise<number>): Promise<string> {
  return write.then(
    (count) => `${count} bytes`,
    (error) => error.code ?? error.message,
  );
}

/**
 * Linux until 6.2: a write kept its mapping while it waited for a folio. Writeback had changed the
 * map meanwhile and reclaim had dropped the clean folio: where data was by now, the write went by
 * "unwritten" and put zeros.
 */
regression('T2 a write goes by a mapping from before it waited', {
  rig: () => toy({ gated: true }),
  body: async ({ rig, file }) => {
    const [tail, data] = [noise(B, 2), noise(2 * B, 3)];
    // The block under the tail is a hole, with dirty data over it: as things are, no source.
    rig.run(writing(file, 9 * B, tail));
    rig.gate.shut();
    const write = rig.start(writing(file, 7 * B + 100, data));
    const sync = rig.start(rig.syncing());
    await rig.gate.pass('write');
    await sync;
    rig.cache.evictAll();
    expect(rig.gate.waiting, 'the write waits for its head').toEqual(['read']);
    await rig.open(write);
    await expectFile({ rig, file }, patched(OLD, [9 * B, tail], [7 * B + 100, data]));
  },
  controls: {
    'asking anew after the wait': {
      takeAway: ({ rig }, patch) => rememberSources(rig.toy, patch),
      harm: /the file at 36964 .*found 0/,
    },
  },
});

/** A write of five blocks whose last one cannot be read, and dirty data of others among them. */
async function failAmongOthers({ rig, file }: Toy): Promise<void> {
  const [dirty, late] = [noise(B, 2), noise(2 * B, 3)];
  rig.run(writing(file, 3 * B, dirty));
  rig.gate.shut();
  rig.device.inject({ on: 'read', effect: 'fail', times: 1 });
  const write = outcome(rig.start(writing(file, 2 * B, noise(4 * B + 100, 4))));
  const behind = rig.start(writing(file, 4 * B, late));
  await rig.open(behind);
  expect(await write).toBe('EIO');
  expect(rig.toy.promised, 'promised blocks').toBe(rig.toy.pool.dirtyBlocks);
  await expectFile({ rig, file }, patched(OLD, [3 * B, dirty], [4 * B, late]));
}

/**
 * Linux until 6.2: a write that failed took back what it had reserved by truncating the cache of
 * its range, and with it what others had written there meanwhile, through mmap.
 */
regression('T3 a write that fails drops data of others', {
  rig: () => toy({ gated: true }),
  body: failAmongOthers,
  controls: {
    'leaving the cache alone': {
      takeAway: ({ rig, file }, patch) =>
        patch(rig.toy, 'end', (end) => (of, request, answer, result) => {
          end(of, request, answer, result);
          if (result.written > 0) return;
          const { offset, length } = answer.destination;
          rig.toy.promised -= file.dropDirty(offset, offset + length).blocks;
        }),
      harm: /the file at 12288 /,
    },
  },
});

/**
 * Linux until 6.2: what a failed write had reserved was taken back without a look at who else used
 * it, and without the lock that keeps others from doing so: dirty data was left without space.
 */
regression('T4 dirty data is left without its reservation', {
  rig: () => toy({ gated: true }),
  body: failAmongOthers,
  controls: {
    'counting what each write has made dirty': {
      takeAway: ({ rig, file }, patch) =>
        patch(rig.toy, 'end', (end) => (of, request, answer, result) => {
          end(of, request, answer, result);
          if (result.written > 0) return;
          const { offset, length } = answer.destination;
          for (let at = offset; at < offset + length; at += B) {
            if (file.frameAt(at) >= 0) rig.toy.promised--;
          }
        }),
      harm: /promised blocks/,
    },
  },
});

const KINDS = ['hole', 'unwritten', 'mapped', 'dirty over a hole', 'dirty over mapped'] as const;

/**
 * Linux 5.19 to 6.2: a write that had to copy through DAX read its source whatever that was, and
 * copied what it found at the address of a hole or of unwritten space: what others had there.
 */
regression('T9 what a write keeps of a hole is not zeros', {
  rig: async () => new Rig(),
  body: async (rig) => {
    for (const kind of KINDS) {
      const file = new ToyFile(rig.toy);
      const write = (at: number, bytes: Uint8Array) => rig.do(writing(file, at, bytes));
      await write(2 * B, noise(B));
      if (kind.endsWith('mapped')) await write(B, noise(B, 2));
      await rig.do(rig.syncing());
      if (kind === 'unwritten') rig.toy.preallocate(file, B, B);
      if (kind.startsWith('dirty')) await write(B, noise(B, 3));
      rig.forget();
      const before = await rig.contents(file);
      rig.forget();
      await write(B + 10, noise(10, 4));
      const zeros = kind === 'hole' || kind === 'unwritten';
      expect(rig.memory.blocksRead, `${kind}: what is read`).toHaveLength(
        kind === 'mapped' ? 1 : 0,
      );
      if (zeros) expect(before.subarray(B, 2 * B), kind).toEqual(new Uint8Array(B));
      const wanted = patched(before, [B + 10, noise(10, 4)]);
      expectSame(await rig.contents(file), wanted, `a write over ${kind}`);
      await rig.do(rig.syncing());
      rig.forget();
      expectSame(await rig.contents(file), wanted, `a write over ${kind}, on the device`);
      expect([...file.map.values()].includes(UNWRITTEN)).toBe(false);
    }
    audit(rig);
  },
  controls: {
    'zeroing what has no source': {
      takeAway: ({ cache }, patch) => patch(cache.bytes, 'fill', () => () => cache.bytes),
      harm: /a write over hole at 4096 .*found 238, wanted 0/,
    },
    'a source that says what it is': {
      takeAway: ({ toy }, patch) =>
        patch(toy, 'begin', (begin) => (file, request, answer, plan) => {
          const done = begin(file, request, answer, plan);
          // A hole has an address too: that of the first block.
          const { sources, sourceCount } = answer;
          for (const source of sources.slice(0, sourceCount)) source.type = MappingType.MAPPED;
          return done;
        }),
      harm: /hole: what is read: expected \[ \+0 \]/,
    },
  },
});

/**
 * Linux until 5.1: an unaligned direct write cleared the rest of its block while an aligned one to
 * the same range was in flight, so that one of the two was lost.
 */
regression('T24 an unaligned and an aligned write of one range lose one of them', {
  rig: () => toy({ gated: true }),
  body: async ({ rig, file }) => {
    const [part, whole] = [noise(100, 2), noise(2 * B, 3)];
    rig.gate.shut();
    const unaligned = rig.start(writing(file, B - 50, part));
    const aligned = rig.start(writing(file, B, whole));
    await rig.open(unaligned, aligned);
    await expectFile({ rig, file }, patched(OLD, [B - 50, part], [B, whole]));
  },
  controls: {
    'the range lock of the file': {
      takeAway: ({ file: { lock } }, patch) => {
        patch(lock, 'free', () => () => true);
        patch(lock, 'acquire', () => () => true);
      },
      harm: /the file at 4096 /,
    },
  },
});

/**
 * Linux until a series of 2025: an error of the body of an operation was lost where ending the
 * mapping failed too, or the other way round; what it had begun stayed half done.
 */
regression('T26 a failure hides another one, or that a write has begun', {
  rig: () => toy(),
  body: async ({ rig, file }) => {
    const begun: string[] = [];
    const { begin, end } = rig.toy;
    rig.toy.begin = (...asked) => {
      const done = begin.apply(rig.toy, asked);
      if (done && asked[1].flag === RequestFlag.WRITE) begun.push('begin');
      return done;
    };
    let fails = false;
    rig.toy.end = (...told) => {
      end.apply(rig.toy, told);
      begun.push(`end ${told[3].written}`);
      if (fails) throw new Error('the end fails');
    };
    const write = () => outcome(rig.do(writing(file, B + 1, noise(10, 2))));
    const failRead = () => rig.device.inject({ on: 'read', effect: 'fail', times: 1 });
    // In the body; then in the end, which is where the data is dirty already.
    failRead();
    expect(await write(), 'what failed').toBe('EIO');
    fails = true;
    rig.device.heal();
    await rig.contents(file);
    expect(await write(), 'what failed').toBe('the end fails');
    expect(begun, 'what has begun has ended').toEqual(['begin', 'end 0', 'begin', 'end 10']);
    fails = false;
    await expectFile({ rig, file }, patched(OLD, [B + 1, noise(10, 2)]));
  },
  controls: {
    'ending what has begun when it fails': {
      takeAway: (_, patch) => patch(DirtyChunk.prototype, 'cancel', () => () => {}),
      harm: /what has begun has ended/,
    },
    'an error of the end that is told': {
      takeAway: ({ rig }, patch) =>
        patch(rig.driver, 'start', (start) => async (operation, options) => {
          try {
            return await start(operation, options);
          } catch (error) {
            if ((error as Error).message === 'the end fails') return operation.result;
            throw error;
          }
        }),
      harm: /what failed/,
    },
  },
});

/**
 * T26, the last third: a failure of the body and one of the end. Fails: whatever `end` throws comes
 * out of `release`, hides the first error, and leaves the range locked, for everybody and for ever.
 */
it('T26 a failure of the end hides that of the body and leaves a lock', async () => {
  const { rig, file } = await toy({ gated: true });
  const { end } = rig.toy;
  let count = 0;
  rig.toy.end = (...told) => {
    end.apply(rig.toy, told);
    if (count++ > 0) throw new Error('the end fails');
  };
  rig.gate.shut();
  const write = outcome(rig.start(writing(file, 1, noise(10, 2))));
  // It has the range, and waits; when it goes on, both fail.
  rig.cache.want = () => {
    throw new Error('the body fails');
  };
  await rig.gate.open();
  expect.soft(await write, 'what failed').toBe('the body fails');
  expect(file.lock.idle, 'the range').toBe(true);
});

/**
 * T24, with a third write. Fails: a write that finds its range taken waits without a place in the
 * queue, so that others who come later overtake it, and any number of them (W1).
 */
it('T24 a write that waits is overtaken by one that came later', async () => {
  const { rig, file } = await toy({ gated: true });
  const [part, whole] = [noise(100, 2), noise(2 * B, 3)];
  rig.gate.shut();
  const first = rig.start(writing(file, B - 50, part));
  const second = rig.start(writing(file, B, whole));
  const third = rig.start(writing(file, 3 * B - 50, part));
  await rig.open(first, second, third);
  const wanted = patched(OLD, [B - 50, part], [B, whole], [3 * B - 50, part]);
  await expectFile({ rig, file }, wanted);
});

/**
 * Linux until 6.5: a write that had written a part and then failed reported the error, and the
 * caller, who was told that nothing was written, wrote that part again or took it for lost.
 */
regression('T27 a write that was done in part reports an error', {
  rig: async () => new Rig({ deviceBlocks: 10, dirtyLimit: 8 }),
  body: async (rig) => {
    const file = new ToyFile(rig.toy);
    expect(await outcome(rig.do(writing(file, 0, noise(20 * B))))).toBe(`${8 * B} bytes`);
    expect(await outcome(rig.do(writing(file, 8 * B, noise(4 * B))))).toBe('ENOSPC');
    await expectFile({ rig, file }, noise(20 * B).subarray(0, 8 * B));
  },
  controls: {
    'a result that counts more than the error after it': {
      takeAway: (_, patch) =>
        patch(BufferedWrite.prototype, 'fail', () => PlannedOperation.prototype.fail),
      harm: /expected 'ENOSPC' to be '32768 bytes'/,
    },
  },
});
