/**
 * Targets: what slots name. Every slot of the walk comes through here once: it is looked at, its
 * target is counted, and a target that is new waits to be visited.
 */
import type { Block } from '../base/index.ts';
import {
  DIRTY,
  type Geometry,
  isFixedBlock,
  KIND_MASK,
  NOCSUM,
  SlotKind,
  SlotRole,
  slotBirth,
  slotBlock,
  slotChecksum,
  slotFlags,
  slotHasBlock,
  slotKind,
  TWIN,
} from '../format/index.ts';
import { type BlockTable, Mark, Use, useKey, useName, useOf } from './block-table.ts';
import type { BlockSink } from './scrub.ts';
import type { Session } from './session.ts';

/** Where a slot lies, and what that asks of its target. One object is used for many slots. */
export interface Place {
  /** The block with the slot, and what it is. */
  block: number;
  what: string;
  /** Whose the target is. */
  inode: number;
  /** No target may be younger. */
  birth: number;
  /** File blocks the inode may have. */
  end: number;
  /** It hangs from the reclaim queue. */
  dead: boolean;
}

/** What a slot names, as far as the slot itself does not tell. */
export interface Meaning {
  readonly role: SlotRole;
  readonly detail: number;
  /** Of a map: the first file block that the target is for. */
  readonly fileBlock?: number;
  /** Children that the reclaim queue has handed on. */
  readonly resume?: number;
}

/** A node that is to be visited. */
export interface Pending {
  readonly block: number;
  readonly role: SlotRole;
  readonly detail: number;
  readonly checksum: number;
  readonly birth: number;
  readonly inode: number;
  readonly fileBlock: number;
  readonly end: number;
  readonly resume: number;
  readonly dead: boolean;
  readonly twin: boolean;
  /** Which copy is to be read. */
  readonly copy: 0 | 1;
}

const PENDING_BYTES = 200;
/** Flag bit without a meaning. */
const UNKNOWN_FLAG = 0x40;

export class Targets {
  readonly table: BlockTable;
  readonly scrub: BlockSink;
  /** Slots with a block that are passed over before any is looked at. */
  skip = 0;
  readonly #session: Session;
  readonly #geometry: Geometry;
  readonly #pending: Pending[] = [];

  constructor(
    session: Session,
    parts: { geometry: Geometry; table: BlockTable; scrub: BlockSink },
  ) {
    this.#session = session;
    this.#geometry = parts.geometry;
    this.table = parts.table;
    this.scrub = parts.scrub;
  }

  get isEmpty(): boolean {
    return this.#pending.length === 0;
  }

  /** The nodes found last, up to `count` of them. */
  next(count: number): Pending[] {
    const round = this.#pending.splice(-count);
    this.#session.give(round.length * PENDING_BYTES);
    return round;
  }

  add(pending: Pending): void {
    this.#session.take(PENDING_BYTES);
    this.#pending.push(pending);
  }

  /** A slot names what `meaning` says. Holes are looked at too, and name nothing. */
  name(words: Uint32Array, at: number, meaning: Meaning, place: Place): void {
    const { issues } = this.#session;
    const named = slotHasBlock(words, at);
    if (named && this.skip > 0) {
      this.skip--;
      return;
    }
    const finding = slotFault(words, at, meaning.role);
    if (finding !== undefined) issues.add('slot-fault', { ...of(place), finding });
    if (!named) return;
    const target = slotBlock(words, at);
    if (!this.#isAllowed(target, place)) return;
    this.#checkBirth(words, at, place);
    const use = useOf(meaning.role, meaning.detail);
    const { fileBlock = 0 } = meaning;
    // A node may be there for the space that it promises; what it names is looked at by itself.
    if (meaning.role === SlotRole.DATA && fileBlock >= place.end) {
      const { inode, end: blocks } = place;
      issues.add('beyond-size', { block: target, what: useName(use), inode, fileBlock, blocks });
    }
    this.#enter(words, at, meaning, place);
  }

  #isAllowed(target: Block, place: Place): boolean {
    const outside = target >= this.#geometry.blockCount;
    if (!outside && !isFixedBlock(this.#geometry, target)) return true;
    this.#session.issues.add(outside ? 'slot-outside' : 'slot-fixed', { ...of(place), target });
    this.#session.incomplete = true;
    return false;
  }

  #checkBirth(words: Uint32Array, at: number, place: Place): void {
    const birth = slotBirth(words, at);
    if (birth >= 1 && birth <= place.birth) return;
    const target = slotBlock(words, at);
    this.#session.issues.add('slot-birth', { ...of(place), target, birth, limit: place.birth });
  }

  #enter(words: Uint32Array, at: number, meaning: Meaning, place: Place): void {
    const { table } = this;
    const { issues } = this.#session;
    const target = slotBlock(words, at);
    const twin = (slotFlags(words, at) & TWIN) !== 0;
    const checksum = slotChecksum(words, at);
    const use = useOf(meaning.role, meaning.detail);
    const { resume = 0 } = meaning;
    switch (table.reference(target, { use, checksum, twin })) {
      case 'conflict': {
        const first = useName(table.use(target));
        issues.add('role-conflict', { ...this.#targetOf(target, use, place), first });
        return;
      }
      case 'differs':
        issues.add('slot-differs', { ...of(place), target });
        break;
      case 'again':
        break;
      default:
        if (resume > 0) table.mark(target, Mark.BEGUN);
        this.#welcome(words, at, meaning, place);
        return;
    }
    if (resume > 0 || table.has(target, Mark.BEGUN)) {
      const finding = 'what is being taken apart has a second reference';
      issues.add('queue-item', { ...of(place), finding });
    }
  }

  /** A target nobody has named before. */
  #welcome(words: Uint32Array, at: number, meaning: Meaning, place: Place): void {
    const { statistics, verifyData } = this.#session;
    const { role, detail, fileBlock = 0, resume = 0 } = meaning;
    const block = slotBlock(words, at);
    const checksum = slotChecksum(words, at);
    const flags = slotFlags(words, at);
    const twin = (flags & TWIN) !== 0;
    const { inode, end, dead } = place;
    statistics.blocks[useKey(useOf(role, detail))]++;
    if (twin) this.#enterCopy(block + 1, checksum, place);
    if (role === SlotRole.DATA) {
      if (!verifyData || (flags & NOCSUM) !== 0) return;
      this.scrub.add(block, checksum, inode, Use.DATA);
      if (twin) this.scrub.add(block + 1, checksum, inode, Use.COPY);
      return;
    }
    const birth = slotBirth(words, at);
    const copy = 0;
    const kept = { block, role, detail, checksum, birth, inode, fileBlock, end, resume, dead };
    this.add({ ...kept, twin, copy });
  }

  /** The block after a node with a twin is its second copy, and nothing else. */
  #enterCopy(block: number, checksum: number, place: Place): void {
    const { issues, statistics } = this.#session;
    if (!this.#isAllowed(block as Block, place)) return;
    const reference = this.table.reference(block, { use: Use.COPY, checksum, twin: false });
    statistics.blocks.copies++;
    if (reference === 'first') return;
    const first = useName(this.table.use(block));
    issues.add('role-conflict', { ...this.#targetOf(block, Use.COPY, place), first });
  }

  #targetOf(
    block: number,
    use: number,
    { inode }: Place,
  ): { block: number; what: string; inode: number } {
    return { block, what: useName(use), inode };
  }
}

/** The facts of an issue with the slot itself. */
function of({ block, what, inode }: Place): { block: number; what: string; inode: number } {
  return { block, what, inode };
}

/** What makes a slot unfit where it lies, or undefined. */
function slotFault(words: Uint32Array, at: number, role: SlotRole): string | undefined {
  const flags = slotFlags(words, at);
  const kind = slotKind(words, at);
  if (((words[at + 1] as number) & 0xff) !== 0) return 'its block has more than 32 bits';
  if ((flags & (DIRTY | UNKNOWN_FLAG)) !== 0) return `its flags are 0x${flags.toString(16)}`;
  if (kind === SlotKind.HOLE || kind === SlotKind.UNWRITTEN) {
    if (kind === SlotKind.UNWRITTEN && role === SlotRole.KEYED) return 'a tree is unwritten';
    const bare = words[at] === 0 && words[at + 2] === 0 && words[at + 3] === 0;
    return bare && (words[at + 1] as number) === kind << 8 ? undefined : 'it names what it has not';
  }
  const wanted = role === SlotRole.DATA ? SlotKind.DATA : SlotKind.NODE;
  if (kind !== wanted) return `its kind is ${kind}, wanted ${wanted}`;
  const allowed = KIND_MASK | TWIN | (role === SlotRole.DATA ? NOCSUM : 0);
  return (flags & ~allowed) === 0 ? undefined : `its flags are 0x${flags.toString(16)}`;
}
