/**
 * Attributes: mode, owner, times, and extended attributes.
 *
 * Extended attributes are kept together, as one list of bytes: in the record while it is short, in
 * blocks of their own otherwise. Whoever sets one writes the whole list anew.
 *
 *   per attribute: u8 name length, u8 zero, u16 zero, u32 value length, name, value
 */
import {
  BLOCK_SIZE,
  binaryString,
  blocksFor,
  copyBinary,
  FilesystemError,
  KIB,
  NO_FRAME,
  type Plan,
  PlannedOperation,
  viewOf,
} from '../base/index.ts';
import {
  ATTR_INLINE_MAX,
  AttributeMask,
  ExtendedFlag,
  InodeFlag,
  MAP_FANOUT,
  NAME_MAX,
  type SetAttributesMutation,
  type SetExtendedMutation,
  SLOT_WORDS,
  SlotKind,
  SlotRole,
  slotHasBlock,
  type Time,
} from '../format/index.ts';
import { DATA_BLOCK, MAP_NODE } from '../tree/index.ts';
import type { Engine } from './engine.ts';
import { checkMutable, checkWritable, GUARDS, isBereft, Mutate } from './mutate.ts';
import { ATTRIBUTES_AT, type Vnode } from './vnode.ts';

/** Largest value of an extended attribute. */
const VALUE_MAX = 64 * KIB;
/** Bytes of all extended attributes of an inode together: what one map node can name. */
const LIST_MAX = MAP_FANOUT * BLOCK_SIZE;
const ENTRY_HEADER = 8;

export class SetAttributes extends Mutate<void> {
  readonly #record: SetAttributesMutation;
  readonly #target: Vnode;

  constructor(engine: Engine, record: SetAttributesMutation) {
    const target = engine.vnode(record.target);
    super(engine, isBereft(target) ? undefined : record, 'normal');
    this.#record = record;
    this.#target = target;
  }

  protected override look(plan: Plan): boolean {
    if (isBereft(this.#target)) return true;
    checkWritable(this.#target);
    checkMutable(this.engine, this.#target, this.#isTouch() ? InodeFlag.IMMUTABLE : GUARDS);
    return this.engine.inodes.planClaim(this.#target, plan);
  }

  /** Nothing is set but times, to the present one. */
  #isTouch(): boolean {
    const { mask, atime, mtime, time } = this.#record;
    const { MODE, UID, GID, ATIME, MTIME } = AttributeMask;
    if ((mask & (MODE | UID | GID)) !== 0) return false;
    const isNow = ({ sec, nsec }: Time): boolean => sec === time.sec && nsec === time.nsec;
    return ((mask & ATIME) === 0 || isNow(atime)) && ((mask & MTIME) === 0 || isNow(mtime));
  }

  protected override change(): void {
    const record = this.#record;
    const target = this.#target;
    const { mask } = record;
    if (target.holder !== undefined) {
      this.engine.inodes.claim(target);
      this.engine.inodes.touch(target);
    }
    if ((mask & AttributeMask.MODE) !== 0) target.mode = record.mode & 0o7777;
    if ((mask & AttributeMask.UID) !== 0) target.uid = record.uid;
    if ((mask & AttributeMask.GID) !== 0) target.gid = record.gid;
    if ((mask & AttributeMask.ATIME) !== 0) target.atime = record.atime;
    if ((mask & AttributeMask.MTIME) !== 0) target.mtime = record.mtime;
    target.ctime = record.time;
    target.change++;
  }
}

/** Reads all extended attributes; its result is a map from name to value, in no order. */
export class ReadExtended extends PlannedOperation<Map<string, Uint8Array>> {
  readonly #engine: Engine;
  readonly #vnode: Vnode;
  #list: Uint8Array | undefined;

  constructor(engine: Engine, vnode: Vnode) {
    super();
    this.#engine = engine;
    this.#vnode = vnode;
  }

  protected override prepare(plan: Plan): void {
    this.#list = readList(this.#engine, this.#vnode, plan);
  }

  protected override apply(): boolean {
    return this.finish(decodeList(this.#list as Uint8Array));
  }

  protected override release(): void {
    this.#engine.store.blocks.unpin(this.plan);
  }
}

/** Sets or removes one extended attribute. */
export class SetExtended extends Mutate<void> {
  readonly #record: SetExtendedMutation;
  readonly #target: Vnode;
  #list = new Uint8Array(0);

  constructor(engine: Engine, record: SetExtendedMutation) {
    const target = engine.vnode(record.target);
    super(engine, isBereft(target) ? undefined : record, 'normal');
    this.#record = record;
    this.#target = target;
    const { name, value } = record;
    if (name.length === 0 || name.length > NAME_MAX) {
      throw new FilesystemError(
        'ERANGE',
        `Cannot set an attribute: its name has ${name.length} bytes, 1 to ${NAME_MAX} are possible`,
      );
    }
    if (value !== undefined && value.length > VALUE_MAX) throw tooLong(value.length, VALUE_MAX);
  }

  protected override look(plan: Plan): boolean {
    const { engine } = this;
    const target = this.#target;
    const bereft = isBereft(target);
    if (!bereft) checkWritable(target);
    checkMutable(engine, target);
    const list = readList(engine, target, plan);
    if (list === undefined) return false;
    this.#list = encodeList(this.#changed(decodeList(list)));
    if (this.#list.length > LIST_MAX) throw tooLong(this.#list.length, LIST_MAX);
    if (bereft) return true;
    if (!engine.inodes.planClaim(target, plan)) return false;
    engine.inodes.planRewrite(target, plan);
    if (this.#list.length > ATTR_INLINE_MAX) plan.blocks += blocksFor(this.#list.length) + 1;
    engine.reclaimer.planAdd(1, plan);
    return plan.ready;
  }

  protected override change(): void {
    const target = this.#target;
    const { inodes } = this.engine;
    const bereft = isBereft(target);
    if (bereft) target.attributes = this.#list;
    else this.#replaceList();
    target.ctime = this.#record.time;
    target.change++;
    if (!bereft) inodes.rewrite(target);
  }

  #replaceList(): void {
    const { inodes, reclaimer } = this.engine;
    const target = this.#target;
    inodes.claim(target);
    reclaimer.add(target.slots, ATTRIBUTES_AT, SlotRole.MAP, 0);
    target.slots.fill(0, ATTRIBUTES_AT, ATTRIBUTES_AT + SLOT_WORDS);
    target.attributeBlocks = 0;
    target.attributes = this.#list;
    if (this.#list.length > ATTR_INLINE_MAX) this.#writeBlocks();
  }

  #changed(attributes: Map<string, Uint8Array>): Map<string, Uint8Array> {
    const { name, value, flags } = this.#record;
    const present = attributes.has(name);
    if (present && (flags & ExtendedFlag.CREATE) !== 0) {
      throw new FilesystemError('EEXIST', `Cannot create attribute ${name}: it exists`);
    }
    if (!present && (value === undefined || (flags & ExtendedFlag.REPLACE) !== 0)) {
      throw new FilesystemError('ENODATA', `Cannot find attribute ${name}`);
    }
    if (value === undefined) attributes.delete(name);
    else attributes.set(name, value);
    return attributes;
  }

  /** The list goes into blocks that become durable with the transaction group. */
  #writeBlocks(): void {
    const { store } = this.engine;
    const target = this.#target;
    const node = store.allocate(target.slots, ATTRIBUTES_AT, SlotKind.NODE, false);
    const { words } = store.blocks;
    const base = store.base(node);
    words.fill(0, base, base + MAP_FANOUT * SLOT_WORDS);
    target.attributeBlocks = blocksFor(this.#list.length);
    for (let i = 0; i < target.attributeBlocks; i++) {
      const frame = store.allocate(words, base + i * SLOT_WORDS, SlotKind.DATA, false);
      const part = this.#list.subarray(i * BLOCK_SIZE, (i + 1) * BLOCK_SIZE);
      const view = store.blocks.view(frame);
      view.set(part);
      view.fill(0, part.length);
    }
    target.attributes = new Uint8Array(0);
  }
}

/**
 * The list as it is, its end padded with zeros if it is in blocks; undefined if a block is missing.
 */
function readList(engine: Engine, vnode: Vnode, plan: Plan): Uint8Array | undefined {
  if (!slotHasBlock(vnode.slots, ATTRIBUTES_AT)) return vnode.attributes;
  const { store } = engine;
  const node = store.want(vnode.slots, ATTRIBUTES_AT, MAP_NODE, plan);
  if (node === NO_FRAME) return undefined;
  const base = store.base(node);
  const list = new Uint8Array(vnode.attributeBlocks * BLOCK_SIZE);
  for (let i = 0; i < vnode.attributeBlocks; i++) {
    const at = base + i * SLOT_WORDS;
    if (!slotHasBlock(store.blocks.words, at)) continue;
    const frame = store.want(store.blocks.words, at, DATA_BLOCK, plan);
    if (frame !== NO_FRAME) list.set(store.blocks.view(frame), i * BLOCK_SIZE);
  }
  return plan.ready ? list : undefined;
}

function decodeList(list: Uint8Array): Map<string, Uint8Array> {
  const attributes = new Map<string, Uint8Array>();
  const view = viewOf(list);
  for (let at = 0; at + ENTRY_HEADER <= list.length; ) {
    const nameLength = list[at] as number;
    const length = view.getUint32(at + 4, true);
    const start = at + ENTRY_HEADER;
    if (nameLength === 0 || start + nameLength + length > list.length) break;
    const name = binaryString(list.subarray(start, start + nameLength));
    attributes.set(name, list.slice(start + nameLength, start + nameLength + length));
    at = start + nameLength + length;
  }
  return attributes;
}

function encodeList(attributes: Map<string, Uint8Array>): Uint8Array<ArrayBuffer> {
  let length = 0;
  for (const [name, value] of attributes) length += ENTRY_HEADER + name.length + value.length;
  const list = new Uint8Array(length);
  const view = viewOf(list);
  let at = 0;
  for (const [name, value] of attributes) {
    list[at] = name.length;
    view.setUint32(at + 4, value.length, true);
    copyBinary(name, list, at + ENTRY_HEADER);
    list.set(value, at + ENTRY_HEADER + name.length);
    at += ENTRY_HEADER + name.length + value.length;
  }
  return list;
}

function tooLong(length: number, most: number): FilesystemError {
  return new FilesystemError(
    'ERANGE',
    `Cannot set an attribute of ${length} bytes: at most ${most} are possible`,
  );
}
