/**
 * Repair: what an image says about itself is made to agree with what is in it.
 *
 * Only what follows from the rest is written: counts and sums, which the walk of a check has found;
 * second copies of nodes, of the index and of superblocks, from the copy that is whole. No node, no
 * record and no data that somebody could still read is changed. What can only be guessed is left.
 *
 * New counts and a new index go to the places that the root does not use; then the superblock that
 * names them takes the place of the one there is, one copy after the other, with a flush between.
 * So a power cut leaves the volume as it was or as it is to be, and what the log has is replayed as
 * before: its txg stays. Older roots are not kept whole.
 */
import { BLOCK_SIZE, type Block, checksum32, checksum64 } from '../base/index.ts';
import { type Device, run, type Steps } from '../device/index.ts';
import {
  type CountWidth,
  countLimit,
  countSlotStart,
  countTableSize,
  encodeSuperblock,
  getCount,
  groupLength,
  hasSaneState,
  imageSeed,
  indexPlace,
  isFixedBlock,
  NARROWEST,
  readGroupEntry,
  setCount,
  superblockPlace,
  type VolumeState,
  WIDEST,
  writeGroupEntry,
} from '../format/index.ts';
import { type BlockTable, Use } from './block-table.ts';
import type { IssueCode } from './catalogue.ts';
import { Checker, checkTurn, runTurn } from './check.ts';
import type { CheckReport } from './report.ts';
import { newestOf, type Place, type Root } from './roots.ts';
import { type CheckOptions, Session } from './session.ts';

export interface RepairOptions extends Omit<CheckOptions, 'issues'> {
  /** Find out what would be done, and write nothing. Default false. */
  readonly dryRun?: boolean;
}

export interface RepairReport {
  /** What a check found before. */
  readonly before: CheckReport;
  /** What was done, or would be, in words; nothing if there was nothing to do. */
  readonly done: readonly string[];
  /** What a check finds now; with `dryRun` the same as before. */
  readonly after: CheckReport;
}

/** What the counts and the sums of a volume can be wrong in. */
const COUNTS: readonly IssueCode[] = [
  'count-low',
  'count-high',
  'leak',
  'free-count',
  'free-total',
  'counts-damaged',
  'index-entry',
  'promise-total',
];

/**
 * Repairs the image on a device that nobody else uses, as far as that can be done without guessing.
 * Durable when it ends.
 *
 * @throws {DeviceError} if the device cannot be written; the image is as it was, or repaired in
 *   part
 */
export async function repair(device: Device, options: RepairOptions = {}): Promise<RepairReport> {
  const repairer = new Repairer(device, options);
  await run(repairer.steps());
  return repairer.report();
}

/** The same in one turn. @throws {DeviceError} `ENOTSUP` if the device is not `sync` */
export function repairSync(device: Device, options: RepairOptions = {}): RepairReport {
  checkTurn(device, 'repair', 'repair()');
  const { pause: _, ...others } = options;
  const repairer = new Repairer(device, others);
  runTurn(device, repairer.steps());
  return repairer.report();
}

class Repairer {
  readonly #device: Device;
  readonly #options: RepairOptions;
  readonly #done: string[] = [];
  #before!: CheckReport;
  #after!: CheckReport;

  constructor(device: Device, options: RepairOptions) {
    this.#device = device;
    this.#options = options;
  }

  report(): RepairReport {
    return { before: this.#before, done: this.#done, after: this.#after };
  }

  *steps(): Steps {
    const { dryRun, ...options } = this.#options;
    const session = new Session(this.#device, { ...options, issues: Number.MAX_SAFE_INTEGER });
    const checker = new Checker(session);
    yield* checker.steps();
    this.#before = checker.report();
    this.#after = this.#before;
    const { root, table } = checker;
    if (root === undefined || table === undefined || this.#before.verdict === 'fatal') return;
    const writes = new Writes(session, root, table, checker.promised);
    if (this.#has(['copy-damaged'])) yield* writes.copies(this.#before);
    const copy = this.#has(['index-copy']);
    if (copy || this.#has(COUNTS)) yield* writes.volume(copy);
    if (this.#has(['superblock-damaged', 'superblock-stale'])) writes.superblocks(checker.places);
    this.#done.push(...writes.done);
    if (writes.done.length === 0 || dryRun === true) return;
    yield* writes.write(this.#device);
    const again = new Checker(new Session(this.#device, options));
    yield* again.steps();
    this.#after = again.report();
  }

  #has(codes: readonly IssueCode[]): boolean {
    return codes.some((code) => this.#before.found.has(code));
  }
}

interface Write {
  readonly block: number;
  readonly bytes: Uint8Array;
}

/** What is to be written. Nothing is, before all of it is known. */
class Writes {
  readonly done: string[] = [];
  readonly #session: Session;
  readonly #root: Root;
  readonly #table: BlockTable;
  readonly #promised: number;
  readonly #seed: bigint;
  /** In any order; then these, one after the other, each durable before the next. */
  readonly #any: Write[] = [];
  readonly #last: Write[] = [];

  constructor(session: Session, root: Root, table: BlockTable, promised: number) {
    this.#session = session;
    this.#root = root;
    this.#table = table;
    this.#promised = promised;
    this.#seed = imageSeed(root.superblock.uuid);
  }

  /** Nodes of which one copy is whole: the other becomes the same. */
  *copies({ issues }: CheckReport): Steps {
    let count = 0;
    const blocksOf = (code: IssueCode): number[] =>
      issues
        .filter((issue) => issue.code === code)
        .map((issue) => (issue as unknown as { block: number }).block);
    // Where a block is used for something else too, one of both is not what it seems to be.
    const disputed = new Set(blocksOf('role-conflict'));
    for (const block of blocksOf('copy-damaged')) {
      for (const good of [block - 1, block + 1]) {
        const bytes = yield* this.#session.readRun(good, 1);
        const first = Math.min(good, block);
        if (bytes instanceof Error || this.#table.count(first) === 0) continue;
        // What lies before a node may be something else, and as whole as can be.
        if (this.#table.use(first + 1) !== Use.COPY) continue;
        if (disputed.has(first) || disputed.has(first + 1)) continue;
        if (checksum32(bytes, this.#seed) !== this.#table.checksum(first)) continue;
        this.#any.push({ block, bytes });
        count++;
        break;
      }
    }
    if (count > 0) this.done.push(`write ${count} second copies of nodes again`);
  }

  /** Places of the ring of which one copy is whole and the other is not, or is older. */
  superblocks(places: readonly Place[]): void {
    let count = 0;
    for (const { block, ring, superblock, empty } of places) {
      if (ring === this.#root.ring && this.#last.length > 0) continue;
      // Of another geometry: what this root has there is something else.
      if (!this.#isPlace(block, ring)) continue;
      const best = newestOf(places.filter((place) => place.ring === ring && this.#isOurs(place)));
      if (superblock !== undefined && superblock.state.txg === best?.state.txg) continue;
      // Of neither copy anything is left to be read.
      if (best === undefined && empty) continue;
      const bytes = best === undefined ? new Uint8Array(BLOCK_SIZE) : encodeSuperblock(best);
      this.#any.push({ block, bytes });
      count++;
    }
    if (count > 0) this.done.push(`write ${count} copies of superblocks again`);
  }

  #isPlace(block: number, ring: number): boolean {
    const { blockCount } = this.#root.superblock.geometry;
    return ([0, 1] as const).some((copy) => superblockPlace(blockCount, ring, copy) === block);
  }

  #isOurs({ superblock }: Place): boolean {
    return superblock !== undefined && imageSeed(superblock.uuid) === this.#seed;
  }

  /** Counts, index and superblock, as they follow from what was found; or the same, `anyway`. */
  *volume(anyway: boolean): Steps {
    const { superblock } = this.#root;
    const { geometry } = superblock;
    const index = this.#root.index.slice();
    let groups = 0;
    let free = 0;
    for (let group = 0; group < geometry.groupCount; group++) {
      if (yield* this.#count(group, index)) groups++;
      free += readGroupEntry(index, group).free;
    }
    const bytes = new Uint8Array(index.slice().buffer);
    const place = superblock.state.indexPlace === 0 ? 1 : 0;
    const state: VolumeState = {
      ...superblock.state,
      indexPlace: place,
      indexChecksum: checksum64(bytes, this.#seed),
      freeBlocks: free,
      // More than there is cannot have been promised: no mount would take that for sane.
      reservedBlocks: this.#promised <= free ? this.#promised : superblock.state.reservedBlocks,
    };
    const { freeBlocks, reservedBlocks } = superblock.state;
    const sums = free !== freeBlocks || state.reservedBlocks !== reservedBlocks;
    if (!anyway && groups === 0 && !sums) return;
    if (!hasSaneState({ ...superblock, state })) return;
    if (groups > 0) this.done.push(`write the counts of ${groups} groups anew`);
    for (const copy of [0, 1] as const) {
      this.#any.push({ block: indexPlace(geometry, place, copy), bytes });
    }
    const block = encodeSuperblock({ ...superblock, state });
    for (const copy of [0, 1] as const) {
      const at = superblockPlace(geometry.blockCount, this.#root.ring, copy);
      this.#last.push({ block: at, bytes: block });
    }
    this.done.push('write the index and both copies of the superblock anew');
  }

  /** The counts of a group, if they differ from what is stored. True if they do. */
  *#count(group: number, index: Uint32Array): Generator<undefined | Promise<void>, boolean, void> {
    const { geometry, state } = this.#root.superblock;
    const entry = readGroupEntry(index, group);
    const stored = yield* this.#stored(group);
    const length = groupLength(geometry, group);
    const start = group * geometry.groupBlocks;
    const counts = Array.from({ length }, (_, i) => {
      const fixed = isFixedBlock(geometry, (start + i) as Block) ? 1 : 0;
      const found = this.#table.count(start + i) + fixed;
      // Where not everything could be followed, what seems unused may be in use.
      return this.#session.incomplete ? Math.max(found, stored?.[i] ?? 1) : found;
    });
    const same = stored?.every((count, i) => count === counts[i]) === true;
    const free = counts.filter((count) => count === 0).length;
    if (same && free === entry.free) return false;
    let width: CountWidth = NARROWEST;
    const most = counts.reduce((a, b) => Math.max(a, b), 0);
    while (width < WIDEST && countLimit(width) < most) width++;
    const size = countTableSize(length, width);
    const bytes = new Uint8Array(Math.ceil(size / BLOCK_SIZE) * BLOCK_SIZE);
    counts.forEach((count, i) => {
      setCount(bytes, width, i, Math.min(count, countLimit(width)));
    });
    const current = entry.current === 0 ? 1 : 0;
    const checksum = checksum32(bytes, this.#seed);
    writeGroupEntry(index, group, { checksum, free, width, current, txg: state.txg });
    this.#any.push({ block: countSlotStart(geometry, group, current), bytes });
    return true;
  }

  /** What a group's counts are on the device; undefined if they cannot be used. */
  *#stored(group: number): Generator<undefined | Promise<void>, number[] | undefined, void> {
    const { geometry } = this.#root.superblock;
    const { txg, width, current, checksum } = readGroupEntry(this.#root.index, group);
    const length = groupLength(geometry, group);
    if (txg === 0) {
      const start = group * geometry.groupBlocks;
      return Array.from({ length }, (_, i) => Number(isFixedBlock(geometry, (start + i) as Block)));
    }
    const sane = width >= NARROWEST && width <= geometry.countCap && current <= 1;
    if (!sane) return undefined;
    const size = countTableSize(length, width as CountWidth);
    const first = countSlotStart(geometry, group, current as 0 | 1);
    const bytes = yield* this.#session.readRun(first, Math.ceil(size / BLOCK_SIZE));
    if (bytes instanceof Error || checksum32(bytes, this.#seed) !== checksum) return undefined;
    return Array.from({ length }, (_, i) => getCount(bytes, width as CountWidth, i));
  }

  *write(device: Device): Steps {
    for (const { block, bytes } of this.#any) yield device.write(block * BLOCK_SIZE, bytes);
    yield device.flush();
    for (const { block, bytes } of this.#last) {
      yield device.write(block * BLOCK_SIZE, bytes);
      yield device.flush();
    }
  }
}
