/**
 * Graph: every block that can be reached from the meta root and the reclaim queue, visited once.
 *
 * H1. A block is entered into the table by the first slot that names it, and only then is its
 *     content looked at. So the walk ends, whatever the slots say, and takes no block twice.
 * H2. A node is followed only if it is what its first slot promised: by checksum, and by form.
 * H3. Slots are counted whether they are right or wrong: the counts on the device were made of the
 *     same slots.
 * H4. What an item of the reclaim queue has handed on already is not looked at: those slots are
 *     nobody's, and their blocks may be in use elsewhere.
 *
 * Nothing here knows of names; names.ts follows the same trees as a reader does.
 */
import { BLOCK_SIZE, checksum32 } from '../base/index.ts';
import type { Steps } from '../device/index.ts';
import {
  imageSeed,
  interiorSlot,
  KEYED_LEVEL_MAX,
  MAP_FANOUT,
  nodeBirth,
  nodeCount,
  nodeFault,
  nodeImage,
  nodeLevel,
  SLOT_WORDS,
  SlotKind,
  SlotRole,
  type Superblock,
  slotKind,
  TreeKind,
  unwrittenBlocks,
} from '../format/index.ts';
import { ROUND_MIN } from './block-reader.ts';
import { type BlockTable, Mark, Use, useName, useOf } from './block-table.ts';
import { Leaves } from './leaves.ts';
import { type BlockSink, Scrub } from './scrub.ts';
import type { Session } from './session.ts';
import { type Pending, type Place, Targets } from './targets.ts';

/** A node in the reader's memory. */
export interface NodeView {
  readonly words: Uint32Array;
  readonly bytes: Uint8Array;
  /** Its first word. */
  readonly base: number;
}

export class Graph {
  readonly #session: Session;
  readonly #superblock: Superblock;
  readonly #seed: bigint;
  readonly #table: BlockTable;
  readonly #targets: Targets;
  readonly #scrub: BlockSink;
  readonly #leaves: Leaves;
  #visited = 0;
  /** Blocks that unwritten slots promise. */
  #promised = 0;

  /** `sink` takes data and second copies; if it is left out they are verified. */
  constructor(session: Session, superblock: Superblock, table: BlockTable, sink?: BlockSink) {
    this.#session = session;
    this.#superblock = superblock;
    this.#seed = imageSeed(superblock.uuid);
    this.#table = table;
    const { geometry } = superblock;
    this.#scrub = sink ?? new Scrub(session, this.#seed, geometry.blockCount);
    this.#targets = new Targets(session, { geometry, table, scrub: this.#scrub });
    this.#leaves = new Leaves(session, this.#targets, superblock.hashSeed);
  }

  /** Blocks that the unwritten slots found so far promise. */
  get promised(): number {
    return this.#promised;
  }

  *walk(): Steps {
    const { state } = this.#superblock;
    this.#targets.name(
      state.metaRoot,
      0,
      { role: SlotRole.KEYED, detail: TreeKind.DIRECTORY },
      { block: 0, what: 'superblock', inode: 0, birth: state.txg, end: Infinity, dead: false },
    );
    while (!this.#targets.isEmpty) {
      yield* this.#round(this.#targets.next(ROUND_MIN));
      if (this.#scrub.isFull) yield* this.#scrub.flush(() => this.#turn());
      yield* this.#turn();
    }
    yield* this.#scrub.flush(() => this.#turn());
    this.#leaves.checkNumbers(state.nextInode, state.nextRealm);
    const [stored, found] = [state.reservedBlocks, this.#promised];
    if (stored !== found && !this.#session.incomplete) {
      this.#session.issues.add('promise-total', { stored, found });
    }
  }

  *#round(round: readonly Pending[]): Steps {
    const { reader } = this.#session;
    yield* reader.read(round.map(({ block, copy }) => block + copy));
    this.#visited += round.length;
    round.forEach((item, i) => {
      const error = reader.error(i);
      const at = reader.at(i);
      const bytes = reader.bytes.subarray(at, at + BLOCK_SIZE);
      const found = error === undefined ? checksum32(bytes, this.#seed) : 0;
      this.#session.statistics.verified += BLOCK_SIZE;
      if (error !== undefined || found !== item.checksum) this.#damaged(item, found, error);
      else this.#accept(item, { words: reader.words, bytes: reader.bytes, base: at / 4 });
    });
  }

  /** A node that is not what was promised: its second copy is tried, or it is given up. */
  #damaged(item: Pending, found: number, error: Error | undefined): void {
    const { issues } = this.#session;
    if (item.twin && item.copy === 0) {
      this.#targets.add({ ...item, copy: 1 });
      return;
    }
    const { block, inode, checksum: wanted } = item;
    const of = { block, what: useName(useOf(item.role, item.detail)), inode };
    if (error !== undefined) issues.add('unreadable', { ...of, finding: error.message });
    else issues.add('checksum', { ...of, found, wanted });
    this.#session.incomplete = true;
  }

  #accept(item: Pending, node: NodeView): void {
    const { block, inode, checksum } = item;
    const what = useName(useOf(item.role, item.detail));
    if (item.copy === 1) {
      this.#session.issues.add('copy-damaged', { block, what, inode });
      this.#table.mark(block, Mark.SECOND);
    } else if (item.twin) this.#scrub.add(block + 1, checksum, inode, Use.COPY);
    const { birth, end, dead } = item;
    const place: Place = { block, what, inode, birth, end, dead };
    this.#targets.skip = item.resume;
    const sound =
      item.role === SlotRole.MAP
        ? this.#openMap(item, node, place)
        : this.#openKeyed(item, node, place);
    if (sound) this.#table.mark(block, Mark.SOUND);
    if (sound && this.#targets.skip > 0) {
      const finding = 'more children have been handed on than there are';
      this.#session.issues.add('queue-item', { block, what, inode, finding });
    }
    this.#targets.skip = 0;
  }

  #openMap(item: Pending, node: NodeView, place: Place): true {
    const level = item.detail;
    const role = level === 0 ? SlotRole.DATA : SlotRole.MAP;
    const detail = Math.max(0, level - 1);
    const span = 256 ** level;
    for (let i = 0; i < MAP_FANOUT; i++) {
      const fileBlock = item.fileBlock + i * span;
      const at = node.base + i * SLOT_WORDS;
      this.#targets.name(node.words, at, { role, detail, fileBlock }, place);
      if (slotKind(node.words, at) === SlotKind.UNWRITTEN) {
        this.#promised += unwrittenBlocks(level);
      }
    }
    return true;
  }

  #openKeyed(item: Pending, node: NodeView, place: Place): boolean {
    const { issues } = this.#session;
    const { words, base } = node;
    const { block, what, inode } = place;
    const tree = item.detail as TreeKind;
    const expected = { tree, level: undefined, levelMax: KEYED_LEVEL_MAX };
    const finding = nodeFault(words, base, expected);
    if (finding !== undefined) {
      issues.add('node-fault', { block, what, inode, finding });
      this.#session.incomplete = true;
      return false;
    }
    const header = this.#headerFault(item, node);
    if (header !== undefined) issues.add('node-header', { block, what, inode, finding: header });
    if (nodeLevel(words, base) === 0) return this.#leaves.open(node, tree, place);
    for (let i = 0; i < nodeCount(words, base); i++) {
      const meaning = { role: SlotRole.KEYED, detail: tree };
      this.#targets.name(words, interiorSlot(base, i), meaning, place);
    }
    return true;
  }

  /** What a node says of itself, for whoever looks for lost nodes. */
  #headerFault({ birth }: Pending, { words, base }: NodeView): string | undefined {
    if (nodeImage(words, base) !== this.#seed) return 'it is of another image';
    if (nodeBirth(words, base) === birth) return undefined;
    return `it was born in txg ${nodeBirth(words, base)}, its slot says ${birth}`;
  }

  #turn(): Steps {
    const { blockCount } = this.#superblock.geometry;
    const { blocks, verified } = this.#session.statistics;
    const total = blockCount - this.#superblock.state.freeBlocks - blocks.fixed;
    return this.#session.turn('blocks', Math.min(total, verified / BLOCK_SIZE), total);
  }
}
