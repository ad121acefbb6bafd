/**
 * Tree walk: a keyed tree in the order of its keys, as a search would find them.
 *
 * Graph has looked at every node by itself; here they are held against their parents: levels go
 * down by one, and keys lie where the separators say. Only nodes that were sound, and have not
 * changed since, are passed on, so they can be decoded without care. Levels bound the walk,
 * whatever the slots say.
 */
import { BLOCK_SIZE, BLOCK_WORDS, checksum32 } from '../base/index.ts';
import {
  INTERIOR_FANOUT,
  interiorKey,
  interiorSlot,
  leafKey,
  nodeCount,
  nodeLevel,
  SlotRole,
  slotBlock,
  type TreeKind,
} from '../format/index.ts';
import { type BlockTable, Mark, useName, useOf } from './block-table.ts';
import type { NodeView } from './graph.ts';
import type { Answer, Session } from './session.ts';

export interface TreeRequest {
  /** Block of the root. */
  readonly root: number;
  readonly tree: TreeKind;
  /** Inode the tree belongs to, for issues. */
  readonly inode: number;
  /** Told of every leaf and its block, and whether it, or a node above it, has several slots. */
  readonly leaf: (node: NodeView, block: number, shared: boolean) => void;
  /** The keys of a leaf that does not have to be read again, and is dealt with by this call. */
  readonly known?: (block: number) => KeyRange | undefined;
}

/** The keys of a leaf that has any. */
export interface KeyRange {
  readonly first: number;
  readonly last: number;
}

/** A node whose children are being read. */
interface Step {
  readonly words: Uint32Array;
  next: number;
  readonly low: number;
  readonly high: number;
  readonly shared: boolean;
}

/** What a node's parent asks of it. */
interface Bounds {
  readonly block: number;
  /** Undefined for a root. */
  readonly level: number | undefined;
  /** Its keys are at least `low` and below `high`. */
  readonly low: number;
  readonly high: number;
  readonly shared: boolean;
}

export class TreeWalk {
  /** Nodes read, by all walks. */
  visits = 0;
  readonly #session: Session;
  readonly #table: BlockTable;
  readonly #seed: bigint;

  constructor(session: Session, table: BlockTable, seed: bigint) {
    this.#session = session;
    this.#table = table;
    this.#seed = seed;
  }

  /** Visits all leaves. False if one could not be: it is damaged, or where it does not belong. */
  *visit(request: TreeRequest): Answer<boolean> {
    const path: Step[] = [];
    const root = { block: request.root, level: undefined, low: 0, high: Infinity, shared: false };
    let whole = yield* this.#read([root], request, path);
    for (let step = path.at(-1); step !== undefined; step = path.at(-1)) {
      const children = childrenOf(step);
      if (children.length === 0) path.pop();
      else whole = (yield* this.#read(children, request, path)) && whole;
    }
    return whole;
  }

  /** Reads nodes of one parent: leaves are visited, an interior node joins the path. */
  *#read(wanted: readonly Bounds[], request: TreeRequest, path: Step[]): Answer<boolean> {
    const { reader } = this.#session;
    const unknown = wanted.filter((bounds) => !this.#isKnown(bounds, request));
    const use = useOf(SlotRole.KEYED, request.tree);
    const good = unknown.filter(
      ({ block }) => this.#table.has(block, Mark.SOUND) && this.#table.use(block) === use,
    );
    let whole = good.length === unknown.length;
    yield* reader.read(
      good.map(({ block }) => block + (this.#table.has(block, Mark.SECOND) ? 1 : 0)),
    );
    this.visits += good.length;
    good.forEach((bounds, i) => {
      const base = reader.at(i) / 4;
      const node = { words: reader.words, bytes: reader.bytes, base };
      if (this.#isWhatItWas(i, bounds, request) && this.#fits(node, bounds, request)) {
        this.#open(node, bounds, request, path);
      } else {
        whole = false;
      }
    });
    return whole;
  }

  /** The node was sound when it was first read; a device may answer otherwise now. */
  #isWhatItWas(i: number, bounds: Bounds, request: TreeRequest): boolean {
    const { reader, issues } = this.#session;
    const at = reader.at(i);
    const error = reader.error(i);
    const found = checksum32(reader.bytes.subarray(at, at + BLOCK_SIZE), this.#seed);
    const wanted = this.#table.checksum(bounds.block);
    if (error === undefined && found === wanted) return true;
    const place = placeOf(bounds, request);
    if (error === undefined) issues.add('checksum', { ...place, found, wanted });
    else issues.add('unreadable', { ...place, finding: error.message });
    return false;
  }

  #isKnown(bounds: Bounds, request: TreeRequest): boolean {
    const range = bounds.level === 0 ? request.known?.(bounds.block) : undefined;
    if (range !== undefined) this.#checkRange(range, bounds, request);
    return range !== undefined;
  }

  #open(node: NodeView, bounds: Bounds, request: TreeRequest, path: Step[]): void {
    const { words, base } = node;
    const shared = bounds.shared || this.#table.count(bounds.block) > 1;
    if (nodeLevel(words, base) === 0) {
      request.leaf(node, bounds.block, shared);
      return;
    }
    const { low, high } = bounds;
    path.push({ words: words.slice(base, base + BLOCK_WORDS), next: 0, low, high, shared });
  }

  #fits({ words, base }: NodeView, bounds: Bounds, request: TreeRequest): boolean {
    const level = nodeLevel(words, base);
    if (bounds.level !== undefined && level !== bounds.level) {
      const facts = { ...placeOf(bounds, request), level, wanted: bounds.level };
      this.#session.issues.add('level', facts);
      return false;
    }
    const count = nodeCount(words, base);
    if (level > 0 || count === 0) return true;
    const range = { first: leafKey(words, base, 0), last: leafKey(words, base, count - 1) };
    this.#checkRange(range, bounds, request);
    return true;
  }

  #checkRange({ first, last }: KeyRange, bounds: Bounds, request: TreeRequest): void {
    const stray = first < bounds.low ? first : last >= bounds.high ? last : undefined;
    if (stray === undefined) return;
    this.#session.issues.add('key-order', { ...placeOf(bounds, request), key: stray });
  }
}

function placeOf(
  { block }: Bounds,
  { tree, inode }: TreeRequest,
): { block: number; what: string; inode: number } {
  return { block, what: useName(useOf(SlotRole.KEYED, tree)), inode };
}

/** The next children: all that are leaves, or one interior node. */
function childrenOf(step: Step): Bounds[] {
  const { words, shared } = step;
  const count = nodeCount(words, 0);
  const level = nodeLevel(words, 0) - 1;
  const end = Math.min(count, step.next + (level === 0 ? INTERIOR_FANOUT : 1));
  const children: Bounds[] = [];
  for (let i = step.next; i < end; i++) {
    const low = Math.max(step.low, interiorKey(words, 0, i));
    const high = i + 1 < count ? interiorKey(words, 0, i + 1) : step.high;
    children.push({ block: slotBlock(words, interiorSlot(0, i)), level, low, high, shared });
  }
  step.next = end;
  return children;
}
