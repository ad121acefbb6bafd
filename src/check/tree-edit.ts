/**
 * Tree edit: one record of one tree is put, changed or taken away, by new nodes from its leaf up.
 *
 * Nodes that are there are not changed: whoever shares them keeps what he has.
 */
import { assert, BLOCK_SIZE, checksum32 } from '../base/index.ts';
import {
  interiorKey,
  interiorSearch,
  interiorSlot,
  KEYED_LEVEL_MAX,
  leafKey,
  nodeCount,
  nodeFault,
  nodeLevel,
  nodeOwner,
  nodeTree,
  recordLength,
  recordOffset,
  SLOT_WORDS,
  slotBlock,
  slotChecksum,
  slotFlags,
  slotHasBlock,
  TreeKind,
  TWIN,
} from '../format/index.ts';
import type { Child, Entry, NodeWriter, TreeName } from './build-tree.ts';
import type { Answer, Session } from './session.ts';

/** The node that a slot names, by either copy; undefined if neither has its checksum. */
export function* readNode(
  session: Session,
  slot: Uint32Array,
  seed: bigint,
): Answer<Uint32Array | undefined> {
  const copies = (slotFlags(slot, 0) & TWIN) === 0 ? 1 : 2;
  for (let copy = 0; copy < copies; copy++) {
    const bytes = yield* session.readRun(slotBlock(slot, 0) + copy, 1);
    if (bytes instanceof Error || checksum32(bytes, seed) !== slotChecksum(slot, 0)) continue;
    return new Uint32Array(bytes.buffer);
  }
  return undefined;
}

/** The same, if it is a sound node of a keyed tree. */
export function* readKeyed(
  session: Session,
  slot: Uint32Array,
  { seed, tree }: { seed: bigint; tree: TreeKind },
): Answer<Uint32Array | undefined> {
  const words = yield* readNode(session, slot, seed);
  if (words === undefined) return undefined;
  const wanted = { tree, level: undefined, levelMax: KEYED_LEVEL_MAX };
  return nodeFault(words, 0, wanted) === undefined ? words : undefined;
}

/** The records of a leaf, copied, and where they lay. */
export function entriesOf(words: Uint32Array): (Entry & { offset: number })[] {
  const bytes = new Uint8Array(words.buffer);
  return Array.from({ length: nodeCount(words, 0) }, (_, i) => {
    const offset = recordOffset(words, 0, i);
    const record = bytes.slice(offset, offset + recordLength(words, 0, i));
    return { key: leafKey(words, 0, i), bytes: record, offset };
  });
}

export function childrenOf(words: Uint32Array): Child[] {
  return Array.from({ length: nodeCount(words, 0) }, (_, i) => {
    const at = interiorSlot(0, i);
    return { key: interiorKey(words, 0, i), slot: words.slice(at, at + SLOT_WORDS) };
  });
}

export function nameOf(words: Uint32Array): TreeName {
  return { tree: nodeTree(words, 0), ...nodeOwner(words, 0) };
}

/** A record on the way from the meta root, and the tree it is in. */
export interface Step {
  readonly key: number;
  /** Where in the record the slot of the next tree is. */
  readonly slotAt: number;
}

/** What becomes of a record: the same object if nothing does, undefined if it goes. */
export type Change = (entry: Entry) => Answer<Uint8Array | undefined>;

interface Mapped {
  readonly nodes: readonly Child[];
  readonly level: number;
  readonly changed: boolean;
  readonly name: TreeName;
}

export class TreeEdit {
  readonly #session: Session;
  readonly #writer: NodeWriter;

  constructor(session: Session, writer: NodeWriter) {
    this.#session = session;
    this.#writer = writer;
  }

  /** The record under a key; undefined if there is none that can be read. */
  *find(root: Uint32Array, tree: TreeKind, key: number): Answer<Uint8Array | undefined> {
    const { seed } = this.#writer;
    for (let slot = root; slotHasBlock(slot, 0); ) {
      const words = yield* readKeyed(this.#session, slot, { seed, tree });
      if (words === undefined) return undefined;
      if (nodeLevel(words, 0) === 0) return entriesOf(words).find((it) => it.key === key)?.bytes;
      const at = interiorSlot(0, interiorSearch(words, 0, key));
      slot = words.slice(at, at + SLOT_WORDS);
    }
    return undefined;
  }

  /**
   * Puts a record under a key, in place of the one there is; or takes it away, for undefined.
   * Returns the slot of the new root. The way to the leaf has been read before.
   */
  *put(
    root: Uint32Array,
    name: TreeName,
    key: number,
    record: Uint8Array | undefined,
  ): Answer<Uint32Array> {
    const path: { words: Uint32Array; child: number }[] = [];
    let leaf: Uint32Array | undefined;
    for (let slot = root; slotHasBlock(slot, 0); ) {
      const { seed } = this.#writer;
      const words = yield* readKeyed(this.#session, slot, { seed, tree: name.tree });
      assert(words !== undefined, () => `block ${slotBlock(slot, 0)} can be read`);
      if (nodeLevel(words, 0) === 0) {
        leaf = words;
        break;
      }
      const child = interiorSearch(words, 0, key);
      path.push({ words, child });
      slot = words.slice(interiorSlot(0, child), interiorSlot(0, child) + SLOT_WORDS);
    }
    const others = (leaf === undefined ? [] : entriesOf(leaf)).filter((it) => it.key !== key);
    const entries = record === undefined ? others : [...others, { key, bytes: record }];
    entries.sort((a, b) => a.key - b.key);
    let nodes = this.#writer.leaves(leaf === undefined ? name : nameOf(leaf), entries);
    let level = 0;
    for (const { words, child } of path.reverse()) {
      const children = childrenOf(words);
      const separator = (children[child] as Child).key;
      const low = nodes.map((node, i) =>
        i === 0 ? { ...node, key: Math.min(node.key, separator) } : node,
      );
      children.splice(child, 1, ...low);
      level = nodeLevel(words, 0);
      nodes = this.#writer.interior(nameOf(words), level, children);
    }
    return this.#writer.root(name, nodes, level);
  }

  /**
   * Goes through all records of a tree: each stays, changes, or is taken away, as `change` returns
   * it. Returns the slot of the new root, or the old one if nothing has changed.
   */
  *map(root: Uint32Array, tree: TreeKind, change: Change): Answer<Uint32Array> {
    if (!slotHasBlock(root, 0)) return root;
    const { nodes, level, changed, name } = yield* this.#mapNode(root, tree, change);
    return changed ? this.#writer.root(name, nodes, level) : root;
  }

  *#mapNode(slot: Uint32Array, tree: TreeKind, change: Change): Answer<Mapped> {
    const words = yield* readKeyed(this.#session, slot, { seed: this.#writer.seed, tree });
    assert(words !== undefined, () => `block ${slotBlock(slot, 0)} can be read`);
    const name = nameOf(words);
    const level = nodeLevel(words, 0);
    const same = { nodes: [{ key: 0, slot }], level, changed: false, name };
    if (level === 0) {
      const old = entriesOf(words);
      const kept: Entry[] = [];
      for (const entry of old) {
        const bytes = yield* change(entry);
        if (bytes !== undefined) kept.push({ key: entry.key, bytes });
      }
      const changed =
        kept.length < old.length || kept.some(({ bytes }, i) => bytes !== old[i]?.bytes);
      return changed ? { ...same, nodes: this.#writer.leaves(name, kept), changed } : same;
    }
    const nodes: Child[] = [];
    let changed = false;
    for (const child of childrenOf(words)) {
      const result: Mapped = yield* this.#mapNode(child.slot, tree, change);
      changed ||= result.changed;
      result.nodes.forEach((node, i) => {
        nodes.push(i === 0 ? { key: child.key, slot: node.slot } : node);
      });
    }
    return changed ? { ...same, nodes: this.#writer.interior(name, level, nodes), changed } : same;
  }

  /**
   * Puts a record into the tree at the end of a path of records, and what has changed into each of
   * them, up to the meta root. Returns its new slot; undefined if the way cannot be read.
   */
  *putAt(
    meta: Uint32Array,
    path: readonly Step[],
    name: TreeName,
    key: number,
    record: Uint8Array | undefined,
  ): Answer<Uint32Array | undefined> {
    const way: { root: Uint32Array; record: Uint8Array; step: Step }[] = [];
    let root = meta;
    for (const step of path) {
      const found = yield* this.find(root, TreeKind.DIRECTORY, step.key);
      if (found === undefined) return undefined;
      way.push({ root, record: found, step });
      root = new Uint32Array(found.slice(step.slotAt, step.slotAt + SLOT_WORDS * 4).buffer);
    }
    let slot = yield* this.put(root, name, key, record);
    for (const { root: above, record: old, step } of way.reverse()) {
      const changed = old.slice();
      changed.set(new Uint8Array(slot.slice().buffer), step.slotAt);
      const directory = { tree: TreeKind.DIRECTORY, realm: 0, inode: 0 };
      slot = yield* this.put(above, directory, step.key, changed);
    }
    return slot;
  }
}

/** Bytes of a block as they lie in a node's words. */
export function bytesOf(words: Uint32Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, BLOCK_SIZE);
}
