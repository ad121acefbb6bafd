/** Unshare: blocks that become a file's own, with the bytes that they had. */
import { expect } from 'vitest';
import { roundUp } from '../../src/base/index.ts';
import { DirtyChunk, MappingFlag, RequestFlag } from '../../src/iomap/index.ts';
import { B, expectSame, noise } from '../iomap/rig.ts';
import { regression } from './regression.ts';
import { patched, VolumeRig } from './rig.ts';
import { forgetSources } from './stale.ts';

/** Its last block has a part only. */
const OLD = noise(12 * B + 100);

/** A volume with `/donor` and `/file`, which shares all of its blocks; they are not in memory. */
async function shared(): Promise<VolumeRig> {
  const rig = await VolumeRig.make();
  await rig.stored('/donor', OLD);
  await rig.volume.clone('/donor', '/file');
  await rig.volume.sync();
  await rig.file('/file');
  rig.evict();
  return rig;
}

/** What is where in `/file`, block by block: s is shared, o its own, - a hole, d dirty. */
async function forks({ volume }: VolumeRig): Promise<string> {
  const letters = new Array<string>(roundUp(OLD.length, B) / B).fill('-');
  for (const { offset, length, type, shared: isShared } of await volume.extents('/file')) {
    const letter = type === 'delalloc' ? 'd' : type === 'unwritten' ? 'u' : isShared ? 's' : 'o';
    letters.fill(letter, offset / B, roundUp(offset + length, B) / B);
  }
  return letters.join('');
}

async function expectFile(rig: VolumeRig, wanted: Uint8Array): Promise<void> {
  const [file, donor] = [await rig.file('/file'), await rig.file('/donor')];
  expectSame(await rig.read(file), wanted, 'the file');
  await rig.audit();
  rig.evict();
  expectSame(await rig.read(file), wanted, 'the file on the device');
  expectSame(await rig.read(donor), OLD, 'the donor');
}

/**
 * Linux until 5.15, and once more until 6.12: XFS called mappings of holes shared in a file that
 * shared anything. Unshare had nothing to copy from there and failed with EIO; then the flag was
 * given the opposite meaning.
 */
regression('T6 unshare stumbles over holes', {
  rig: shared,
  body: async (rig) => {
    const wanted = OLD.slice();
    for (let block = 1; block < 12; block += 2) {
      await rig.volume.punch('/file', block * B, B);
      wanted.fill(0, block * B, (block + 1) * B);
    }
    await rig.volume.allocate('/file', 5 * B, B);
    await rig.volume.sync();
    expect(await forks(rig), 'before').toBe('s-s-sus-s-s-s');
    await rig.volume.unshareRange('/file', 0, OLD.length);
    await rig.volume.sync();
    expect(await forks(rig), 'afterwards').toBe('o-o-ouo-o-o-o');
    await expectFile(rig, wanted);
  },
  controls: {
    'a flag that holes never have': {
      takeAway: ({ engine: { iomapOps } }, patch) =>
        patch(iomapOps, 'begin', (begin) => (file, request, answer, plan) => {
          const done = begin(file, request, answer, plan);
          if (request.flag !== RequestFlag.REPORT || file.lock.idle) return done;
          for (const source of answer.sources) source.flags |= MappingFlag.SHARED;
          return done;
        }),
      harm: /afterwards: expected 'ooo/,
    },
    'a flag that shared blocks have': {
      takeAway: ({ engine: { iomapOps } }, patch) =>
        patch(iomapOps, 'begin', (begin) => (file, request, answer, plan) => {
          const done = begin(file, request, answer, plan);
          // Where unshare asks, after the extents were looked at.
          if (file.lock.idle) return done;
          for (const source of answer.sources) source.flags &= ~MappingFlag.SHARED;
          return done;
        }),
      harm: /afterwards: expected 's/,
    },
  },
});

/**
 * Linux until 6.6: a write of a whole folio needs nothing that was there. Unshare went the same
 * way, and made dirty what was never read: garbage took the place of data that was not cached.
 */
regression('T7 unshare keeps what it has not read', {
  rig: shared,
  body: async (rig) => {
    await rig.volume.unshareRange('/file', 0, OLD.length);
    await expectFile(rig, OLD);
    expect(await forks(rig)).toBe('ooooooooooooo');
  },
  controls: {
    'old bytes of every block': {
      takeAway: (_, patch) =>
        patch(DirtyChunk.prototype, 'map', (map) => {
          return function (this: DirtyChunk, file, start, end, plan) {
            return map.call(this, file, start, end, plan, false);
          };
        }),
      harm: /the file at 0 .*found 238/,
    },
  },
});

/**
 * Linux until 6.12: through DAX a range that is not aligned was copied from the wrong address, a
 * source that was a hole left what was there, and the first copy of the code zeroed instead.
 */
regression('T8 unshare of parts of blocks copies something else', {
  rig: shared,
  body: async (rig) => {
    await rig.volume.unshareRange('/file', 1, 2 * B);
    await rig.volume.unshareRange('/file', 5 * B + 7, 10);
    await rig.volume.unshareRange('/file', 11 * B + 1, 50 * B);
    expect((await rig.file('/file')).size, 'the size').toBe(OLD.length);
    await rig.volume.sync();
    expect(await forks(rig), 'what is shared').toBe('ooossosssssoo');
    await expectFile(rig, OLD);
  },
  controls: {
    'taking blocks whole': {
      takeAway: ({ engine }, patch) =>
        patch(engine, 'apply', (apply) => (record) => {
          if (record.type !== 'fallocate') return apply(record);
          const offset = roundUp(record.offset, B);
          const end = Math.max(offset + 1, record.offset + record.length);
          return apply({ ...record, offset, length: end - offset });
        }),
      harm: /what is shared/,
    },
    'the sources of the blocks': {
      takeAway: ({ engine: { iomapOps } }, patch) => forgetSources(iomapOps, patch),
      harm: /the file at 0 .*found 0/,
    },
  },
});

/**
 * Linux until 6.12: unshare dropped the copies that were under way in the whole file, since nothing
 * seemed shared any more: with them the place of dirty data elsewhere, which was lost in silence.
 */
regression('T12 unshare loses what is dirty', {
  rig: shared,
  body: async (rig) => {
    const data = noise(8 * B, 2);
    await rig.write(await rig.file('/file'), B, data);
    await rig.volume.unshareRange('/file', 0, 1024);
    await rig.volume.sync();
    const wanted = patched(OLD, [B, data]);
    const later = await rig.crashed();
    expectSame(await later.read(await later.file('/file')), wanted, 'the file after a mount');
    expect(await forks(later)).toBe('ooooooooossss');
    await expectFile(rig, wanted);
  },
  controls: {
    'leaving alone what is dirty': {
      takeAway: ({ engine }, patch) =>
        patch(engine, 'apply', (apply) => (record) => {
          const operation = apply(record);
          if (record.type !== 'fallocate') return operation;
          const vnode = engine.vnode(record.target);
          const step = operation.step.bind(operation);
          operation.step = () => {
            const done = step();
            if (done) engine.iomapOps.release(vnode, vnode.dropDirty(0));
            return done;
          };
          return operation;
        }),
      harm: /the file after a mount at 4096 /,
    },
  },
});
