/**
 * Mend: every node that can be reached is gone through from the leaves up, and those that have to
 * change are made anew.
 *
 * What a node or a record has to be follows from what hangs from it, whoever asks: the size of a
 * directory from its entries, a slot from whether its target can be read. So a node that several
 * slots name is mended once, for all of them, and clones share what they shared before.
 *
 * A slot that leads to nothing that could be read becomes a hole. A block of data that is damaged
 * keeps its slot: it lies where it is, and reading it says so.
 */
import { type Block, equalBytes, type Txg } from '../base/index.ts';
import {
  KIND_MASK,
  MAP_FANOUT,
  NOCSUM,
  nodeBirth,
  nodeImage,
  nodeLevel,
  recordFault,
  SLOT_WORDS,
  SlotKind,
  SlotRole,
  setSlot,
  slotBirth,
  slotBlock,
  slotChecksum,
  slotFlags,
  slotHasBlock,
  slotKind,
  TreeKind,
  TWIN,
} from '../format/index.ts';
import { type BlockTable, useOf } from './block-table.ts';
import type { Child, Entry, NodeWriter, TreeName } from './build-tree.ts';
import { type Below, mendRecord } from './mend-record.ts';
import type { Notes } from './notes.ts';
import { LeafSpace } from './record-reader.ts';
import type { RealmRoots } from './repair-links.ts';
import type { Root } from './roots.ts';
import type { Attached } from './salvage.ts';
import type { Answer, Session } from './session.ts';
import { type Item, isInside, type Survey } from './survey.ts';
import { bytesOf, childrenOf, entriesOf, nameOf, readNode } from './tree-edit.ts';

/** What a node has come to. */
interface Mended extends Below {
  readonly name: TreeName;
  /** What takes its place, all of one level; the node itself if it does not change. */
  readonly nodes: readonly Child[];
  readonly level: number;
  readonly changed: boolean;
  /** Its lowest and its highest key; undefined if it has none, or they are not known. */
  readonly range: Range | undefined;
}

interface Range {
  readonly first: number;
  readonly last: number;
}

const MENDED_BYTES = 300;
/** A node of a file's map. */
const MAP = {
  name: { tree: TreeKind.DIRECTORY, realm: 0, inode: 0 },
  range: undefined,
  entries: 0,
  directories: 0,
  links: false,
  unknown: false,
};

export interface MendParts {
  readonly session: Session;
  readonly root: Root;
  readonly table: BlockTable;
  readonly survey: Survey;
  readonly writer: NodeWriter;
  /** What was found again of lost nodes, by their blocks. */
  readonly attached: ReadonlyMap<number, Attached>;
  /** What becomes of the roots of realms. */
  readonly realms: ReadonlyMap<string, RealmRoots>;
  /** The maps of files are gone through too. */
  readonly maps: boolean;
  /** The reclaim queue is given up. */
  readonly emptyQueue: boolean;
  readonly notes: Notes;
}

export class Mend {
  readonly #parts: MendParts;
  readonly #seed: bigint;
  readonly #mended = new Map<number, Mended>();
  readonly #space = new LeafSpace();
  /** The birth of the node that is being mended, and whether it names a younger one. */
  #limit = 0 as Txg;
  #younger = false;

  constructor(parts: MendParts) {
    this.#parts = parts;
    this.#seed = parts.writer.seed;
  }

  /** Returns the slot of the meta root, a new one if anything has changed. */
  *walk(): Answer<Uint32Array> {
    const { survey, session, root } = this.#parts;
    let done = 0;
    for (const item of survey.order) {
      const words = yield* readNode(session, item.slot, this.#seed);
      session.take(MENDED_BYTES);
      if (words === undefined) continue;
      this.#mended.set(slotBlock(item.slot, 0), this.#mend(item, words));
      if (done++ % 1024 === 0) yield* session.turn('names', 0, 1);
    }
    const slot = root.superblock.state.metaRoot.slice();
    this.#follow(slot, 0, SlotRole.KEYED, TreeKind.DIRECTORY);
    return slot;
  }

  #mend(item: Item, words: Uint32Array): Mended {
    this.#limit = slotBirth(item.slot, 0);
    this.#younger = false;
    if (item.role === SlotRole.MAP) return this.#mendMap(item, words);
    return nodeLevel(words, 0) > 0 ? this.#mendInterior(item, words) : this.#mendLeaf(item, words);
  }

  #mendMap(item: Item, words: Uint32Array): Mended {
    const level = item.detail;
    const role = level === 0 ? SlotRole.DATA : SlotRole.MAP;
    const old = words.slice();
    for (let i = 0; i < MAP_FANOUT; i++) {
      const at = i * SLOT_WORDS;
      if (this.#follow(words, at, role, Math.max(0, level - 1)) === 'hole') {
        this.#parts.notes.add(`make a hole of what cannot be reached in file ${item.inode}`);
      }
    }
    const changed = this.#younger || !same(words, old);
    const slot = changed ? this.#parts.writer.node(words) : item.slot;
    return { ...MAP, nodes: [{ key: 0, slot }], level, changed };
  }

  #mendInterior(item: Item, words: Uint32Array): Mended {
    const { writer, notes } = this.#parts;
    const name = nameOf(words);
    const level = nodeLevel(words, 0);
    const old = childrenOf(words);
    const below = { entries: 0, directories: 0, links: false, unknown: false };
    const results = old.map(({ slot }) => this.#resultOf(slot, item.role, item.detail));
    const inOrder = areApart(results);
    let changed = this.#headerIsWrong(item, words);
    const nodes: Child[] = [];
    old.forEach(({ key, slot }, i) => {
      const child = results[i];
      if (child === undefined) {
        changed = true;
        below.unknown = true;
        notes.add(`drop a node of ${treeText(item)} that cannot be read`);
        const found = this.#parts.attached.get(slotBlock(slot, 0));
        if (found !== undefined) {
          this.#noteAttached(found);
          nodes.push(...writer.gather(name, found.nodes, level - 1));
        }
        return;
      }
      sumUp(below, child);
      const normal = this.#normal(slot, 0);
      const moved = inOrder && child.range !== undefined && !isBetween(child.range, old, i);
      const first = moved ? (child.range as Range).first : key;
      changed ||= moved || child.changed || child.level !== level - 1 || !same(slot, normal);
      const kept = child.changed ? child.nodes : [{ key: first, slot: normal }];
      const raised = writer.raise(name, kept, child.level, level - 1);
      raised.forEach((node, j) => {
        nodes.push(j === 0 ? { key: first, slot: node.slot } : node);
      });
    });
    nodes.sort((a, b) => a.key - b.key);
    changed ||= this.#younger;
    const own = { ...below, name, level, changed, range: rangeOf(results) };
    if (!changed) return { ...own, nodes: [{ key: 0, slot: item.slot }] };
    return { ...own, nodes: writer.interior(name, level, nodes) };
  }

  #mendLeaf(item: Item, words: Uint32Array): Mended {
    const { writer, notes } = this.#parts;
    const name = nameOf(words);
    const below = { entries: 0, directories: 0, links: false, unknown: false };
    let changed = this.#headerIsWrong(item, words);
    const kept: Entry[] = [];
    const bytes = bytesOf(words);
    this.#space.clear();
    for (const { key, bytes: record, offset } of entriesOf(words)) {
      const apart = this.#space.take(offset, record.length);
      const old = record.slice();
      const fault = recordFault(bytes, offset, record.length);
      const context = { item, below, follow: this.#follow, parts: this.#parts };
      const sound = apart && fault === undefined;
      if (!sound) notes.add(`drop a record of ${treeText(item)} that is none`);
      const mended = sound ? mendRecord(record, context) : undefined;
      if (mended === undefined) {
        changed = true;
        continue;
      }
      changed ||= mended !== record || !equalBytes(record, old);
      kept.push({ key, bytes: mended });
    }
    changed ||= this.#younger;
    const range = kept.length === 0 ? undefined : { first: keyOf(kept, 0), last: keyOf(kept, -1) };
    const own = { ...below, name, level: 0, changed, range };
    if (!changed) return { ...own, nodes: [{ key: 0, slot: item.slot }] };
    return { ...own, nodes: writer.leaves(name, kept) };
  }

  /**
   * Makes a slot what its target asks for. Tells what hangs there: `hole` if it has become one,
   * undefined if it is data, or nothing.
   */
  readonly #follow = (
    words: Uint32Array,
    at: number,
    role: SlotRole,
    detail: number,
  ): Mended | 'hole' | undefined => {
    const { root, writer, attached } = this.#parts;
    if (!slotHasBlock(words, at)) {
      const kind = slotKind(words, at) === SlotKind.UNWRITTEN ? SlotKind.UNWRITTEN : SlotKind.HOLE;
      const known = slotKind(words, at) === kind;
      words.fill(0, at, at + SLOT_WORDS);
      if (role !== SlotRole.KEYED) words[at + 1] = kind << 8;
      return known ? undefined : 'hole';
    }
    const slot = words.slice(at, at + SLOT_WORDS);
    const block = slotBlock(slot, 0);
    if (role === SlotRole.DATA) {
      const inside = isInside(root.superblock.geometry, block);
      const good = inside && slotKind(slot, 0) === SlotKind.DATA;
      words.set(good ? this.#normal(slot, NOCSUM) : new Uint32Array(SLOT_WORDS), at);
      return good ? undefined : 'hole';
    }
    const result = this.#resultOf(slot, role, detail);
    if (result === undefined) {
      const found = attached.get(block);
      words.fill(0, at, at + SLOT_WORDS);
      if (found === undefined) return 'hole';
      this.#noteAttached(found);
      const level = Math.max(...found.nodes.map((node) => node.level));
      words.set(writer.root(found.name, writer.gather(found.name, found.nodes, level), level), at);
      return { ...MAP, nodes: [], level, changed: true, unknown: true };
    }
    const { name, nodes, level, changed } = result;
    words.set(changed ? writer.root(name, nodes, level) : this.#normal(slot, 0), at);
    return result;
  };

  #noteAttached({ name, nodes }: Attached): void {
    const what = name.tree === TreeKind.LINKS ? 'the link table of inode' : 'directory';
    this.#parts.notes.add(`put ${nodes.length} nodes back that ${what} ${name.inode} had lost`);
  }

  /** What the node behind a slot has come to; undefined if there is none that can be read. */
  #resultOf(slot: Uint32Array, role: SlotRole, detail: number): Mended | undefined {
    const { root, table, maps } = this.#parts;
    const block = slotBlock(slot, 0);
    const known =
      slotKind(slot, 0) === SlotKind.NODE &&
      isInside(root.superblock.geometry, block) &&
      table.use(block) === useOf(role, detail) &&
      table.checksum(block) === slotChecksum(slot, 0);
    if (!known) return undefined;
    if (role === SlotRole.MAP && !maps) {
      return { ...MAP, nodes: [{ key: 0, slot }], level: detail, changed: false };
    }
    return this.#mended.get(block);
  }

  /** The slot as all that name its block have it: with known flags and a birth that can be. */
  #normal(slot: Uint32Array, allowed: number): Uint32Array {
    const { table, root } = this.#parts;
    const block = slotBlock(slot, 0);
    const normal = new Uint32Array(SLOT_WORDS);
    const flags = slotFlags(slot, 0) & (KIND_MASK | allowed);
    const birth = Math.max(1, Math.min(slotBirth(slot, 0), root.superblock.state.txg)) as Txg;
    setSlot(normal, 0, {
      block: block as Block,
      flags: flags | (table.hasTwin(block) ? TWIN : 0),
      birth,
      checksum: slotChecksum(slot, 0),
    });
    if (birth > this.#limit) this.#younger = true;
    return normal;
  }

  /** What a node says of itself is for whoever looks for lost ones. */
  #headerIsWrong({ slot }: Item, words: Uint32Array): boolean {
    return nodeImage(words, 0) !== this.#seed || nodeBirth(words, 0) !== slotBirth(slot, 0);
  }
}

function treeText({ detail, inode }: Item): string {
  return detail === TreeKind.LINKS ? `the link table of inode ${inode}` : `directory ${inode}`;
}

function keyOf(entries: readonly Entry[], at: number): number {
  return (entries.at(at) as Entry).key;
}

function same(left: Uint32Array, right: Uint32Array): boolean {
  return left.length === right.length && left.every((word, i) => word === right[i]);
}

/** Keys that lie where the separators say. */
function isBetween({ first, last }: Range, children: readonly Child[], i: number): boolean {
  const next = children[i + 1];
  const low = i === 0 || first >= (children[i] as Child).key;
  return low && (next === undefined || last < next.key);
}

/** True if no two children have keys among each other's. */
function areApart(results: readonly (Mended | undefined)[]): boolean {
  const ranges = results.flatMap((result) => (result?.range === undefined ? [] : [result.range]));
  ranges.sort((a, b) => a.first - b.first);
  return ranges.every(({ first }, i) => i === 0 || first > (ranges[i - 1] as Range).last);
}

function rangeOf(results: readonly (Mended | undefined)[]): Range | undefined {
  const ranges = results.map((result) => result?.range);
  if (ranges.some((range) => range === undefined)) return undefined;
  const first = Math.min(...ranges.map((range) => (range as Range).first));
  return { first, last: Math.max(...ranges.map((range) => (range as Range).last)) };
}

function sumUp(
  sum: { entries: number; directories: number; links: boolean; unknown: boolean },
  { entries, directories, links, unknown }: Below,
): void {
  sum.entries += entries;
  sum.directories += directories;
  sum.links ||= links;
  sum.unknown ||= unknown;
}
