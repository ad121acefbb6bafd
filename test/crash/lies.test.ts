/**
 * A device that lies: what is handed out is right, or the call fails; and of what was durable only
 * that is lost which a lie has touched.
 */
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { Volume } from '../../src/api/index.ts';
import { BLOCK_SIZE, MIB } from '../../src/base/index.ts';
import { BlockCache, LoadFlag } from '../../src/cache/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { decodeSuperblock, indexPlace, isFault, type Superblock } from '../../src/format/index.ts';
import { FaultDevice, Random } from '../../src/testing/index.ts';
import { COMMON } from '../api/bench.ts';
import { seeded } from '../volume/seeds.ts';
import { Roots } from './lies.ts';
import { WEIGHTS, type Weights } from './life.ts';
import { LIES, type Lie, type LieCounts, LyingLife } from './lying-life.ts';
import { volumeOn } from './tape-volume.ts';

const weights: Weights = {
  ...WEIGHTS,
  read: 8,
  readdir: 5,
  readFile: 10,
  readlink: 2,
  stat: 5,
  sync: 5,
};
const SMALL = { size: 2 * MIB, groupBlocks: 256, logBlocks: 16, weights } as const;

const noCounts = (): LieCounts => ({
  lies: 0,
  images: 0,
  failed: 0,
  unmounted: 0,
  lossy: 0,
  older: 0,
});
const counts = noCounts();

afterAll(() => process.stdout.write(`lies: ${JSON.stringify(counts)}\n`));
afterEach(() => vi.restoreAllMocks());

seeded('one lie of a device', { count: 6 }, async (random) => {
  await new LyingLife(random, { ...SMALL, lies: LIES, most: 1, counts }).run(60);
});

seeded('several lies of a device', { count: 6 }, async (random) => {
  await new LyingLife(random, { ...SMALL, lies: LIES, most: 4, counts }).run(60);
});

/** What goes wrong in some lives with many lies of one kind, if anything does. */
async function harmed(lie: Lie, seeds = 25): Promise<string | undefined> {
  for (let seed = 1; seed <= seeds; seed++) {
    const life = { ...SMALL, lies: [lie], most: 12, chance: 0.4, counts: noCounts() };
    try {
      await new LyingLife(new Random(seed), life).run(40);
    } catch (error) {
      return (error as Error).message;
    }
  }
  return undefined;
}

describe('lives with lies notice', { timeout: 300_000 }, () => {
  const wrong = LIES.filter(({ on, effect }) => on !== 'flush' && effect !== 'fail');

  it('nothing while nothing is taken away', async () => {
    for (const lie of LIES) expect(await harmed(lie, 1)).toBeUndefined();
  });

  it.each(wrong)('that blocks are not verified, if a $on may $effect', async (lie) => {
    const { want } = BlockCache.prototype;
    vi.spyOn(BlockCache.prototype, 'want').mockImplementation(function (
      this: BlockCache,
      plan,
      block,
      checksum,
      flags,
      kind,
    ) {
      return want.call(this, plan, block, checksum, flags | LoadFlag.UNVERIFIED, kind);
    });
    expect(await harmed(lie)).toBeDefined();
  });

  // What the oracle does not ask for is really lost.
  it.each(LIES.filter(({ on, effect }) => on === 'flush' || effect === 'lose'))(
    'what is gone after a $on may $effect',
    async (lie) => {
      vi.spyOn(Roots.prototype, 'kept').mockImplementation((acks) => [...acks]);
      expect(await harmed(lie)).toMatch(/Found none of the states/u);
    },
  );
});

/** A volume with a file of two runs, and the superblock it has. */
function written(): { image: Uint8Array; superblock: Superblock } {
  const { tape, volume } = volumeOn();
  volume.fs.writeFileSync('/f', Buffer.alloc(3 * MIB, 7));
  volume.syncSync();
  volume.fs.mkdirSync('/d');
  volume.syncSync();
  const image = tape.image();
  const { txg } = new Roots(image);
  for (let ring = 0; ring < 4; ring++) {
    const found = decodeSuperblock(image.subarray(ring * BLOCK_SIZE, (ring + 1) * BLOCK_SIZE));
    if (!isFault(found) && found.state.txg === txg) return { image, superblock: found };
  }
  throw new Error('The volume has no superblock');
}

// What had been read by then was taken for the whole file, and no error was reported.
it.each(['by its name', 'by its descriptor'])('a file that cannot be read, %s', async (how) => {
  const { image } = written();
  const device = new FaultDevice(MemoryDevice.from(image));
  const volume = Volume.openSync(device, { ...COMMON, cacheBytes: 4 * MIB });
  const [first] = volume.extentsSync('/f');
  const within = { position: (first?.address as number) + 2 * MIB, length: BLOCK_SIZE };
  const fd = volume.fs.openSync('/f', 'r');
  device.inject({ on: 'read', effect: 'fail', within });
  const file = how === 'by its name' ? '/f' : fd;
  expect(() => volume.fs.readFileSync(file)).toThrow(expect.objectContaining({ code: 'EIO' }));
  await expect(volume.fs.promises.readFile('/f')).rejects.toMatchObject({ code: 'EIO' });
});

// Both copies were read by one transfer: gone wrong once, it was taken for damage of both.
it.each(['misdirect', 'rot', 'partial', 'fail'] as const)(
  'a read of the index that may %s leads to no older root',
  (effect) => {
    const { image, superblock } = written();
    const { geometry, state } = superblock;
    const device = new FaultDevice(MemoryDevice.from(image));
    const position = indexPlace(geometry, state.indexPlace, 0) * BLOCK_SIZE;
    device.inject({ on: 'read', effect, times: 1, by: 50, within: { position, length: 1 } });
    using volume = Volume.openSync(device, COMMON);
    expect(device.struck).toBe(1);
    expect((volume.fs.readdirSync('/') as string[]).sort()).toEqual(['d', 'f']);
  },
);
