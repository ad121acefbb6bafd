/**
 * Repair of structure: nodes, records and names, until a check has nothing more to say that could
 * be put right.
 *
 * One step after the other is planned, and what it leads to is checked as if it had been written:
 * what is mended in one step shows what the next one has to do. First everything goes back that
 * has a place; only what is left over then is lost and found.
 */
import { BLOCK_SIZE } from '../base/index.ts';
import { imageSeed, type VolumeState } from '../format/index.ts';
import type { BlockTable } from './block-table.ts';
import { FreeBlocks, NodeWriter, NoRoom } from './build-tree.ts';
import type { Issue, IssueCode } from './catalogue.ts';
import { Checker } from './check.ts';
import { LostFound, MANNERS, type Manner } from './lost-found.ts';
import { Mend } from './mend.ts';
import type { Notes } from './notes.ts';
import type { PlannedDevice } from './planned.ts';
import { planSuperblock } from './repair-counts.ts';
import { LinkRepair, type RealmRoots } from './repair-links.ts';
import type { CheckReport } from './report.ts';
import type { Root } from './roots.ts';
import { attach, Salvage, type Unclaimed } from './salvage.ts';
import { type Answer, type CheckOptions, OutOfMemory, Session } from './session.ts';
import { CountsOfRoot } from './stored-counts.ts';
import { Survey } from './survey.ts';

/** What a check has found, and where. */
export interface View {
  readonly session: Session;
  readonly checker: Checker;
  readonly report: CheckReport;
  readonly root: Root;
  readonly table: BlockTable;
}

/** What can be wrong with nodes and records, and may be put right. */
const MENDED: ReadonlySet<IssueCode> = new Set<IssueCode>([
  'unreadable',
  'checksum',
  'slot-outside',
  'slot-fixed',
  'slot-fault',
  'slot-differs',
  'slot-birth',
  'node-fault',
  'node-header',
  'record-fault',
  'record-time',
  'queue-item',
  'level',
  'key-order',
  'directory-size',
  'directory-links',
  'directory-flag',
  'file-links',
  'orphan-fault',
]);

/** Issues with slots, which may be in the map of a file. */
const SLOTS: ReadonlySet<IssueCode> = new Set<IssueCode>([
  'slot-outside',
  'slot-fixed',
  'slot-fault',
  'slot-differs',
  'slot-birth',
]);

/** What is put right in other ways. */
const OTHERS: ReadonlySet<IssueCode> = new Set<IssueCode>([
  'next-number',
  'link-missing',
  'link-count',
  'link-unnamed',
]);

/** What stands in the way of all of it: it could be right in two ways, or harm somebody else. */
const REFUSED: ReadonlyMap<IssueCode, string> = new Map<IssueCode, string>([
  ['log-pending', 'the log has operations that build on what is there: mount the volume once'],
  ['log-fault', 'the log has operations that cannot be done'],
  ['cycle', 'a directory contains itself'],
  ['role-conflict', 'a block is in use in two ways'],
]);

/** Steps after which what is left is left. */
const STEPS_MAX = 256;

/** True if a repair of structure has something to do. */
export function needsMending({ issues }: CheckReport): boolean {
  return issues.some((issue) => isMended(issue) || OTHERS.has(issue.code));
}

/** Why a repair of structure must not be done, in words; undefined if it may. */
export function refusal({ found }: CheckReport): string | undefined {
  for (const [code, reason] of REFUSED) {
    if (found.has(code)) return reason;
  }
  return undefined;
}

/** True if names and link tables are what they seem: nothing stands in them that was left. */
function isSure({ report }: View): boolean {
  return !report.issues.some(isMended);
}

function clashes({ report: { found } }: View): number {
  return (found.get('inode-twice') ?? 0) + (found.get('directory-twice') ?? 0);
}

function differs(left: Uint32Array, right: Uint32Array): boolean {
  return left.some((word, i) => word !== right[i]);
}

/** Data that cannot be read stays where it is. */
function isMended(issue: Issue): boolean {
  return MENDED.has(issue.code) && !('what' in issue && issue.what === 'data block');
}

/** Checks what is planned. Undefined if there is no root any more. */
export function* look(planned: PlannedDevice, options: CheckOptions): Answer<View | CheckReport> {
  const session = new Session(planned, { ...options, issues: Number.MAX_SAFE_INTEGER });
  const checker = new Checker(session);
  yield* checker.steps();
  const report = checker.report();
  const { root, table } = checker;
  if (root === undefined || table === undefined || report.verdict === 'fatal') return report;
  return { session, checker, report, root, table };
}

export class StructureRepair {
  readonly #planned: PlannedDevice;
  readonly #options: CheckOptions;
  readonly #notes: Notes;
  #stored!: CountsOfRoot;
  /** What lost nodes named and has no place yet. */
  #unclaimed: Unclaimed[] = [];
  /** How it is connected: the first of {@link MANNERS} that goes. */
  #manner = 0;
  /** How many nodes are connected at a time. */
  #batch = Infinity;
  /** The last step has connected nodes that had no place. */
  #connecting = false;

  constructor(planned: PlannedDevice, options: CheckOptions, notes: Notes) {
    this.#planned = planned;
    this.#options = { ...options, data: false };
    this.#notes = notes;
  }

  /** Plans what can be done. Returns what a check finds then, or why nothing can be done. */
  *plan(first: View): Answer<View | string> {
    for (const pairs of [true, false]) {
      this.#planned.clear();
      this.#notes.restore(new Map());
      this.#manner = 0;
      this.#batch = Infinity;
      try {
        return yield* this.#plan(first, pairs);
      } catch (error) {
        if (error instanceof OutOfMemory) return 'there is not enough memory';
        if (!(error instanceof NoRoom)) throw error;
      }
    }
    return 'there are not enough free blocks for new nodes';
  }

  /** `pairs`: new nodes get second copies. */
  *#plan(first: View, pairs: boolean): Answer<View | string> {
    this.#stored ??= yield* CountsOfRoot.read(first.session, first.root);
    // The counts are those of the root that is there. Later, what was replaced has some too.
    const { session, root, table } = first;
    const salvage = new Salvage(session, root, table, this.#stored);
    this.#unclaimed = session.incomplete ? yield* salvage.scan() : [];
    // What is of one directory is connected together.
    this.#unclaimed.sort((a, b) => a.name.inode - b.name.inode || a.name.realm - b.name.realm);
    let view = first;
    for (let step = 0; step < STEPS_MAX; step++) {
      const unclaimed = this.#unclaimed;
      const notes = this.#notes.save();
      const state = yield* this.#step(view, pairs);
      if (state === undefined) break;
      const { superblock, ring } = view.root;
      planSuperblock(this.#planned, { ...superblock, state }, ring);
      const next = yield* look(this.#planned, this.#options);
      if (!('root' in next)) return 'what would come of it cannot be checked';
      const clash = this.#connecting && clashes(next) > clashes(view);
      if (refusal(next.report) !== undefined || clash) {
        if (!this.#connecting) return 'what would come of it contradicts itself';
        this.#unclaimed = unclaimed;
        this.#notes.restore(notes);
        this.#otherwise();
        planSuperblock(this.#planned, superblock, ring);
        continue;
      }
      if (this.#connecting) this.#manner = 0;
      view = next;
    }
    const { table: last } = view;
    const written = this.#planned.keep((block) => last.count(block) > 0);
    if (written > 0) this.#notes.add(`write ${written} blocks of nodes anew`);
    return view;
  }

  /** Plans the next step. Returns the state it leads to; undefined if there is none. */
  *#step(view: View, pairs: boolean): Answer<VolumeState | undefined> {
    const { session, root, table } = view;
    const { state } = root.superblock;
    this.#connecting = false;
    const numbers = this.#raiseNumbers(view);
    if (numbers !== undefined) return numbers;
    const free = new FreeBlocks(root.superblock.geometry, this.#stored, table, pairs);
    const image = { seed: imageSeed(root.superblock.uuid), txg: state.txg };
    const writer = new NodeWriter(this.#planned, free, image);
    const next = yield* this.#change(view, writer);
    session.take(writer.written * BLOCK_SIZE);
    return next;
  }

  /** Mends what can be, before anything is connected anew, before names are counted. */
  *#change(view: View, writer: NodeWriter): Answer<VolumeState | undefined> {
    const { session, root, report, checker, table } = view;
    const { state } = root.superblock;
    const none = new Map<string, RealmRoots>();
    if (report.issues.some(isMended)) {
      const metaRoot = yield* this.#mend(view, writer, none);
      if (differs(metaRoot, state.metaRoot)) return { ...state, metaRoot };
    }
    const faults = checker.realmFaults;
    const connected = yield* this.#connect(view, writer);
    if (connected !== undefined) return connected;
    if (faults.length === 0 || !isSure(view)) return undefined;
    const links = new LinkRepair(session, table, writer, this.#notes);
    const metaRoot = yield* this.#mend(view, writer, yield* links.plan(faults));
    if (differs(metaRoot, state.metaRoot)) return { ...state, metaRoot };
    return undefined;
  }

  /** Connects what has no place; then, since that may bring names along, what has no name. */
  *#connect(view: View, writer: NodeWriter): Answer<VolumeState | undefined> {
    const { session, root, checker } = view;
    const found = new LostFound({ session, root, writer, notes: this.#notes });
    const manner = MANNERS[this.#manner] as Manner;
    while (this.#unclaimed.length > 0) {
      const unclaimed = this.#unclaimed.slice(0, this.#batch);
      this.#unclaimed = this.#unclaimed.slice(this.#batch);
      const state = yield* found.connect({ unclaimed, unnamed: [], manner });
      this.#connecting = state !== undefined;
      if (state !== undefined) return state;
    }
    if (!isSure(view)) return undefined;
    const unnamed = checker.realmFaults.flatMap((fault) => fault.unnamed);
    return yield* found.connect({ unclaimed: [], unnamed, manner: 'part' });
  }

  /** What was connected does not go with what is there: in another manner, or less, or not. */
  #otherwise(): void {
    this.#manner++;
    if (this.#manner < MANNERS.length) return;
    this.#manner = 0;
    const [first] = this.#unclaimed;
    const size = Math.min(this.#batch, this.#unclaimed.length);
    if (size > 1 || first === undefined) {
      this.#batch = Math.ceil(size / 2);
      return;
    }
    this.#unclaimed = this.#unclaimed.slice(1);
    const { inode } = first.name;
    this.#notes.add(`leave out a node of directory ${inode}, which contradicts what is there`);
  }

  *#mend(
    view: View,
    writer: NodeWriter,
    realms: ReadonlyMap<string, RealmRoots>,
  ): Answer<Uint32Array> {
    const { session, root, table, report } = view;
    const maps = report.issues.some(
      (issue) => SLOTS.has(issue.code) || ('what' in issue && issue.what.startsWith('map node')),
    );
    const survey = new Survey(session, root, table, maps);
    yield* survey.walk();
    const attached = attach(this.#unclaimed, survey.lost);
    this.#unclaimed = this.#unclaimed.filter(({ spare }) => spare !== 0);
    const emptyQueue = survey.queueLost || report.found.has('queue-item');
    const others = { survey, writer, attached, realms, maps, emptyQueue, notes: this.#notes };
    return yield* new Mend({ session, root, table, ...others }).walk();
  }

  #raiseNumbers({ root, report }: View): VolumeState | undefined {
    const { state } = root.superblock;
    let { nextInode, nextRealm } = state;
    for (const issue of report.issues) {
      if (issue.code !== 'next-number') continue;
      if (issue.which === 'inode') nextInode = issue.found + 1;
      else nextRealm = issue.found + 1;
      this.#notes.add(`let the next new ${issue.which} have number ${issue.found + 1}`);
    }
    if (nextInode === state.nextInode && nextRealm === state.nextRealm) return undefined;
    return { ...state, nextInode, nextRealm };
  }
}
