/** Ranges of a file: what is zeroed, punched and moved while data is on its way. */
import { expect } from 'vitest';
import { errorCode, MIB, NO_FRAME } from '../../src/base/index.ts';
import { MappingType, RequestFlag } from '../../src/iomap/index.ts';
import type { Vnode } from '../../src/volume/index.ts';
import { B, expectSame, noise } from '../iomap/rig.ts';
import { type Patch, regression } from './regression.ts';
import { patched, VolumeRig } from './rig.ts';

const OLD = noise(40 * B);

/** The file holds these bytes, in memory and on the device, and nothing is left over. */
async function expectFile(rig: VolumeRig, path: string, wanted: Uint8Array): Promise<void> {
  await rig.gate.open();
  const file = await rig.file(path);
  expectSame(await rig.read(file), wanted, path);
  await rig.audit();
  rig.evict();
  expectSame(await rig.read(file), wanted, `${path} on the device`);
}

/**
 * Linux 5.5: to make room for an insertion, blocks are moved one by one; a copy that became
 * complete beside the range meanwhile was joined with a block that had moved, or was about to.
 */
regression('T16 blocks are moved away under a copy that is in flight', {
  rig: async () => {
    const rig = await VolumeRig.make();
    await rig.stored('/donor', OLD);
    await rig.volume.clone('/donor', '/file');
    await rig.volume.sync();
    await rig.read(await rig.file('/file'), 0, 10 * B);
    return rig;
  },
  body: async (rig) => {
    const file = await rig.file('/file');
    const data = noise(B, 2);
    let wanted = OLD;
    // Behind the block in flight, before it, with it, and without what is beside it.
    for (const at of [5, 4, 2]) {
      rig.writeNow(file, 4 * B, data);
      const bytes = patched(wanted, [4 * B, data]);
      rig.gate.shut();
      const sync = rig.writeback(file);
      expect(rig.gate.waiting).toEqual(['write']);
      const insert = rig.volume.insertRange('/file', at * B, 2 * B);
      await rig.driver.pause();
      await rig.open<unknown>(sync, insert);
      const hole = new Uint8Array(2 * B);
      wanted = patched(bytes.slice(0, at * B), [at * B, hole], [(at + 2) * B, bytes.slice(at * B)]);
      expectSame(await rig.read(file), wanted, `the file after an insertion at ${at}`);
      rig.writeNow(file, 4 * B, data);
      rig.gate.shut();
      const again = rig.writeback(file);
      const collapse = rig.volume.collapseRange('/file', at * B, 2 * B);
      await rig.open<unknown>(again, collapse);
      const before = patched(wanted, [4 * B, data]);
      wanted = patched(before.slice(0, at * B), [at * B, before.slice((at + 2) * B)]);
      expectSame(await rig.read(file), wanted, `the file after a collapse at ${at}`);
    }
    await expectFile(rig, '/file', wanted);
    expectSame(await rig.read(await rig.file('/donor')), OLD, 'the donor');
  },
  controls: {
    'waiting for what is in flight': {
      takeAway: ({ engine: { pool, table } }, patch) => {
        patch(pool, 'drained', () => () => true);
        for (const { cowLock } of table.all) patch(cowLock, 'free', () => () => true);
      },
      harm: /the file after/,
    },
  },
});

/** What block 1 of a file may be. `>` is a step to the device. */
const KINDS: Readonly<Record<string, readonly string[]>> = {
  hole: [],
  unwritten: ['allocate'],
  mapped: ['write', '>'],
  shared: ['write', '>', 'clone'],
  'dirty over a hole': ['write'],
  'dirty over unwritten': ['allocate', 'write'],
  'dirty over mapped': ['write', '>', 'write'],
  'dirty over shared': ['write', '>', 'clone', 'write'],
};

/** Makes zeros somewhere in or about block 1 of a file of four blocks. */
const ZEROING: Readonly<
  Record<string, readonly [act: 'zeroRange' | 'punch' | 'truncate', from: number, to: number]>
> = {
  'a part of it': ['zeroRange', B + 100, B + 300],
  'its beginning': ['punch', B / 2, B + 300],
  'its end': ['punch', B + 100, 3 * B - 7],
  'all of it': ['zeroRange', B, 2 * B],
  'a cut in it, and more': ['truncate', B + 100, 4 * B],
};

/**
 * Linux until 6.12: zeroing skipped what the map calls unwritten, though there was dirty data over
 * it. Old bytes showed up behind the end of a file that grew, or where it had been zeroed.
 */
regression('T20 what is zeroed keeps dirty bytes', {
  rig: () => VolumeRig.make(),
  body: async (rig) => {
    const { volume } = rig;
    for (const [kind, steps] of Object.entries(KINDS)) {
      for (const [title, [act, from, to]] of Object.entries(ZEROING)) {
        const path = `/${kind}, ${title}`;
        await rig.fs.promises.writeFile(path, OLD.subarray(0, B));
        const file = await rig.file(path);
        await rig.write(file, 2 * B, OLD.subarray(2 * B, 4 * B));
        await rig.writeback(file);
        let seed = 5;
        for (const step of steps) {
          if (step === 'allocate') await volume.allocate(path, B, B);
          else if (step === 'write') await rig.write(file, B, noise(B, seed++));
          else if (step === 'clone') await volume.clone(path, `${path}, clone`);
          else await rig.writeback(file);
        }
        const wanted = (await rig.read(file)).fill(0, from, to);
        if (act === 'truncate') {
          for (const size of [from, to]) await rig.fs.promises.truncate(path, size);
        } else await volume[act](path, from, to - from);
        expectSame(await rig.read(file), wanted, path);
        await rig.writeback(file);
        rig.evict();
        expectSame(await rig.read(file), wanted, `${path}, on the device`);
      }
    }
    await rig.audit();
  },
  controls: {
    'a look at what is dirty': {
      takeAway: (rig, patch) => blindly(rig, patch, 'frameAt', () => () => NO_FRAME),
      harm: /\/dirty over a hole, .* at 4\d\d\d /,
    },
    'dropping what is dirty': {
      takeAway: (rig, patch) =>
        blindly(rig, patch, 'dropDirty', () => () => ({ blocks: 0, folios: 0 })),
      harm: /\/dirty over a hole, .* at \d+ /,
    },
  },
});

/** Replaces a method of each file while its bytes are being zeroed. */
function blindly<Name extends 'frameAt' | 'dropDirty'>(
  { engine }: VolumeRig,
  patch: Patch,
  name: Name,
  make: () => Vnode[Name],
): void {
  patch(engine, 'apply', (apply) => (record) => {
    const operation = apply(record);
    if (record.type !== 'fallocate' && record.type !== 'truncate') return operation;
    if (record.type === 'fallocate' && record.mode === 0) return operation;
    const vnode = engine.vnode(record.target);
    const step = operation.step.bind(operation);
    operation.step = () => {
      vnode[name] = make();
      try {
        return step();
      } finally {
        Reflect.deleteProperty(vnode, name);
      }
    };
    return operation;
  });
}

/** Lets everything through the gate but reads, until `work` has ended. */
async function besideReads<Result>({ gate }: VolumeRig, work: Promise<Result>): Promise<Result> {
  let ended = false;
  const end = (): void => {
    ended = true;
  };
  work.then(end, end);
  for (let i = 0; !ended; i++) {
    expect(i, `turns, with ${gate.waiting}`).toBeLessThan(1000);
    for (const kind of ['write', 'flush'] as const) await gate.pass(kind);
  }
  return work;
}

/**
 * Linux until 5.4: reading ahead was not kept out while a hole was punched. It put data from the
 * blocks that were just being freed into the cache, where it stayed.
 */
regression('T23 a read brings back what was punched', {
  rig: async () => {
    const rig = await VolumeRig.make({ size: 4 * MIB });
    await rig.fs.promises.writeFile('/other', 'x');
    const file = await rig.stored('/file', noise(200 * B));
    // Brings in all that is needed but the block that is read.
    await rig.read(file, 0, B);
    await rig.volume.punch('/file', 150 * B, 50 * B);
    return rig;
  },
  body: async (rig) => {
    const { volume, gate } = rig;
    const [file, other] = [await rig.file('/file'), await rig.file('/other')];
    gate.shut();
    const read = rig.read(file, 3 * B, B);
    expect(gate.waiting).toEqual(['read']);
    await besideReads(rig, volume.punch('/file', 3 * B, 140 * B));
    // Where it was is free after three commits; then all that is free gets new data.
    for (let i = 0; i < 4; i++) {
      rig.writeNow(file, 0, noise(1));
      await besideReads(rig, volume.sync());
    }
    const { available } = rig.engine.store.space;
    const data = noise(available * B, 2);
    let end = 0;
    for (let count = 1; count > 0; end += count) {
      const write = rig.write(other, end, data.subarray(end, end + 16 * B));
      count = await besideReads(rig, write).catch((error) => {
        if (errorCode(error) !== 'ENOSPC') throw error;
        return 0;
      });
    }
    await besideReads(rig, volume.sync());
    expect(end, 'bytes of new data').toBeGreaterThan(0.9 * data.length);
    expect(gate.waiting, 'the read waits').toContain('read');
    const [found] = await rig.open(read);
    expectSame(found as Uint8Array, new Uint8Array(B), 'what was punched');
    const wanted = noise(200 * B)
      .fill(0, 3 * B, 143 * B)
      .fill(0, 150 * B);
    expectSame(await rig.read(file), wanted, 'the file');
    await expectFile(rig, '/other', data.subarray(0, end));
  },
  controls: {
    'looking at the map anew': {
      takeAway: ({ engine: { iomapOps } }, patch) => {
        const seen = new Map<string, readonly [address: number, checksums: Uint32Array]>();
        patch(iomapOps, 'begin', (begin) => (file, request, answer, plan) => {
          const done = begin(file, request, answer, plan);
          const source = answer.sources[0];
          if (!done || source === undefined || request.flag !== RequestFlag.READ) return done;
          const key = `${file.id} ${request.offset}`;
          const first = seen.get(key);
          if (first === undefined && source.type === MappingType.MAPPED) {
            seen.set(key, [source.address, (source.checksums as Uint32Array).slice()]);
          } else if (first !== undefined && source.type === MappingType.HOLE) {
            [source.type, source.address, source.checksums] = [MappingType.MAPPED, ...first];
          }
          return done;
        });
      },
      harm: /what was punched at 0 /,
    },
    'keeping a block that is being read': {
      takeAway: ({ engine: { store } }, patch) =>
        patch(store.blocks, 'isLoading', () => () => false),
      harm: /is forgotten while it is loaded/,
    },
  },
});
