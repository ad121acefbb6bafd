/**
 * Inodes: between vnodes and the trees that hold their records.
 *
 * I1. Before anything of an inode changes, its record is made changeable: every node from the meta
 *     root down to the leaf with the record belongs to the open txg and to nobody else. The vnode
 *     remembers that as a *claim*, good for the txg and until the next clone.
 * I2. A claimed inode's own trees hang from a changeable slot: whether they are shared is for their
 *     own counts to say.
 */
import { BLOCK_SIZE, CorruptionError, type Plan } from '../base/index.ts';
import {
  DIRTY,
  InodeFlag,
  InodeKind,
  recordKind,
  SlotRole,
  slotBlock,
  slotFlags,
  standIn,
  TreeKind,
} from '../format/index.ts';
import type { Store } from '../store/index.ts';
import { type Cow, KeyedPosition, type KeyedTrees, Sealer } from '../tree/index.ts';
import {
  readRecord,
  readSlots,
  recordInode,
  recordLengthOf,
  shapeFlags,
  writeRecord,
} from './inode-record.ts';
import { ATTRIBUTES_AT, LINKS_AT, linkedName, Realm, type Vnode, type VnodeTree } from './vnode.ts';
import type { VnodeTable } from './vnode-table.ts';

export const SLOT_PLACES: readonly number[] = [0, 4, 8, 12, ATTRIBUTES_AT, LINKS_AT];

export class Inodes {
  readonly table: VnodeTable;
  /** Told of every vnode that is changed, while somebody wants to know. */
  watch: ((vnode: Vnode) => void) | undefined;
  /** Counts clones: claims made before the last one have to be made again. */
  epoch = 0;
  readonly #store: Store;
  readonly #cow: Cow;
  readonly #trees: KeyedTrees;
  readonly #sealer: Sealer;
  readonly #position = new KeyedPosition();
  readonly #chain: Vnode[] = [];
  /** Vnodes that know more than their records (N2). */
  readonly #dirty = new Set<Vnode>();
  /** Vnodes with a copy of a dirty slot, which gets its checksum when the txg closes. */
  readonly #slotted = new Set<Vnode>();

  constructor(store: Store, cow: Cow, trees: KeyedTrees, table: VnodeTable) {
    this.#store = store;
    this.#cow = cow;
    this.#trees = trees;
    this.#sealer = new Sealer(store);
    this.table = table;
    trees.onMoved = (root) => this.#resync((root as VnodeTree).owner);
  }

  /**
   * Plans {@link claim}. False if the plan has needs. `cloned` is a directory, or a file, that the
   * operation shares before it claims: what lies below counts as shared then.
   */
  planClaim(vnode: Vnode, plan: Plan, cloned?: Vnode): boolean {
    this.#collect(vnode, cloned);
    let above = false;
    for (let i = this.#chain.length - 1; i >= 0; i--) {
      const { holder, key } = this.#chain[i] as Vnode;
      const tree = holder as VnodeTree;
      if (tree.owner === cloned) above = true;
      if (!this.#trees.planUpdate(tree, key, above, plan)) return false;
      above = this.#cow.shared;
    }
    this.#cow.shared = above || vnode === cloned;
    return true;
  }

  /** Whether, after {@link planClaim}, the inode's own trees count as shared from above. */
  get planShared(): boolean {
    return this.#cow.shared;
  }

  /** Makes the record of an inode changeable (I1). */
  claim(vnode: Vnode): void {
    if (this.#isClaimed(vnode)) return;
    this.#collect(vnode, undefined);
    for (let i = this.#chain.length - 1; i >= 0; i--) {
      const next = this.#chain[i] as Vnode;
      const tree = next.holder as VnodeTree;
      this.#trees.update(tree, next.key, this.#position);
      this.touch(tree.owner);
      next.claimTxg = this.#store.txg;
      next.claimEpoch = this.epoch;
    }
  }

  /** A record that was just put into a changeable leaf needs no further claim. */
  claimed(vnode: Vnode): void {
    vnode.claimTxg = this.#store.txg;
    vnode.claimEpoch = this.epoch;
  }

  /** True if any vnode knows more than its record. */
  get hasChanges(): boolean {
    return this.#dirty.size > 0;
  }

  /** The vnode knows more than its record from now on. It has been claimed. */
  touch(vnode: Vnode): void {
    this.watch?.(vnode);
    if (vnode.dirty) return;
    vnode.dirty = true;
    this.#dirty.add(vnode);
  }

  /** Forgets what a vnode knows: its record goes with it. */
  untouch(vnode: Vnode): void {
    vnode.dirty = false;
    this.#dirty.delete(vnode);
    this.#slotted.delete(vnode);
  }

  /** A vnode leaves memory. */
  dropped(vnode: Vnode): void {
    this.#slotted.delete(vnode);
  }

  /** Plans {@link rewrite}: the record may get longer. */
  planRewrite(vnode: Vnode, plan: Plan, above = false): boolean {
    return this.#trees.planInsert(vnode.holder as VnodeTree, vnode.key, above, plan);
  }

  /** Writes the whole record, whatever its length has become. The inode has been claimed. */
  rewrite(vnode: Vnode): void {
    const tree = vnode.holder as VnodeTree;
    const length = recordLengthOf(vnode);
    this.#trees.resize(tree, vnode.key, length, this.#position);
    this.touch(tree.owner);
    writeRecord(vnode, this.#store.blocks.bytes, this.#position.at, length);
    this.#pushed(vnode);
  }

  /**
   * The blocks or the size of an inode have changed: its record is written if it has another layout
   * now, and otherwise brought up to date when the txg closes. {@link planRewrite} was planned.
   */
  settle(vnode: Vnode): void {
    const same = !vnode.has(InodeFlag.INLINE) && shapeFlags(vnode) === vnode.flags;
    if (same) this.touch(vnode);
    else this.rewrite(vnode);
  }

  /** Puts the record of an inode into a tree: under a new key, or over the one it is taken by. */
  insert(vnode: Vnode, tree: VnodeTree, key: number, taken = false): void {
    vnode.holder = tree;
    vnode.key = key;
    const length = recordLengthOf(vnode);
    if (taken) this.#trees.resize(tree, key, length, this.#position);
    else this.#trees.insert(tree, key, length, this.#position);
    this.touch(tree.owner);
    writeRecord(vnode, this.#store.blocks.bytes, this.#position.at, length);
    this.claimed(vnode);
    this.#pushed(vnode);
  }

  /** Takes the record of an inode out; its slots now belong to the caller. */
  remove(vnode: Vnode): void {
    const tree = vnode.holder as VnodeTree;
    this.#trees.remove(tree, vnode.key);
    this.touch(tree.owner);
    this.untouch(vnode);
  }

  /** Brings the records up to date (N2): of all vnodes, or of `top` and those below it. */
  push(top?: Vnode): void {
    for (const vnode of this.#dirty) {
      if (top === undefined || vnode.isWithin(top)) this.#pushOne(vnode);
    }
  }

  /** Closes the txg: records up to date, every slot with its checksum, here and in the trees. */
  seal(metaRoot: Vnode): void {
    this.push();
    this.#sealer.seal(metaRoot.slots, 0, SlotRole.KEYED, TreeKind.DIRECTORY);
    for (const vnode of this.#slotted) {
      for (const at of SLOT_PLACES) this.#sealer.refresh(vnode.slots, at);
    }
    this.#slotted.clear();
  }

  /**
   * The vnode of the record at `position` in a directory, loaded if it is not in memory. Undefined
   * if the plan has needs.
   */
  load(directory: Vnode, name: string, position: KeyedPosition, plan: Plan): Vnode | undefined {
    const present = directory.children?.get(name);
    if (present !== undefined) {
      present.used = true;
      return present;
    }
    const { bytes } = this.#store.blocks;
    if (recordKind(bytes, position.at) === InodeKind.LINK) {
      return this.#loadLinked(directory, name, recordInode(bytes, position.at), plan);
    }
    return this.#read(directory.entries, name, position, directory);
  }

  /** The linked inode that a name in `directory` stands for. */
  #loadLinked(directory: Vnode, name: string, ino: number, plan: Plan): Vnode | undefined {
    const { root } = directory.realm;
    const found = this.findLinked(root, ino, plan);
    if (found === null) {
      const address = slotBlock(root.slots, LINKS_AT) * BLOCK_SIZE;
      throw new CorruptionError('link table', address, `it has no inode ${ino}, which has a name`);
    }
    return found === undefined ? undefined : see(found, directory, name);
  }

  /**
   * The linked inode with number `ino` in the realm with this root; null if there is none,
   * undefined if the plan has needs.
   */
  findLinked(root: Vnode, ino: number, plan: Plan): Vnode | null | undefined {
    const name = linkedName(ino);
    const cached = root.children?.get(name);
    if (cached !== undefined) {
      cached.used = true;
      return cached;
    }
    const position = this.#position;
    const found = this.#trees.find(root.links, ino, position, plan);
    if (found === 'missing') return undefined;
    return found === 'none' ? null : this.#read(root.links, name, position, root);
  }

  #read(tree: VnodeTree, name: string, position: KeyedPosition, directory: Vnode): Vnode {
    const { blocks } = this.#store;
    const kind = recordKind(blocks.bytes, position.at);
    const vnode = this.table.make();
    if (kind < InodeKind.LINK) this.#fill(vnode, tree, position, directory);
    if (kind >= InodeKind.LINK || !isItself(vnode, tree)) {
      this.table.drop(vnode);
      const address = blocks.blockOf(position.frame) * BLOCK_SIZE;
      throw new CorruptionError('inode record', address, 'it is not of the kind that it says');
    }
    vnode.name = name;
    this.table.attach(vnode);
    return vnode;
  }

  /** Makes `vnode` the inode of the record at `position` in a directory. */
  fill(vnode: Vnode, directory: Vnode, name: string, position: KeyedPosition): void {
    this.#fill(vnode, directory.entries, position, directory);
    vnode.name = name;
    this.table.attach(vnode);
  }

  #fill(vnode: Vnode, tree: VnodeTree, position: KeyedPosition, directory: Vnode): void {
    readRecord(vnode, this.#store.blocks, position.at);
    vnode.holder = tree;
    vnode.key = position.key;
    vnode.realm = this.realmOf(vnode, directory.realm);
    if (hasDirtySlot(vnode)) this.#slotted.add(vnode);
  }

  /**
   * The realm of an inode that was found in `outer` (R3). A stand-in is made of the stated outer
   * realm too: what came into the original of `outer` from a realm, and what was cloned into it
   * together with that realm, state the same realm and are different inodes.
   */
  realmOf(vnode: Vnode, outer: Realm): Realm {
    if (!vnode.has(InodeFlag.REALM)) return outer;
    const { ownRealm, outerRealm } = vnode;
    const id =
      outerRealm === outer.id ? ownRealm : standIn(standIn(outer.id, outerRealm), ownRealm);
    return new Realm(id, vnode, outer.readOnly || vnode.has(InodeFlag.READ_ONLY));
  }

  /**
   * Slots in records of this directory have changed: what vnodes keep of them is read again. A
   * directory whose root has moved was copied with its records, so the same holds for it. A vnode
   * that is dirty knows better: whoever changes an inode touches it before he changes another.
   */
  #resync(directory: Vnode): void {
    if (directory.children === undefined) return;
    const { blocks } = this.#store;
    const position = new KeyedPosition();
    for (const vnode of directory.children.values()) {
      const tree = vnode.holder as VnodeTree;
      if (vnode.dirty || !this.#trees.peek(tree, vnode.key, position)) continue;
      const before = vnode.slots.slice();
      readSlots(vnode, blocks, position.at);
      if (hasDirtySlot(vnode)) this.#slotted.add(vnode);
      if (SLOT_PLACES.some((at) => vnode.slots[at] !== before[at])) this.#resync(vnode);
    }
  }

  /** From the vnode up to the first one that is claimed, or to just below the meta root. */
  #collect(vnode: Vnode, cloned: Vnode | undefined): void {
    this.#chain.length = 0;
    let passed = cloned === undefined || !vnode.isWithin(cloned);
    for (let at: Vnode = vnode; at.holder !== undefined; at = at.holder.owner) {
      if (passed && this.#isClaimed(at)) return;
      this.#chain.push(at);
      if (at === cloned) passed = true;
    }
  }

  #isClaimed(vnode: Vnode): boolean {
    return (
      vnode.holder === undefined ||
      (vnode.claimTxg === this.#store.txg && vnode.claimEpoch === this.epoch)
    );
  }

  #pushOne(vnode: Vnode): void {
    if (vnode.holder !== undefined) {
      this.#trees.update(vnode.holder, vnode.key, this.#position);
      const { at, length } = this.#position;
      writeRecord(vnode, this.#store.blocks.bytes, at, length);
    }
    this.#pushed(vnode);
  }

  #pushed(vnode: Vnode): void {
    vnode.dirty = false;
    this.#dirty.delete(vnode);
    if (hasDirtySlot(vnode)) this.#slotted.add(vnode);
  }
}

/** True if a record has the flags that its content asks for, and is in the tree they ask for. */
function isItself(vnode: Vnode, tree: VnodeTree): boolean {
  const linked = tree.tree === TreeKind.LINKS;
  return shapeFlags(vnode) === vnode.flags && vnode.has(InodeFlag.LINKED) === linked;
}

function hasDirtySlot(vnode: Vnode): boolean {
  return SLOT_PLACES.some((at) => (slotFlags(vnode.slots, at) & DIRTY) !== 0);
}

/** Remembers under which of its names a linked inode was seen last. */
function see(vnode: Vnode, directory: Vnode, name: string): Vnode {
  vnode.name = name;
  vnode.namedIn = directory;
  return vnode;
}
