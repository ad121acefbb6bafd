/**
 * Repair: what an image says about itself is made to agree with what is in it.
 *
 * What follows from the rest is written: nodes and records that agree with what hangs from them,
 * counts and sums, second copies from the copy that is whole. Nothing that somebody could read is
 * lost; what can only be guessed is connected under lost+found, or left. First comes structure,
 * then counts, which a walk over what was planned has found, then copies. All of it is planned
 * before anything is written.
 *
 * New nodes go to blocks that nothing uses, new counts and a new index to the places that the root
 * does not use; then the superblock that names them takes the place of the one there is, one copy
 * after the other, with a flush between. So a power cut leaves the volume as it was or as it is to
 * be, and what the log has is replayed as before: its txg stays. Older roots are not kept whole.
 */
import { type Device, run, type Steps } from '../device/index.ts';
import type { IssueCode } from './catalogue.ts';
import { Checker, checkTurn, runTurn } from './check.ts';
import { Notes } from './notes.ts';
import { PlannedDevice } from './planned.ts';
import { planCopies, planSuperblocks } from './repair-copies.ts';
import { CountRepair } from './repair-counts.ts';
import { look, needsMending, refusal, StructureRepair, type View } from './repair-structure.ts';
import type { CheckReport } from './report.ts';
import { type Answer, type CheckOptions, Session } from './session.ts';

export interface RepairOptions extends Omit<CheckOptions, 'issues'> {
  /** Find out what would be done, and write nothing. Default false. */
  readonly dryRun?: boolean;
}

export interface RepairReport {
  /** What a check found before. */
  readonly before: CheckReport;
  /** What was done, or would be, in words; nothing if there was nothing to do. */
  readonly done: readonly string[];
  /** What was not done that could have been, and why. */
  readonly left: readonly string[];
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
  readonly #left: string[] = [];
  #before!: CheckReport;
  #after!: CheckReport;

  constructor(device: Device, options: RepairOptions) {
    this.#device = device;
    this.#options = options;
  }

  report(): RepairReport {
    return { before: this.#before, done: this.#done, left: this.#left, after: this.#after };
  }

  *steps(): Steps {
    const { dryRun, ...options } = this.#options;
    const planned = new PlannedDevice(this.#device);
    const first = yield* look(planned, options);
    this.#before = 'root' in first ? first.report : first;
    this.#after = this.#before;
    if (!('root' in first)) return;
    if (this.#before.found.has('unknown-feature')) {
      this.#left.push('the volume has features that this version must not write');
      return;
    }
    const view = yield* this.#structure(planned, first);
    yield* this.#others(planned, view);
    if (this.#done.length === 0 || dryRun === true) return;
    yield* planned.write();
    const again = new Checker(new Session(this.#device, options));
    yield* again.steps();
    this.#after = again.report();
  }

  /** Nodes and records. Returns what there is to work with then. */
  *#structure(planned: PlannedDevice, first: View): Answer<View> {
    if (!needsMending(first.report)) return first;
    const notes = new Notes();
    const refused = refusal(first.report);
    const { dryRun: _, ...options } = this.#options;
    const plan = refused ?? (yield* new StructureRepair(planned, options, notes).plan(first));
    if (typeof plan === 'string') {
      planned.clear();
      this.#left.push(`nodes and records are left as they are: ${plan}`);
      return first;
    }
    this.#done.push(...notes.lines());
    return plan;
  }

  /** Counts and copies. */
  *#others(planned: PlannedDevice, view: View): Answer<void> {
    const { session, checker, root, table, report } = view;
    const has = (codes: readonly IssueCode[]): boolean =>
      codes.some((code) => report.found.has(code));
    if (has(['copy-damaged'])) this.#done.push(...(yield* planCopies(planned, view)));
    const copy = has(['index-copy']);
    if (copy || has(COUNTS)) {
      const counts = new CountRepair(session, planned, root, table);
      this.#done.push(...(yield* counts.plan(checker.promised, copy)));
    }
    if (has(['superblock-damaged', 'superblock-stale'])) {
      this.#done.push(...planSuperblocks(planned, root, checker.places));
    }
  }
}
