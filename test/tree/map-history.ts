/**
 * Random changes of file maps and their clones, each held against a plain map from file block to
 * content. A block's content is one number, repeated.
 */
import { BLOCK_SIZE, type Block, checksum32, errorCode, wordsOf } from '../../src/base/index.ts';
import { SlotKind, slotBlock } from '../../src/format/index.ts';
import type { Random } from '../../src/testing/index.ts';
import { MapPosition } from '../../src/tree/index.ts';
import { BareMap, type Root, type TreeRig } from './rig.ts';

/** A map and what should be in it. */
export class ModelMap {
  readonly map = new BareMap();
  readonly blocks = new Map<number, number>();
}

/** File blocks beyond which the next depth begins, and the end of what is drawn: 4 TiB. */
const DEPTHS = [0, 4, 256, 65536, 2 ** 24, 2 ** 30];

export class MapHistory {
  readonly rig: TreeRig;
  readonly random: Random;
  readonly position = new MapPosition();
  maps: ModelMap[] = [];
  /** What cuts have handed over and nobody has given back yet. */
  readonly discarded: Root[] = [];
  #content = 0;

  constructor(rig: TreeRig, random: Random) {
    this.rig = rig;
    this.random = random;
    this.plant();
  }

  /** A map that names nothing. */
  plant(): ModelMap {
    const made = new ModelMap();
    this.rig.roots.add(made.map);
    this.maps.push(made);
    return made;
  }

  /** Maps `count` new blocks at file block `first`; what was there is given back. */
  set(model: ModelMap, first: number, count: number): void {
    const { rig } = this;
    const { maps, store } = rig;
    let added = 0;
    rig.change(
      (plan) => {
        maps.planSet(model.map, { first, count }, false, plan);
        return plan.ready;
      },
      () => {
        for (let done = 0; done < count; ) {
          const { block, length } = store.space.allocateData(count - done);
          const checksums = new Uint32Array(length);
          for (let i = 0; i < length; i++) checksums[i] = this.#fill((block + i) as Block);
          added += maps.setRun(model.map, { first: first + done, block, checksums });
          done += length;
        }
      },
      count,
    );
    let fresh = 0;
    for (let i = 0; i < count; i++) {
      if (!model.blocks.has(first + i)) fresh++;
      model.blocks.set(first + i, this.#content - count + 1 + i);
    }
    if (added !== fresh) throw new Error(`setRun() added ${added} blocks, wanted ${fresh}`);
  }

  /** Cuts the map at a file block, as a truncate does. */
  cut(model: ModelMap, from: number): void {
    const { rig } = this;
    rig.change(
      (plan) => {
        rig.maps.planCut(model.map, from, false, plan);
        return plan.ready;
      },
      () => {
        rig.maps.cut(model.map, from, (words, at, role, detail) => {
          this.discarded.push(rig.adopt(words, at, role, detail));
        });
      },
    );
    for (const block of model.blocks.keys()) if (block >= from) model.blocks.delete(block);
  }

  clone(model: ModelMap): ModelMap {
    const copy = new ModelMap();
    copy.map.depth = model.map.depth;
    this.rig.clone(model.map, copy.map);
    for (const [block, content] of model.blocks) copy.blocks.set(block, content);
    this.maps.push(copy);
    return copy;
  }

  drop(model: ModelMap): void {
    this.rig.drop(model.map);
    this.maps = this.maps.filter((other) => other !== model);
  }

  /** Gives back what cuts have handed over. */
  reclaim(): void {
    for (const root of this.discarded.splice(0)) this.rig.drop(root);
  }

  /** Does one thing to one of the maps. When the volume is full, the map goes instead. */
  step(): void {
    const { random, rig } = this;
    const model = random.pick(this.maps);
    const draw = random.fraction();
    try {
      if (draw < 0.12 && this.maps.length < 8) this.clone(model);
      else if (draw < 0.15 && this.maps.length > 1) this.drop(model);
      else if (draw < 0.22) rig.commit();
      else if (draw < 0.27) this.reclaim();
      else if (draw < 0.45) this.cut(model, random.chance(0.1) ? 0 : this.block(model));
      else this.set(model, this.block(model), random.pick([1, 1, 3, 10, 300]));
    } catch (error) {
      if (errorCode(error) !== 'ENOSPC') throw error;
      this.drop(model);
      this.plant();
      this.reclaim();
    }
  }

  /** A file block anywhere, more often where a depth ends or something is mapped. */
  block(model: ModelMap): number {
    const { random } = this;
    const end = DEPTHS[random.between(1, DEPTHS.length - 1)] as number;
    const near = random.chance(0.5) ? end - 1 : random.below(end);
    const known = [...model.blocks.keys()];
    const anywhere = known.length > 0 && random.chance(0.5) ? random.pick(known) : near;
    return Math.max(0, anywhere + random.between(-3, 3));
  }

  /** Looks every block up, the ones beside them too. Returns what differs. */
  differences(model: ModelMap): string[] {
    const wanted = new Set<number>([0, 3, 4, 255, 256]);
    for (const block of model.blocks.keys()) wanted.add(block).add(block + 1);
    return [...wanted].flatMap((block) => {
      const found = this.#contentAt(model, block);
      const content = model.blocks.get(block);
      return found === content ? [] : [`file block ${block} is ${found}, wanted ${content}`];
    });
  }

  /** Content of a file block as the map has it; undefined in a hole. */
  #contentAt({ map }: ModelMap, fileBlock: number): number | undefined {
    const { rig, position } = this;
    rig.look((plan) => rig.maps.locate(map, fileBlock, position, plan) || undefined);
    if (position.kind !== SlotKind.DATA) {
      // Nothing for as long as it says.
      if (position.left < 1) throw new Error(`a hole at ${fileBlock} has ${position.left} blocks`);
      return undefined;
    }
    return wordsOf(rig.read(slotBlock(position.words, position.at)))[0];
  }

  /** Writes the next content into a block. Returns its checksum. */
  #fill(block: Block): number {
    const bytes = new Uint8Array(BLOCK_SIZE);
    wordsOf(bytes).fill(++this.#content);
    this.rig.device.write(block * BLOCK_SIZE, bytes);
    this.rig.store.blocks.forget(block);
    return checksum32(bytes, this.rig.store.blocks.seed);
  }
}
