/**
 * Tree rig: a store with trees that hang from nothing but the test's own slots.
 *
 * What the volume does above the trees is done here in the smallest way: one operation per change,
 * a seal of all roots at each commit, and deleting a tree by walking it.
 */
import {
  BLOCK_SIZE,
  type Block,
  MIB,
  NO_FRAME,
  type Plan,
  PlannedOperation,
} from '../../src/base/index.ts';
import { BlockCache } from '../../src/cache/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import type { Driver } from '../../src/drive/index.ts';
import {
  type CountWidth,
  copySlot,
  imageSeed,
  SLOT_WORDS,
  SlotRole,
  slotBlock,
  slotHasBlock,
  TreeKind,
} from '../../src/format/index.ts';
import { newSuperblock, Store, type StoreClient } from '../../src/store/index.ts';
import {
  blockKind,
  Cow,
  FileMaps,
  KeyedTrees,
  type MapRoot,
  Sealer,
  type TreeRoot,
  visitSlots,
} from '../../src/tree/index.ts';
import { Walk } from '../volume/recount.ts';
import { makeDriver } from '../volume/rig.ts';

export interface TreeRigOptions {
  readonly size?: number;
  readonly groupBlocks?: number;
  readonly countCap?: CountWidth;
  readonly cacheBytes?: number;
}

/** Anything that hangs from a slot of the test. */
export interface Root {
  readonly slots: Uint32Array;
  readonly role: () => SlotRole;
  readonly detail: () => number;
}

/** The root of a keyed tree that belongs to no inode. */
export class BareTree implements TreeRoot, Root {
  readonly tree = TreeKind.DIRECTORY;
  readonly slots = new Uint32Array(SLOT_WORDS);
  readonly rootAt = 0;
  readonly ownerRealm = 1;
  readonly ownerInode = 2;
  readonly role = () => SlotRole.KEYED;
  readonly detail = () => this.tree;
}

/** The root of a file map that belongs to no inode. */
export class BareMap implements MapRoot, Root {
  readonly slots = new Uint32Array(4 * SLOT_WORDS);
  depth = 0;
  readonly role = () => (this.depth === 0 ? SlotRole.DATA : SlotRole.MAP);
  readonly detail = () => Math.max(0, this.depth - 1);
}

export class TreeRig implements StoreClient {
  readonly device: MemoryDevice;
  readonly driver: Driver;
  readonly store: Store;
  readonly cow: Cow;
  readonly trees: KeyedTrees;
  readonly maps: FileMaps;
  readonly roots = new Set<Root>();
  readonly #sealer: Sealer;

  constructor(options: TreeRigOptions = {}) {
    const { size = 16 * MIB, cacheBytes = 8 * MIB } = options;
    this.device = new MemoryDevice({ size });
    this.driver = makeDriver(this.device);
    const { superblock, index } = newSuperblock({
      size,
      uuid: Uint8Array.from({ length: 16 }, (_, i) => i),
      hashSeed: 1n,
      now: 0,
      groupBlocks: options.groupBlocks,
      countCap: options.countCap,
      logBlocks: 8,
    });
    this.store = new Store({
      blocks: new BlockCache({ capacity: cacheBytes, seed: imageSeed(superblock.uuid) }),
      superblock,
      index,
      ring: -1,
      readOnly: false,
      countCapacity: MIB,
      now: () => 0,
    });
    this.store.client = this;
    this.store.blocks.relief = () => this.store.commit();
    this.cow = new Cow(this.store);
    this.trees = new KeyedTrees(this.store, this.cow);
    this.maps = new FileMaps(this.store, this.cow);
    this.#sealer = new Sealer(this.store);
  }

  drained(): boolean {
    return true;
  }

  yieldSpace(): boolean {
    return false;
  }

  reclaim(): undefined {
    return undefined;
  }

  seal(): void {
    for (const root of this.roots) {
      for (let at = 0; at < root.slots.length; at += SLOT_WORDS) {
        this.#sealer.seal(root.slots, at, root.role(), root.detail());
      }
    }
  }

  commit(): void {
    this.driver.run(this.store.commit());
  }

  /**
   * Runs one change: `look` plans it and says whether it can be, `change` does it. It may take
   * `data` blocks beside those that planning counts.
   */
  change<Result>(look: (plan: Plan) => boolean, change: () => Result, data = 0): Result {
    return this.driver.run(new Change(this.store, look, change, data));
  }

  /** The content of a block: in memory if it is there, else on the device. */
  read(block: Block): Uint8Array {
    const { blocks } = this.store;
    const frame = blocks.find(block);
    return frame === NO_FRAME ? this.#onDevice(block) : blocks.view(frame);
  }

  #onDevice(block: Block): Uint8Array {
    const bytes = new Uint8Array(BLOCK_SIZE);
    this.device.read(block * BLOCK_SIZE, bytes);
    return bytes;
  }

  /** Looks something up; undefined from `look` asks to be called again. */
  look<Result>(look: (plan: Plan) => Result | undefined): Result {
    let found: Result | undefined;
    this.driver.run(
      new Change(
        this.store,
        (plan) => {
          found = look(plan);
          return found !== undefined;
        },
        () => {},
        0,
      ),
    );
    return found as Result;
  }

  /** One reference more to everything that hangs from `source`, for `copy` to keep. */
  clone(source: Root, copy: Root): void {
    const each = function* (): Generator<number> {
      for (let at = 0; at < source.slots.length; at += SLOT_WORDS) {
        if (slotHasBlock(source.slots, at)) yield at;
      }
    };
    this.change(
      (plan) => {
        for (const at of each()) {
          this.cow.planShare(source.slots, at, source.role(), source.detail(), plan);
        }
        return plan.ready;
      },
      () => {
        copy.slots.set(source.slots);
        for (const at of each()) this.cow.share(copy.slots, at, source.role(), source.detail());
      },
    );
    this.roots.add(copy);
  }

  /** A root for the reference in a slot that somebody gives up. */
  adopt(words: Uint32Array, at: number, role: SlotRole, detail: number): Root {
    const root = { slots: slotCopy(words, at), role: () => role, detail: () => detail };
    this.roots.add(root);
    return root;
  }

  /** Takes a root away with everything that only it led to. */
  drop(root: Root): void {
    const pending = [root];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      for (let at = 0; at < next.slots.length; at += SLOT_WORDS) {
        if (slotHasBlock(next.slots, at)) pending.push(...this.#release(next, at));
      }
      this.roots.delete(next);
    }
  }

  /** Gives up one reference; what its target named, if it was the last, are roots then. */
  #release(root: Root, at: number): Root[] {
    const { store, cow } = this;
    const { slots } = root;
    const [role, detail] = [root.role(), root.detail()];
    const below: Root[] = [];
    const isLast = () => store.groups.count(slotBlock(slots, at)) === 1;
    this.change(
      (plan) => {
        if (!cow.planRelease(slots, at, plan)) return false;
        if (role !== SlotRole.DATA && isLast()) {
          store.want(slots, at, blockKind(role, detail), plan);
        }
        return plan.ready;
      },
      () => {
        if (role !== SlotRole.DATA && isLast()) {
          const frame = store.resident(slots, at);
          visitSlots(store.blocks, frame, role, detail, (words, i, childRole, childDetail) => {
            below.push(this.adopt(words, i, childRole, childDetail));
          });
        }
        cow.release(slots, at);
      },
    );
    return below;
  }

  /** Compares the count of every block with what a walk finds. Returns what is wrong. */
  audit(): string[] {
    const walk = this.walk();
    const findings = [...walk.findings];
    const { groups, superblock } = this.store;
    const { blockCount } = superblock.geometry;
    let free = 0;
    for (let block = 0 as Block; block < blockCount; block++) {
      if (groups.loaded(groups.groupOf(block)) === undefined) {
        this.look((plan) => groups.wantBlock(block, plan) || undefined);
      }
      const kept = groups.count(block);
      const counted = walk.countOf(block);
      if (kept !== counted) findings.push(`block ${block}: its count is ${kept}, not ${counted}`);
      if (counted === 0) free++;
    }
    if (free !== groups.free) findings.push(`${groups.free} blocks are free, not ${free}`);
    return findings;
  }

  /** Walks all roots, on the device and in memory. */
  walk(): Walk {
    const { superblock, blocks } = this.store;
    const walk = new Walk({
      read: (block) => this.read(block),
      readCopy: (block) => this.#onDevice(block),
      geometry: superblock.geometry,
      seed: blocks.seed,
      open: true,
    });
    for (const root of this.roots) {
      for (let at = 0; at < root.slots.length; at += SLOT_WORDS) {
        walk.follow(root.slots, at, root.role(), root.detail());
      }
    }
    return walk;
  }
}

/** A copy of a slot. */
function slotCopy(words: Uint32Array, at: number): Uint32Array {
  const slot = new Uint32Array(SLOT_WORDS);
  copySlot(words, at, slot, 0);
  return slot;
}

class Change<Result> extends PlannedOperation<Result> {
  readonly #store: Store;
  readonly #look: (plan: Plan) => boolean;
  readonly #change: () => Result;
  readonly #data: number;

  constructor(store: Store, look: (plan: Plan) => boolean, change: () => Result, data: number) {
    super();
    this.#store = store;
    this.#look = look;
    this.#change = change;
    this.#data = data;
  }

  protected override prepare(plan: Plan): void {
    if (this.#store.admit(plan) && this.#look(plan)) {
      this.#store.settle(plan, 'normal', this.#data);
    }
  }

  protected override apply(): boolean {
    return this.finish(this.#change());
  }

  protected override release(): void {
    this.#store.blocks.unpin(this.plan);
  }
}
