/**
 * Check: is an image what docs/FORMAT.md says a correct one is?
 *
 * Five phases, each with a file of its own: which root a mount would take (roots.ts), every block
 * that can be reached from it, once (graph.ts), directories and link tables as a reader sees them
 * (names.ts), the stored counts against the found ones (counts.ts), and what a mount would do again
 * (log.ts). Nothing is written, and nothing is asked of the code that makes images: what both rooms
 * use is the format alone.
 *
 * Whatever the bytes are, a check ends, throws nothing, and stays within its memory.
 */
import { assert, DeviceError } from '../base/index.ts';
import { type Device, run, type Steps } from '../device/index.ts';
import { BlockTable } from './block-table.ts';
import { CountCheck } from './counts.ts';
import { Graph } from './graph.ts';
import { LogCheck } from './log.ts';
import { NameCheck } from './names.ts';
import type { RealmFault } from './realms.ts';
import type { CheckReport } from './report.ts';
import { type Place, type Root, RootFinder } from './roots.ts';
import { type CheckOptions, OutOfMemory, Session } from './session.ts';

/**
 * Checks the image on a device that nobody writes to meanwhile.
 *
 * What is wrong with the image is in the report, and so is a device that fails to read.
 *
 * @throws the signal's reason if it is aborted, or what `progress` throws
 * @example Say what is wrong
 * ```ts
 * const device = FileDevice.open('work.img', { readOnly: true });
 * const report = await check(device);
 * for (const issue of report.issues) console.log(issue.severity, describeIssue(issue));
 * process.exitCode = exitStatus(report);
 * device.close();
 * ```
 */
export async function check(device: Device, options: CheckOptions = {}): Promise<CheckReport> {
  const session = new Session(device, options);
  const checker = new Checker(session);
  await run(checker.steps());
  return checker.report();
}

/**
 * The same in one turn. `pause` is not used.
 *
 * @throws {DeviceError} `ENOTSUP` if the device is not `sync`
 */
export function checkSync(device: Device, options: Omit<CheckOptions, 'pause'> = {}): CheckReport {
  checkTurn(device, 'check in this turn', 'check()');
  const { pause: _, ...others }: CheckOptions = options;
  const checker = new Checker(new Session(device, others));
  runTurn(device, checker.steps());
  return checker.report();
}

/** @throws {DeviceError} `ENOTSUP` if a device cannot do something in one turn */
export function checkTurn(device: Device, operation: string, instead: string): void {
  if (device.sync) return;
  const finding = `device ${device.name} is asynchronous, use ${instead}`;
  throw new DeviceError('ENOTSUP', { operation, position: 0, length: 0, finding });
}

/** Does steps in one turn. */
export function runTurn(device: Device, steps: Steps): void {
  const wait = run(steps);
  assert(wait === undefined, () => `device ${device.name} declares sync and makes us wait`);
}

/** The phases of a check, one after the other. */
export class Checker {
  /** The root that a mount would take. */
  root: Root | undefined;
  /** What the walk has found of every block; undefined if there is no root. */
  table: BlockTable | undefined;
  /** Blocks that unwritten slots promise. */
  promised = 0;
  /** What is wrong with linked files, realm by realm. */
  realmFaults: readonly RealmFault[] = [];
  /** The places of superblocks, as they were found. */
  places: readonly Place[] = [];
  readonly #session: Session;
  readonly #started: number;

  constructor(session: Session) {
    this.#session = session;
    this.#started = session.now();
  }

  *steps(): Steps {
    try {
      yield* this.#phases();
    } catch (error) {
      if (!(error instanceof OutOfMemory)) throw error;
      this.#session.issues.add('memory', { limit: error.limit });
    }
  }

  report(): CheckReport {
    const { issues, statistics } = this.#session;
    statistics.seconds = (this.#session.now() - this.#started) / 1000;
    return {
      verdict: issues.verdict,
      issues: issues.issues,
      found: issues.found,
      superblock: this.root?.superblock,
      statistics,
    };
  }

  *#phases(): Steps {
    const session = this.#session;
    yield* session.turn('roots', 0, 1);
    const finder = new RootFinder(session);
    yield* finder.find();
    this.root = finder.root;
    this.places = finder.places;
    if (this.root === undefined) return;
    const { superblock } = this.root;
    const table = new BlockTable(session, superblock.geometry);
    this.table = table;
    const graph = new Graph(session, superblock, table);
    yield* graph.walk();
    this.promised = graph.promised;
    const names = new NameCheck(session, superblock, table);
    yield* names.walk();
    this.realmFaults = names.realmFaults;
    yield* new CountCheck(session, this.root, table).compare();
    yield* new LogCheck(session, superblock, table).read();
  }
}
