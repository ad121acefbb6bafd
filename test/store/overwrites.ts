/**
 * Overwrites: every write of a history held against what it must not touch.
 */
import { BLOCK_SIZE, type Block, KIB, MIB } from '../../src/base/index.ts';
import {
  countSlotStart,
  type Geometry,
  indexPlace,
  readGroupEntry,
  superblockPlace,
} from '../../src/format/index.ts';
import type { Random } from '../../src/testing/index.ts';
import type { Engine } from '../../src/volume/index.ts';
import { History } from '../volume/history.ts';
import { imageOf, readIndex, rootsOf, walkRoot } from '../volume/recount.ts';
import { mount } from '../volume/rig.ts';
import { World } from '../volume/world.ts';
import { TapeDevice } from './tape.ts';

/** What must not be written until the next root is durable, and why. */
class Protected {
  readonly #blocks = new Map<Block, string>();
  readonly #geometry: Geometry;

  constructor(image: Uint8Array, rootCount: number) {
    const roots = rootsOf(image).slice(0, rootCount);
    this.#geometry = (roots[0] as (typeof roots)[0]).superblock.geometry;
    roots.forEach((root, age) => {
      const of = `of the root of txg ${root.superblock.state.txg}`;
      for (const block of walkRoot(image, root).counts.keys()) this.#add(block, 1, `a block ${of}`);
      for (const copy of [0, 1] as const) {
        const place = superblockPlace(this.#geometry.blockCount, root.ring, copy);
        this.#add(place, 1, `the superblock ${of}`);
      }
      if (age === 0) this.#addFixed(image, root);
    });
  }

  /** The protected places that a write touches. */
  touched(position: number, length: number): string[] {
    const found: string[] = [];
    const end = (position + length) / BLOCK_SIZE;
    for (let block = (position / BLOCK_SIZE) as Block; block < end; block++) {
      const why = this.#blocks.get(block);
      if (why !== undefined) found.push(`block ${block} is ${why}`);
    }
    return found;
  }

  /** Index and counts of the newest root. */
  #addFixed(image: Uint8Array, root: ReturnType<typeof rootsOf>[0]): void {
    const { geometry, state } = root.superblock;
    for (const copy of [0, 1] as const) {
      this.#add(indexPlace(geometry, state.indexPlace, copy), geometry.indexBlocks, 'the index');
    }
    const index = readIndex(image, root.superblock) as Uint32Array;
    for (let g = 0; g < geometry.groupCount; g++) {
      const { current, txg } = readGroupEntry(index, g);
      if (txg === 0) continue;
      this.#add(countSlotStart(geometry, g, current), geometry.countSlotBlocks, `counts of ${g}`);
    }
  }

  #add(first: Block, count: number, why: string): void {
    for (let i = 0; i < count; i++) this.#blocks.set((first + i) as Block, why);
  }
}

/** Lives through a random history, after `prepare`. Returns what it should not have touched. */
export function overwritten(
  random: Random,
  rounds: number,
  prepare: (engine: Engine) => void = () => {},
): string[] {
  const tape = new TapeDevice(new Uint8Array(2 * MIB));
  const world = new World(tape, { groupBlocks: 256, logBlocks: 8, cacheBytes: 2 * MIB });
  world.mayBeFull = true;
  prepare(world.rig.engine);
  const weights = { remount: 0, open: 0, tmpfile: 0 };
  const history = new History(world, { random, sizeMax: 40 * KIB, weights });
  const found: string[] = [];
  let rootCount = 2;
  for (let i = 0; i < rounds; i++) {
    tape.rewind();
    const remount = random.chance(0.1);
    if (remount) world.rig = mount(tape, world.options);
    if (remount) prepare(world.rig.engine);
    // What the last txg before a mount has freed is not known any more: of two roots one is left,
    // until the next commit.
    if (remount) rootCount = 1;
    let guard = new Protected(tape.base, rootCount);
    const before = new TapeDevice(tape.base);
    history.run(random.between(1, 8));
    world.commit();
    let flushes = 0;
    for (const call of tape.calls) {
      if (call.kind === 'write') {
        found.push(...guard.touched(call.position, call.bytes.length));
        before.write(call.position, call.bytes);
      } else if (++flushes % 2 === 0) {
        rootCount = 2;
        guard = new Protected(imageOf(before), rootCount);
      }
    }
    if (found.length > 0) return found;
  }
  return found;
}
