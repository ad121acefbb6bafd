/**
 * Online scrub: everything that a volume has on its device, read again and verified, while the
 * volume is in use; and what has a second copy that is whole, made whole again.
 *
 *   walk    from the newest root every node is read and verified, and tells the checksum of every
 *           block that it names. The host keeps these blocks what they are meanwhile: a *pin*
 *   data    blocks of data, and second copies, are read in the order in which they lie on the
 *           device. Nothing is pinned, so what differs may have been freed and written since:
 *           it is *suspected*
 *   again   if anything is suspected, a walk from the root of that time decides, under its pin
 *
 * Only under a pin is anything called wrong, or written. A block that is written again is one that
 * a durable root names, and gets the bytes that the root promises: a power cut leaves the copy
 * damaged, as it was, or whole.
 */
import { BLOCK_SIZE, checksum32, FilesystemError } from '../base/index.ts';
import type { Device, Steps } from '../device/index.ts';
import { imageSeed } from '../format/index.ts';
import { ROUND_MIN } from './block-reader.ts';
import { BlockTable } from './block-table.ts';
import type { Issue, IssueCode } from './catalogue.ts';
import { fixedPlaces } from './fixed-places.ts';
import { Graph } from './graph.ts';
import { otherCopy } from './repair-copies.ts';
import type { Root } from './roots.ts';
import { type BlockSink, Scrub } from './scrub.ts';
import { type Answer, OutOfMemory, Session } from './session.ts';

/** What a scrub asks of the volume that is in use. */
export interface ScrubHost {
  readonly device: Device;
  /** Whether second copies are written again. */
  readonly repair: boolean;
  /** From now on every block that the newest root names keeps its content. */
  pin(): void;
  /** True if the pin is still there: it goes when space runs out. */
  isPinned(): boolean;
  /** Until {@link ScrubHost.relax} the pin stays, if it is still there. */
  hold(): boolean;
  relax(): void;
  unpin(): void;
  /** Changes with each commit that writes to a fixed place; undefined while one does. */
  readonly commits: () => number | undefined;
  /** Commits until everything at a fixed place was written anew, counts of these groups too. */
  renew(groups: readonly number[]): Promise<void>;
  /** A flush has failed: what was written before is not known to be durable. */
  failed(error: Error): void;
  /** Called after every few hundred KiB; `bytes` were read since the last time. */
  rest(bytes: number): Promise<void>;
}

export interface ScrubProgress {
  /** `walk`: the trees are read. `data`: the rest, in the order of addresses. */
  readonly phase: 'walk' | 'data';
  /** Byte address on the device before which everything has been verified. */
  readonly position: number;
  /** Bytes of data and second copies that are verified, and about how many there are. */
  readonly done: number;
  readonly total: number;
}

export interface ScrubRequest {
  /** Byte address on the device to go on from; nodes before it are read again. Default 0. */
  readonly from?: number | undefined;
  /** Bytes the scrub may take: 8 for each block of a group that is in use. Default 1 GiB. */
  readonly memory?: number | undefined;
  /** What it throws ends the scrub. */
  readonly progress?: ((progress: ScrubProgress) => void) | undefined;
}

export interface ScrubReport {
  /** What is wrong and could not be put right; of each code at most 10,000. */
  readonly issues: readonly Issue[];
  /** What was wrong and is right again, durably. */
  readonly repaired: readonly Issue[];
  /** Bytes that were read and verified. */
  readonly verified: number;
}

const ISSUES = 10_000;
/** Suspected blocks after which it is time to decide. */
const SUSPECTS_MAX = 65_536;
/** Walks in a row that lose their pin before the scrub gives up. */
const WALKS_MAX = 16;

/**
 * Scrubs the volume of `host`.
 *
 * @throws {FilesystemError} `ENOMEM` if `memory` is too little, `EBUSY` if the volume is so full
 *   and so busy that no walk comes to its end, and what `rest`, `renew` or `progress` throw
 */
export class OnlineScrub {
  readonly #host: ScrubHost;
  readonly #request: ScrubRequest;
  /** By what they are about, so that a second walk does not tell them twice. */
  readonly #issues = new Map<string, Issue>();
  readonly #repaired = new Map<string, Issue>();
  readonly #suspects = new Set<number>();
  #position: number;
  #verified = 0;
  #done = 0;
  #total = 0;

  constructor(host: ScrubHost, request: ScrubRequest = {}) {
    this.#host = host;
    this.#request = request;
    this.#position = Math.floor((request.from ?? 0) / BLOCK_SIZE);
  }

  report(): ScrubReport {
    const [issues, repaired] = [this.#issues, this.#repaired].map((map) => [...map.values()]);
    return { issues: issues as Issue[], repaired: repaired as Issue[], verified: this.#verified };
  }

  *steps(): Steps {
    try {
      for (let again = true; again; ) {
        const walked = yield* this.#walk();
        if (walked === undefined) return;
        this.#suspects.clear();
        again = yield* this.#data(walked);
      }
    } catch (error) {
      if (!(error instanceof OutOfMemory)) throw error;
      const finding = `more than the ${error.limit} bytes of memory it was given are needed`;
      throw new FilesystemError('ENOMEM', `Cannot scrub: ${finding}`);
    }
  }

  /** A walk that kept its pin. Undefined if there is nothing that could be walked. */
  *#walk(): Answer<Walked | undefined> {
    const host = this.#host;
    for (let tries = 0; tries < WALKS_MAX; tries++) {
      const session = this.#session();
      host.pin();
      try {
        const walked = yield* this.#walkPinned(session);
        if (!host.isPinned()) continue;
        yield* this.#conclude(session, walked);
        return walked;
      } finally {
        host.unpin();
        this.#verified += session.statistics.verified;
      }
    }
    throw new FilesystemError(
      'EBUSY',
      `Cannot scrub: space ran out during ${WALKS_MAX} walks, each of which keeps what was freed`,
    );
  }

  *#walkPinned(session: Session): Answer<Walked | undefined> {
    const root = yield* fixedPlaces(session, this.#host.commits);
    if (root === undefined) return undefined;
    const { superblock } = root;
    const table = new BlockTable(session, superblock.geometry);
    const sink = new SuspectSink(session, superblock.geometry.blockCount, root, this.#suspects);
    yield* new Graph(session, superblock, table, sink).walk();
    const { data, copies } = session.statistics.blocks;
    this.#total = (data + copies) * BLOCK_SIZE;
    return { root, table, session, seed: imageSeed(superblock.uuid) };
  }

  /** What the walk has found is true: it is put right where it can be, and told. */
  *#conclude(session: Session, walked: Walked | undefined): Steps {
    const { issues } = session.issues;
    for (const issue of issues) {
      this.#issues.set(subject(issue), issue);
      this.#repaired.delete(subject(issue));
    }
    if (!this.#host.repair || walked === undefined || issues.length === 0) return;
    const repaired: Issue[] = [];
    for (const issue of issues) {
      if (issue.code === 'copy-damaged' && (yield* this.#copyHeld(blockOf(issue), walked))) {
        repaired.push(issue);
      }
    }
    if (repaired.length > 0 && !(yield* this.#flush())) return;
    repaired.push(...(yield* this.#renew(session, walked)));
    for (const issue of repaired) {
      this.#issues.delete(subject(issue));
      this.#repaired.set(subject(issue), issue);
    }
  }

  /** The same under a pin that stays: without it the block may be somebody else's by now. */
  *#copyHeld(block: number, walked: Walked): Answer<boolean> {
    if (!this.#host.hold()) return false;
    try {
      return yield* this.#copyAgain(block, walked);
    } finally {
      this.#host.relax();
    }
  }

  /** Writes one copy of a node again, from the other one. True if it is as promised then. */
  *#copyAgain(block: number, { table, session, seed }: Walked): Answer<boolean> {
    // A block that is used for something else too is not what it seems to be.
    if (session.issues.found.has('role-conflict')) return false;
    const good = yield* otherCopy(session, table, block, seed);
    if (good === undefined) return false;
    try {
      yield this.#host.device.write(block * BLOCK_SIZE, good);
    } catch {
      return false;
    }
    const written = yield* session.readRun(block, 1);
    return written instanceof Uint8Array && checksum32(written, seed) === checksum32(good, seed);
  }

  *#flush(): Answer<boolean> {
    try {
      yield this.#host.device.flush();
      return true;
    } catch (error) {
      this.#host.failed(error as Error);
      return false;
    }
  }

  /** Has damaged places written by commits. Answers those that are whole then. */
  *#renew(session: Session, { root }: Walked): Answer<Issue[]> {
    const damaged = session.issues.issues.filter(({ code }) => RENEWED.has(code));
    if (damaged.length === 0) return [];
    const groups = damaged.flatMap((issue) => ('group' in issue ? [issue.group] : []));
    yield this.#host.renew(groups);
    const again = this.#session();
    const found = yield* fixedPlaces(again, this.#host.commits);
    if (found === undefined || found.superblock.state.txg <= root.superblock.state.txg) return [];
    const left = new Set(again.issues.issues.map(subject));
    return damaged.filter((issue) => !left.has(subject(issue)));
  }

  /** Reads the blocks that the walk has named, from the position on. True: a walk has to decide. */
  *#data({ table, session, seed }: Walked): Answer<boolean> {
    const { reader } = session;
    this.#progress('data');
    for (;;) {
      const blocks = table.following(this.#position, ROUND_MIN);
      if (blocks.length === 0 || this.#suspects.size >= SUSPECTS_MAX) break;
      yield* reader.read(blocks);
      blocks.forEach((block, i) => {
        const bytes = reader.bytes.subarray(reader.at(i), reader.at(i) + BLOCK_SIZE);
        const good =
          reader.error(i) === undefined && checksum32(bytes, seed) === table.checksum(block);
        if (!good) this.#suspects.add(block);
      });
      this.#position = (blocks.at(-1) as number) + 1;
      const bytes = blocks.length * BLOCK_SIZE;
      this.#verified += bytes;
      this.#done += bytes;
      this.#progress('data');
      yield this.#host.rest(bytes);
    }
    return this.#suspects.size > 0;
  }

  #session(): Session {
    const { memory } = this.#request;
    let before = 0;
    const session: Session = new Session(this.#host.device, {
      ...(memory === undefined ? {} : { memory }),
      issues: ISSUES,
      pause: () => {
        this.#progress('walk');
        const bytes = session.statistics.verified - before;
        before = session.statistics.verified;
        return this.#host.rest(bytes);
      },
    });
    return session;
  }

  #progress(phase: 'walk' | 'data'): void {
    const position = this.#position * BLOCK_SIZE;
    this.#request.progress?.({ phase, position, done: this.#done, total: this.#total });
  }
}

/** What a walk has come to. */
interface Walked {
  readonly root: Root;
  readonly table: BlockTable;
  readonly session: Session;
  readonly seed: bigint;
}

/** What commits write anew. */
const RENEWED: ReadonlySet<IssueCode> = new Set([
  'superblock-damaged',
  'superblock-stale',
  'root-damaged',
  'index-copy',
  'counts-damaged',
]);

/** Of all that a walk names it verifies what is suspected; the rest has its turn later. */
class SuspectSink implements BlockSink {
  readonly #scrub: Scrub;
  readonly #suspects: ReadonlySet<number>;

  constructor(
    session: Session,
    blockCount: number,
    { superblock }: Root,
    suspects: ReadonlySet<number>,
  ) {
    this.#scrub = new Scrub(session, imageSeed(superblock.uuid), blockCount);
    this.#suspects = suspects;
  }

  get isFull(): boolean {
    return this.#scrub.isFull;
  }

  add(block: number, checksum: number, inode: number, use: number): void {
    if (this.#suspects.has(block)) this.#scrub.add(block, checksum, inode, use);
  }

  flush(turn: () => Steps): Steps {
    return this.#scrub.flush(turn);
  }
}

function subject(issue: Issue): string {
  return `${issue.code} ${'block' in issue ? issue.block : 'group' in issue ? issue.group : ''}`;
}

function blockOf(issue: Issue): number {
  return (issue as unknown as { block: number }).block;
}
