/**
 * Log records: what the intent log is told, and how it names inodes.
 *
 * Mutations are told in the order in which they happen, data when it has its place. An inode is
 * named by the number of its vnode, which a `bind` has introduced in the same txg, since a mount
 * begins with the first record of a txg. Of a file that is on its way to several names the `bind`
 * says `/` and the inode number, under the root of its realm.
 *
 * H1. A record is told only if the log knows all the inodes it names. An inode without names that
 *     it does not know is gone after a crash, and so is what was done to it. Where something that
 *     stays comes of such an inode, the log is lost, and the next to ask gets a commit.
 * H2. What a replay finds in a file is something that the file has been, block by block. So a file
 *     is not made longer over data that the log does not know, and no part of a block is cleared in
 *     whose place there is such data: there, too, the log is lost.
 * H3. A replay commits nothing before its end, so that all nodes that it changes have to fit into
 *     memory. Most mutations change a few: the bytes of the log bound them. Of those that may
 *     change a node for each megabyte of a file, or all blocks of a list of extended attributes,
 *     it keeps no more than {@link NODES_MAX} allows. On the device, too, there has to be room for
 *     all nodes beside all data, at any time of the replay; else the log is lost.
 * H4. What is told of a block is told in the order in which it was written: a replay puts data that
 *     has its place over data that the log told before, and the other way round.
 * H5. Nothing tells whether data that went over what was there has arrived. So what might share
 *     such data is not told before a flush has covered it: there, too, the log is lost.
 * H6. A replacement is told with its data: what is dirty of a file that took the place of another
 *     one, or of what it had been, becomes durable with whatever is made durable next. Otherwise
 *     a crash would leave neither the old nor the new. What replaces something while an fsync
 *     waits is the next one's affair.
 */
import { BLOCK_SIZE, MIB } from '../base/index.ts';
import { FOLIO_BLOCKS, FOLIO_SIZE, type Folio, NO_FOLIO } from '../cache/index.ts';
import {
  AllocateMode,
  type AllocateMutation,
  AttributeMask,
  type CloneRangeMutation,
  InodeFlag,
  InodeKind,
  type Mutation,
  ROOT_HANDLE,
  SNAPSHOTS_HANDLE,
  type Time,
  type TruncateMutation,
} from '../format/index.ts';
import type { Ioend } from '../iomap/index.ts';
import type { Store } from '../store/index.ts';
import { unsettle } from './overwrite.ts';
import type { Vnode } from './vnode.ts';

/**
 * Map nodes, each of a megabyte of a file, and blocks of extended attributes, that the mutations of
 * a txg may change all over.
 */
const NODES_MAX = 4096;

/** Blocks that one fsync tells as they are, rather than writing them to their places: 32 KiB. */
const DATA_MAX = 8;

/**
 * What sees every change, in order. Names and data are valid during the call only. Data is told
 * when it is written, and not again when it has its place.
 */
export type Journal = (record: Mutation) => void;

export class LogRecords {
  /** Told of every change, whether the log keeps it or not; for tests. */
  journal: Journal | undefined;
  /** Told of the same changes before they are made, in the same turn. */
  before: Journal | undefined;
  readonly #store: Store;
  readonly #vnodeOf: (handle: number) => Vnode;
  readonly #bound = new Set<number>();
  /** Files whose last overwrite has a time that nobody was told. */
  readonly #untold = new Set<Vnode>();
  /** Files that took the place of others, or of all that they had been, in the open txg. */
  readonly #replacing = new Set<Vnode>();
  /** Nodes of H3 in the open txg, at most. */
  #nodes = 0;

  constructor(store: Store, vnodeOf: (handle: number) => Vnode) {
    this.#store = store;
    this.#vnodeOf = vnodeOf;
    this.restart();
  }

  /** A txg begins: it has introduced nobody yet. */
  restart(): void {
    this.#nodes = 0;
    this.#replacing.clear();
    this.#bound.clear();
    this.#bound.add(ROOT_HANDLE).add(SNAPSHOTS_HANDLE);
  }

  /** Tells what was done. */
  add(record: Mutation): void {
    this.journal?.(record);
    const { log } = this.#store;
    if (record.type === 'truncate' && record.size === 0)
      this.replaces(this.#vnodeOf(record.target));
    if (record.type === 'fallocate' || record.type === 'clone-range') {
      unsettle(this.#store, this.#vnodeOf(record.target), 0);
    }
    if (isSharing(record)) {
      this.timedAll();
      // What is shared must be what it was (H5).
      if (this.#store.hasOverwrites) log.lose();
    }
    if (!log.isKeeping) {
      log.pass();
      return;
    }
    const changed = isContent(record) ? this.#vnodeOf(record.target) : undefined;
    if (changed !== undefined) this.#changes(changed, record as ContentMutation);
    if (record.type === 'setxattr') this.#count(this.#vnodeOf(record.target).attributeBlocks);
    if (this.#knowsAll(record)) {
      log.append(record);
      if (introduces(record)) this.#bound.add(record.handle);
    } else if (staysBehind(record)) log.lose();
    // It may have dropped the data that had made the file longer.
    if (changed?.logged) this.sized(changed, changed.size);
  }

  /** A file has the name of another one now, or is empty. */
  replaces(vnode: Vnode): void {
    if (vnode.kind === InodeKind.FILE) this.#replacing.add(vnode);
  }

  /** Of the files that {@link replaces} was told of, those whose data the log does not know. */
  untoldReplacing(): Vnode[] {
    const untold: Vnode[] = [];
    for (const vnode of this.#replacing) {
      if (vnode.unlinked) this.#replacing.delete(vnode);
      else if (!vnode.logged) untold.push(vnode);
    }
    return untold;
  }

  /** The log knows what they have; one that is still empty will have to be asked for again. */
  toldReplacing(): void {
    for (const vnode of this.#replacing) {
      if (!vnode.logged || vnode.size === 0) continue;
      this.sized(vnode, vnode.size);
      this.#replacing.delete(vnode);
    }
  }

  /** Before a change: makes sure that the inodes that its record names can be named. */
  announceAll(record: Mutation): void {
    this.before?.(record);
    namedIn(record, this.#announceHandle);
  }

  readonly #announceHandle = (handle: number): true => {
    if (!this.#bound.has(handle)) this.announce(this.#vnodeOf(handle));
    return true;
  };

  readonly #isBound = (handle: number): boolean => this.#bound.has(handle);

  /** Makes sure that an inode can be named, also when its names will be gone. */
  announce(vnode: Vnode): void {
    if (this.#bound.has(vnode.id) || vnode.unlinked) return;
    if (!this.#store.log.isKeeping && this.journal === undefined) return;
    const { parent } = vnode;
    if (parent === undefined) return;
    this.announce(parent);
    this.#bound.add(vnode.id);
    this.add({ type: 'bind', handle: vnode.id, parent: parent.id, name: vnode.childName });
  }

  /** Tells that data has its place, or is in its inode. The file has the size that it had. */
  written(vnode: Vnode, { offset, block, checksums }: Ioend): void {
    const { log, space } = this.#store;
    if (block !== undefined && !space.replayHasRoom()) log.lose();
    else if (!log.isKeeping) log.pass();
    if (!this.#canName(vnode)) return;
    const [target, time] = [vnode.id, vnode.mtime];
    if (block === undefined) {
      log.append({ type: 'write-inline', target, offset, data: vnode.inline, time });
      this.#setSize(vnode, Math.max(this.#sizeOf(vnode), vnode.inline.length));
    } else {
      const runs = [{ block, length: checksums.length }];
      log.append({ type: 'write', target, offset, runs, checksums, time });
    }
    this.#stamp(vnode);
  }

  /**
   * Tells the dirty data of a file itself, if it is little: {@link DATA_MAX} blocks, scattered or
   * not, are one transfer then, with all else that the log is told. The data stays dirty. False if
   * nothing was told, and the data has to go to its place. Nothing of the file may be in flight,
   * since older data would be told after it (H4).
   */
  tellData(vnode: Vnode): boolean {
    // A replay would put it over what was overwritten later (OW3).
    if (vnode.has(InodeFlag.INPLACE)) return false;
    const { log, space } = this.#store;
    const blocks = vnode.unlogged;
    if (blocks === 0 || blocks > DATA_MAX || !vnode.cowLock.idle) return false;
    if (!space.replayHasRoom(blocks) || !log.takesData(blocks * BLOCK_SIZE)) return false;
    if (!this.#canName(vnode)) return false;
    const { folios } = vnode.pool;
    for (let it = vnode.firstFolio; vnode.unlogged > 0 && it !== NO_FOLIO; it = folios.nextOf(it)) {
      const unlogged = (folios.dirty[it] as number) & ~(folios.logged[it] as number);
      for (let i = 0; i < FOLIO_BLOCKS; i++) {
        if ((unlogged & (1 << i)) !== 0) this.#tellBlock(vnode, it, i);
      }
    }
    this.#stamp(vnode);
    return true;
  }

  #tellBlock(vnode: Vnode, folio: Folio, i: number): void {
    const { folios, blocks } = vnode.pool;
    const offset = (folios.index[folio] as number) * FOLIO_SIZE + i * BLOCK_SIZE;
    const view = blocks.view(folios.frame(folio, i));
    const data = view.subarray(0, Math.min(BLOCK_SIZE, vnode.size - offset));
    const { id: target, mtime: time } = vnode;
    this.#store.log.append({ type: 'write-inline', target, offset, data, time });
    this.#store.space.countLogged();
    folios.markLogged(folio, i);
  }

  /**
   * Data was written over what was there, and is in its place. There is nothing to be told of it
   * but the time; nothing that the log has of the file is about these blocks (OW3).
   */
  overwritten(vnode: Vnode): void {
    this.#store.overwrites++;
    this.#untold.add(vnode);
  }

  /** Tells when a file was last overwritten, if that was not told. */
  timed(vnode: Vnode): void {
    if (!this.#untold.delete(vnode) || !this.#canName(vnode)) return;
    const { id, mtime, ctime } = vnode;
    this.#store.log.append(modified(id, mtime, ctime));
  }

  /** A vnode leaves memory, and may be another inode soon. One that was removed has no time. */
  dropped(vnode: Vnode): void {
    // Its data has its place, and was told with that.
    this.#replacing.delete(vnode);
    if (vnode.parent === undefined) this.#untold.delete(vnode);
    else this.timed(vnode);
  }

  /** The same of all files: the txg closes, or one of them may be shared. */
  timedAll(): void {
    for (const vnode of this.#untold) this.timed(vnode);
  }

  /** Dirty data is about to make a file longer. */
  growing(vnode: Vnode): void {
    unsettle(this.#store, vnode, vnode.size);
    if (vnode.sizeTxg !== this.#store.txg) this.#setSize(vnode, vnode.size);
  }

  /**
   * Tells that a file has at least `size` bytes, whose data has its place: what is told of data
   * makes no file longer, since what is before it may not have its place yet.
   */
  sized(vnode: Vnode, size: number): void {
    if (size <= this.#sizeOf(vnode) || !this.#canName(vnode)) return;
    const { log } = this.#store;
    log.append({ type: 'truncate', target: vnode.id, size, time: vnode.mtime });
    this.#setSize(vnode, size);
    this.#stamp(vnode);
  }

  /**
   * A direct write is complete, up to byte `end`; the file had `before` bytes. All of it is in the
   * log or nothing is: where the log must not be told that the file is so long (H2), it is lost. It
   * may be told if it knows as many bytes as there were, whichever version of them.
   */
  replaced(vnode: Vnode, end: number, before: number): void {
    const known = this.#sizeOf(vnode);
    if (vnode.logged || known >= before) this.sized(vnode, vnode.size);
    else if (known < end && this.#canName(vnode)) this.#store.log.lose();
  }

  #canName(vnode: Vnode): boolean {
    if (!this.#store.log.isKeeping) return false;
    this.announce(vnode);
    return this.#bound.has(vnode.id);
  }

  /** Replay takes the time of a change of data for both; that of the inode may be later. */
  #stamp({ id, mtime, ctime }: Vnode): void {
    if (mtime.sec === ctime.sec && mtime.nsec === ctime.nsec) return;
    this.#store.log.append(modified(id, mtime, ctime));
  }

  #sizeOf(vnode: Vnode): number {
    return vnode.sizeTxg === this.#store.txg ? vnode.loggedSize : vnode.size;
  }

  #setSize(vnode: Vnode, size: number): void {
    vnode.loggedSize = size;
    vnode.sizeTxg = this.#store.txg;
  }

  /**
   * A record changes the contents of a file. If there is data that the log does not know, what it
   * leaves may be nothing that the file ever was (H2).
   */
  #changes(vnode: Vnode, record: ContentMutation): void {
    const size = this.#sizeOf(vnode);
    const after = sizeAfter(record, size, vnode);
    const uncertain = !vnode.logged && (after > size || cutsBlocks(record));
    this.#count(nodesChanged(record, vnode));
    if (uncertain) this.#store.log.lose();
    else this.#setSize(vnode, after);
  }

  /** So many nodes a mutation may change all over (H3). */
  #count(nodes: number): void {
    this.#nodes += nodes;
    if (this.#nodes > NODES_MAX) this.#store.log.lose();
  }

  #knowsAll(record: Mutation): boolean {
    return namedIn(record, this.#isBound);
  }
}

/** Whether a condition holds for the handle of every inode that a record names. */
function namedIn(record: Mutation, holds: (handle: number) => boolean): boolean {
  switch (record.type) {
    case 'bind':
    case 'create':
    case 'tmpfile':
    case 'unlink':
      return holds(record.parent);
    case 'rename':
    case 'whiteout':
      return holds(record.parent) && holds(record.newParent);
    case 'link':
      return holds(record.target) && holds(record.parent);
    case 'clone':
      return holds(record.source) && holds(record.parent);
    case 'clone-range':
    case 'dedupe':
      return holds(record.source) && holds(record.target);
    default:
      return holds(record.target);
  }
}

/** A record that only sets the time of the last change of data, and that of the inode. */
export function modified(target: number, mtime: Time, time: Time): Mutation {
  const none = { mode: 0, uid: 0, gid: 0, atime: mtime };
  return { type: 'setattr', target, mask: AttributeMask.MTIME, ...none, mtime, time };
}

/** Records of which an inode comes. */
type Introduction = Extract<Mutation, { handle: number }>;

export function introduces(record: Mutation): record is Introduction {
  return 'handle' in record;
}

/** Handles of the inodes that a record names. */
export function handlesOf(record: Mutation): number[] {
  const handles: number[] = [];
  namedIn(record, (handle) => handles.push(handle) > 0);
  return handles;
}

/** True if what a record does is seen elsewhere than in the inode that it is done to. */
function staysBehind({ type }: Mutation): boolean {
  return type === 'clone' || type === 'clone-range' || type === 'link';
}

/** True if blocks of a file have one more owner afterwards. */
function isSharing({ type }: Mutation): boolean {
  return type === 'clone' || type === 'clone-range' || type === 'dedupe';
}

const { COLLAPSE_RANGE, INSERT_RANGE, KEEP_SIZE, PUNCH_HOLE } = AllocateMode;

type ContentMutation = TruncateMutation | AllocateMutation | CloneRangeMutation;

function isContent(record: Mutation): record is ContentMutation {
  const { type } = record;
  return type === 'truncate' || type === 'fallocate' || type === 'clone-range';
}

/** The size of a file in the log when the record is replayed. */
function sizeAfter(record: ContentMutation, size: number, vnode: Vnode): number {
  switch (record.type) {
    case 'truncate':
      return record.shrink === true ? Math.min(size, record.size) : record.size;
    case 'clone-range':
      return Math.max(size, record.offset + record.length);
    case 'fallocate':
      if ((record.mode & (COLLAPSE_RANGE | INSERT_RANGE)) !== 0) return vnode.size;
      if ((record.mode & KEEP_SIZE) !== 0) return size;
      return Math.max(size, record.offset + record.length);
    default:
      return size;
  }
}

/** Map nodes that a record may change all over, at most. */
function nodesChanged(record: ContentMutation, vnode: Vnode): number {
  if (record.type === 'truncate') return 0;
  const { offset, length } = record;
  const mode = record.type === 'fallocate' ? record.mode : 0;
  if ((mode & PUNCH_HOLE) !== 0) return 0;
  const shifts = (mode & (COLLAPSE_RANGE | INSERT_RANGE)) !== 0;
  return Math.ceil((shifts ? Math.max(0, vnode.size - offset) : length) / MIB);
}

/** True if a range that is changed begins or ends within a block. */
function cutsBlocks(record: ContentMutation): boolean {
  if (record.type !== 'fallocate') return false;
  return record.offset % BLOCK_SIZE !== 0 || (record.offset + record.length) % BLOCK_SIZE !== 0;
}
