/** Seek: data and holes, as the map and the cache together have them. */
import { expect, it } from 'vitest';
import { errorCode, type Frame, PlainIo } from '../../src/base/index.ts';
import { MappingType, Punch, RequestFlag, Seek } from '../../src/iomap/index.ts';
import { audit, B, expectSame, noise, Rig, writing } from '../iomap/rig.ts';
import { ToyFile, ToyFilesystem } from '../iomap/toy-filesystem.ts';
import { regression } from './regression.ts';
import { VolumeRig } from './rig.ts';

/** Copies the data of a file, and leaves holes where it has holes. */
async function sparseCopy({ volume, fs }: VolumeRig, from: string, to: string): Promise<void> {
  const { size } = await fs.promises.stat(from);
  const [source, target] = [await fs.promises.open(from), await fs.promises.open(to, 'w')];
  await target.truncate(size);
  for (let at = 0; at < size; ) {
    const start = await volume.seek(source.fd, at, 'data').catch(errorCode);
    if (typeof start !== 'number') break;
    at = await volume.seek(source.fd, start, 'hole');
    const part = new Uint8Array(at - start);
    await source.read(part, 0, part.length, start);
    await target.write(part, 0, part.length, start);
  }
  await Promise.all([source.close(), target.close()]);
}

/**
 * Linux until 6.8: looking for data in a file with blocks in the CoW fork took a length for an end.
 * Data behind them was passed over, and `cp` made a copy with holes in its place.
 */
regression('T14 a sparse copy leaves out data', {
  rig: async () => {
    const rig = await VolumeRig.make();
    await rig.fs.promises.writeFile('/donor', noise(3 * B));
    const donor = await rig.file('/donor');
    await rig.write(donor, 10 * B, noise(2 * B, 2));
    await rig.write(donor, 20 * B, noise(2 * B, 3));
    await rig.fs.promises.truncate('/donor', 30 * B);
    await rig.volume.clone('/donor', '/file');
    await rig.volume.sync();
    rig.evict();
    return rig;
  },
  body: async (rig) => {
    const file = await rig.file('/file');
    // In the CoW fork: over data, over holes beside it and between, and in flight.
    await rig.write(file, 2 * B, noise(2 * B, 4));
    await rig.write(file, 15 * B + 10, noise(10, 5));
    await rig.write(file, 25 * B, noise(B, 6));
    const wanted = await rig.read(file);
    await sparseCopy(rig, '/file', '/copy');
    expectSame(await rig.read(await rig.file('/copy')), wanted, 'the copy of what is dirty');
    await rig.volume.sync();
    await sparseCopy(rig, '/file', '/copy');
    expectSame(await rig.read(await rig.file('/copy')), wanted, 'the copy of what is stored');
    const data = (await rig.volume.extents('/copy')).map(({ offset, length }) => [offset, length]);
    const runs = [
      [0, 4 * B],
      [10 * B, 2 * B],
      [15 * B, B],
      [20 * B, 2 * B],
      [25 * B, B],
    ];
    expect(data, 'where the copy has data').toEqual(runs);
  },
  controls: {
    'looking at everything that is dirty': {
      takeAway: ({ engine: { pool } }, patch) =>
        patch(pool.folios, 'nextOf', () => () => -1 as ReturnType<typeof pool.folios.nextOf>),
      harm: /the copy of what is dirty at/,
    },
    'a length that is not an end': {
      takeAway: ({ engine: { iomapOps } }, patch) =>
        patch(iomapOps, 'begin', (begin) => (file, request, answer, plan) => {
          const done = begin(file, request, answer, plan);
          // Not what is read, which is asked for by chunks.
          if (request.flag !== RequestFlag.READ || request.offset + request.length < file.size) {
            return done;
          }
          const hole = answer.sources.findIndex(({ type }) => type === MappingType.HOLE);
          const found = answer.sources[hole];
          if (found === undefined || hole >= answer.sourceCount) return done;
          found.length = found.end;
          answer.sourceCount = hole + 1;
          return done;
        }),
      harm: /the copy of what is \w+ at/,
    },
  },
});

/**
 * Linux until 6.12: what had been reserved for a write that failed was looked for in the cache, run
 * by run. A run that vanished between two looks, since a direct write dropped it, was found empty,
 * and the search stood still or went astray.
 */
regression('T25 a search stands still where cached data vanishes', {
  rig: async () => {
    const rig = new Rig({ gated: true, toy: AbsentMindedToy });
    const file = new ToyFile(rig.toy);
    for (let block = 0; block < 60; block++) rig.run(writing(file, block * B, noise(B, block)));
    return { rig, file };
  },
  body: async ({ rig, file }) => {
    const toy = rig.toy as AbsentMindedToy;
    const looks: number[] = [];
    const { begin } = toy;
    toy.begin = (of, request, answer, plan) => {
      const done = begin.call(toy, of, request, answer, plan);
      looks.push(request.offset);
      expect(looks.length, `looks, the last ones at ${looks.slice(-3)}`).toBeLessThan(100);
      return done;
    };
    // All is dirty over one hole. While the seek waits, what it may have seen goes: to the device,
    // and for good.
    for (const from of [0, 20 * B]) {
      rig.gate.shut();
      toy.absent = true;
      const seek = rig.start(new Seek(file, from, 'hole'));
      expect(rig.gate.waiting).toEqual(['read']);
      const sync = rig.start(rig.syncing());
      const punch = rig.start(new Punch(file, 40 * B, 20 * B));
      await rig.gate.pass('write');
      await Promise.all([sync, punch]);
      await rig.gate.open();
      expect(await seek, 'the hole').toBe(40 * B);
      rig.run(writing(file, 45 * B, noise(B, 45)));
      looks.length = 0;
    }
    expect(await rig.do(new Seek(file, 40 * B, 'data')), 'dirty data').toBe(45 * B);
    expect(await rig.do(new Seek(file, 45 * B, 'hole')), 'the hole behind it').toBe(46 * B);
    await rig.do(rig.syncing());
    audit(rig);
  },
  controls: {
    'a look at the cache in the turn': {
      // What was seen there once is taken for there.
      takeAway: ({ file }, patch) => patch(file, 'frameAt', () => () => 0 as Frame),
      harm: /the hole/,
    },
  },
});

/** Has to look at the device before it answers, when it is told to. */
class AbsentMindedToy extends ToyFilesystem {
  absent = false;

  override begin(...asked: Parameters<ToyFilesystem['begin']>): boolean {
    if (!this.absent) return super.begin(...asked);
    this.absent = false;
    asked[3].need(new PlainIo('read', 0, [new Uint8Array(B)]));
    return false;
  }
}

/**
 * T14, turned round. Fails: behind the dirty part of a hole, `Seek` goes on with the next run that
 * it was told of, and passes over what is left of the hole.
 */
it('T14 a hole behind dirty data is taken for data', async () => {
  const rig = await VolumeRig.make();
  await rig.fs.promises.writeFile('/file', '');
  const file = await rig.file('/file');
  await rig.write(file, 10 * B, noise(2 * B));
  await rig.volume.sync();
  await rig.write(file, 2 * B, noise(B, 2));
  expect(await rig.volume.seek('/file', 0, 'data')).toBe(2 * B);
  expect(await rig.volume.seek('/file', 2 * B, 'hole')).toBe(3 * B);
});
