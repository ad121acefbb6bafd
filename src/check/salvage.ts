/**
 * Salvage: nodes that nobody can reach any more because a node above them is lost.
 *
 * A slot is lost with the node it is in, but the node that it named says itself whose it is (inode,
 * birth, image, realm), and the counts of the root say whether it is named by anything at all:
 *
 * E1. A block whose stored count is 0 is not part of the root: what it holds is stale.
 * E2. A block of the root is named by as many slots as its stored count says. Those that the walk
 *     has found, and those in nodes that are found here, are taken off; what is left over was in
 *     nodes that are lost. Only such a node is *unclaimed*; all others hang from something.
 * E3. An unclaimed node goes back under a lost one if that is the only place it can have come from:
 *     of the same directory, not younger than the lost node, below it, and among its keys. Where
 *     there are several such places, or nodes that would lie among each other's keys, or one alone
 *     under a lost root, or no counts, it is a guess, and not put back.
 *
 * Nothing vouches for the content of an unclaimed node, since its checksum is lost; it has to be of
 * a form that only a node has. What it names is verified as ever, by the checksums in its slots.
 */
import { BLOCK_SIZE, type Block, checksum32, equalBytes } from '../base/index.ts';
import {
  imageSeed,
  interiorSlot,
  isFixedBlock,
  KEYED_LEVEL_MAX,
  leafKey,
  NODE_MAGIC,
  nodeBirth,
  nodeCount,
  nodeFault,
  nodeImage,
  nodeLevel,
  nodeTree,
  recordFault,
  recordLength,
  recordOffset,
  SLOT_WORDS,
  slotBlock,
  slotHasBlock,
  TreeKind,
  visitRecordSlots,
} from '../format/index.ts';
import { type BlockTable, Mark, Use } from './block-table.ts';
import { type LevelChild, nodeSlot, type TreeName } from './build-tree.ts';
import type { Root } from './roots.ts';
import type { Answer, Session } from './session.ts';
import type { CountsOfRoot } from './stored-counts.ts';
import { birthOf, type Item } from './survey.ts';
import { nameOf, readKeyed } from './tree-edit.ts';

/** A node that lost nodes name. */
export interface Unclaimed {
  readonly slot: Uint32Array;
  readonly level: number;
  readonly name: TreeName;
  readonly birth: number;
  readonly first: number;
  readonly last: number;
  /** How many lost nodes name it that were not found yet; undefined if counts do not tell. */
  spare: number | undefined;
}

/** What takes the place of a lost node. */
export interface Attached {
  readonly name: TreeName;
  /** In ascending order. */
  readonly nodes: readonly LevelChild[];
}

/** A node that was found, whatever names it. */
interface Candidate {
  readonly block: number;
  readonly level: number;
  readonly name: TreeName;
  readonly birth: number;
  readonly checksum: number;
  twin: boolean;
  /** Of a leaf. */
  readonly range: Range | undefined;
}

interface Range {
  readonly first: number;
  readonly last: number;
}

const CANDIDATE_BYTES = 300;

export class Salvage {
  readonly #session: Session;
  readonly #root: Root;
  readonly #table: BlockTable;
  readonly #stored: CountsOfRoot;
  readonly #seed: bigint;
  readonly #candidates: Candidate[] = [];
  /** Slots, in found nodes, that name a block. */
  readonly #references = new Map<number, number>();
  /** The block looked at last, for whoever is its second copy. */
  #before: { block: number; bytes: Uint8Array } = { block: -1, bytes: new Uint8Array(0) };

  constructor(session: Session, root: Root, table: BlockTable, stored: CountsOfRoot) {
    this.#session = session;
    this.#root = root;
    this.#table = table;
    this.#stored = stored;
    this.#seed = imageSeed(root.superblock.uuid);
  }

  /** Unclaimed nodes of directories and link tables (E2). */
  *scan(): Answer<Unclaimed[]> {
    yield* this.#read();
    const found: Unclaimed[] = [];
    for (const { block, twin, level, name, birth, checksum, range } of this.#candidates) {
      const stored = this.#stored.of(block);
      const known = this.#table.count(block) + (this.#references.get(block) ?? 0);
      if ((stored ?? 1) <= known) continue;
      const slot = nodeSlot({ block, twin, birth, checksum });
      const first = range?.first ?? (yield* this.#edge(slot, name.tree, 'first'));
      const last = range?.last ?? (yield* this.#edge(slot, name.tree, 'last'));
      if (first === undefined || last === undefined) continue;
      const spare = stored === undefined ? undefined : stored - known;
      found.push({ slot, level, name, birth, first, last, spare });
    }
    return found;
  }

  /** Reads every block that the walk has found too few slots for (E1). */
  *#read(): Answer<void> {
    const { reader } = this.#session;
    const { geometry } = this.#root.superblock;
    let round: number[] = [];
    for (let block = 0; block <= geometry.blockCount; block++) {
      if (block < geometry.blockCount && this.#isWanted(block)) round.push(block);
      const full = round.length === reader.capacity || block === geometry.blockCount;
      if (!full || round.length === 0) continue;
      yield* reader.read(round);
      round.forEach((each, i) => {
        if (reader.error(i) !== undefined) return;
        const at = reader.at(i);
        this.#look(each, reader.bytes.slice(at, at + BLOCK_SIZE));
      });
      round = [];
      yield* this.#session.turn('blocks', block, geometry.blockCount);
    }
  }

  #isWanted(block: number): boolean {
    if (isFixedBlock(this.#root.superblock.geometry, block as Block)) return false;
    const found = this.#table.count(block);
    const stored = this.#stored.of(block) ?? 1;
    const use = this.#table.use(block);
    return stored > found && (found === 0 || use === Use.DIRECTORY || use === Use.LINKS);
  }

  #look(block: number, bytes: Uint8Array): void {
    const words = new Uint32Array(bytes.buffer);
    if (words[0] !== NODE_MAGIC || !this.#isSound(words, bytes)) return;
    const checksum = checksum32(bytes, this.#seed);
    const reached = this.#table.count(block) > 0;
    if (reached) {
      if (checksum !== this.#table.checksum(block) || !this.#table.has(block, Mark.SOUND)) return;
    } else {
      const first = this.#candidates.at(-1);
      const { block: before, bytes: other } = this.#before;
      const second = first?.block === block - 1 && before === block - 1 && !first.twin;
      if (first !== undefined && second && equalBytes(bytes, other)) {
        first.twin = true;
        return;
      }
      this.#refer(words, bytes);
      this.#before = { block, bytes };
    }
    this.#session.take(CANDIDATE_BYTES);
    const level = nodeLevel(words, 0);
    const count = nodeCount(words, 0);
    this.#candidates.push({
      block,
      level,
      name: nameOf(words),
      birth: nodeBirth(words, 0),
      checksum,
      twin: reached && this.#table.hasTwin(block),
      range:
        level > 0 ? undefined : { first: leafKey(words, 0, 0), last: leafKey(words, 0, count - 1) },
    });
  }

  /** A node of this image that a mount would accept, with something in it. */
  #isSound(words: Uint32Array, bytes: Uint8Array): boolean {
    const tree = nodeTree(words, 0);
    if (tree !== TreeKind.DIRECTORY && tree !== TreeKind.LINKS) return false;
    const birth = nodeBirth(words, 0);
    if (birth < 1 || birth > this.#root.superblock.state.txg) return false;
    if (nodeImage(words, 0) !== this.#seed || nodeCount(words, 0) === 0) return false;
    const wanted = { tree, level: undefined, levelMax: KEYED_LEVEL_MAX };
    if (nodeFault(words, 0, wanted) !== undefined) return false;
    if (nodeLevel(words, 0) > 0) return true;
    return Array.from({ length: nodeCount(words, 0) }, (_, i) => i).every(
      (i) => recordFault(bytes, recordOffset(words, 0, i), recordLength(words, 0, i)) === undefined,
    );
  }

  /** Counts the slots of a node that the walk has not seen. */
  #refer(words: Uint32Array, bytes: Uint8Array): void {
    const count = (_: Uint32Array, at: number): void => {
      if (!slotHasBlock(words, at)) return;
      const block = slotBlock(words, at);
      this.#references.set(block, (this.#references.get(block) ?? 0) + 1);
    };
    for (let i = 0; i < nodeCount(words, 0); i++) {
      if (nodeLevel(words, 0) > 0) count(words, interiorSlot(0, i));
      else visitRecordSlots(words, bytes, recordOffset(words, 0, i), count);
    }
  }

  /** The lowest or the highest key below a node that can be read; undefined if there is none. */
  *#edge(slot: Uint32Array, tree: TreeKind, side: 'first' | 'last'): Answer<number | undefined> {
    const words = yield* readKeyed(this.#session, slot, { seed: this.#seed, tree });
    if (words === undefined || nodeCount(words, 0) === 0) return undefined;
    const count = nodeCount(words, 0);
    if (nodeLevel(words, 0) === 0) return leafKey(words, 0, side === 'first' ? 0 : count - 1);
    for (let i = 0; i < count; i++) {
      const at = interiorSlot(0, side === 'first' ? i : count - 1 - i);
      const edge: number | undefined = yield* this.#edge(
        words.slice(at, at + SLOT_WORDS),
        tree,
        side,
      );
      if (edge !== undefined) return edge;
    }
    return undefined;
  }
}

/**
 * Which unclaimed nodes go back under which lost ones (E3), by the blocks of these. Their spare
 * slots are used up.
 */
export function attach(
  unclaimed: readonly Unclaimed[],
  lost: ReadonlyMap<number, Item>,
): Map<number, Attached> {
  const under = new Map<number, Unclaimed[]>();
  for (const node of unclaimed) {
    const places = [...lost.entries()].filter(([, item]) => mayHang(node, item));
    if (node.spare === undefined || places.length > node.spare) continue;
    for (const [block] of places) under.set(block, [...(under.get(block) ?? []), node]);
  }
  const attached = new Map<number, Attached>();
  for (const [block, nodes] of under) {
    nodes.sort((a, b) => a.first - b.first);
    const apart = nodes.every(({ first }, i) => i === 0 || first > (nodes[i - 1] as Range).last);
    const [one] = nodes;
    // One node alone may as well be the root of another directory, whose record is lost.
    const sure = lost.get(block)?.level !== undefined || nodes.length > 1;
    if (!apart || !sure || one === undefined) continue;
    attached.set(block, { name: one.name, nodes: nodes.map(asChild) });
    for (const node of nodes) if (node.spare !== undefined) node.spare--;
  }
  return attached;
}

function mayHang({ name, birth, level, first, last }: Unclaimed, item: Item): boolean {
  if (name.tree !== item.detail || name.inode !== item.inode || birth > birthOf(item)) return false;
  const below = item.level === undefined ? KEYED_LEVEL_MAX : item.level;
  return level < below && first >= item.low && last < item.high;
}

export function asChild({ first, slot, level }: Unclaimed): LevelChild {
  return { key: first, slot, level };
}
