/**
 * Look: operations that change nothing.
 */
import {
  BLOCK_SIZE,
  FilesystemError,
  NO_FRAME,
  type Plan,
  PlannedOperation,
} from '../base/index.ts';
import { InodeKind, slotHasBlock } from '../format/index.ts';
import { DATA_BLOCK } from '../tree/index.ts';
import { checkName, type DirectoryEntry } from './directories.ts';
import type { Engine } from './engine.ts';
import { noEntry } from './mutate.ts';
import { linkedNumber, type Vnode } from './vnode.ts';

/** An operation that only reads: what it was given to see is looked up and answered in one turn. */
export class Look<Result> extends PlannedOperation<Result> {
  readonly #engine: Engine;
  readonly #see: (plan: Plan) => Result | undefined;
  #found: Result | undefined;

  /** `see` answers, or returns undefined after it told the plan what is missing. */
  constructor(engine: Engine, see: (plan: Plan) => Result | undefined) {
    super();
    this.#engine = engine;
    this.#see = see;
  }

  protected override prepare(plan: Plan): void {
    this.#found = this.#see(plan);
  }

  protected override apply(): boolean {
    return this.finish(this.#found as Result);
  }

  protected override release(): void {
    if (this.plan.pinned.length > 0) this.#engine.store.blocks.unpin(this.plan);
  }
}

/** The vnode of a name, held for the caller. @throws {FilesystemError} `ENOENT`, `ENOTDIR` */
export function lookup(engine: Engine, directory: Vnode, name: string): Look<Vnode> {
  return new Look(engine, (plan) => {
    const vnode = find(engine, directory, name, plan);
    if (vnode === null) throw noEntry(name);
    return vnode;
  });
}

/**
 * The inode that a `bind` names, held for the caller: by its name, or under the root of its realm
 * by `/` and its number.
 * @throws {FilesystemError} `ENOENT`, `ENOTDIR`
 */
export function lookupBound(engine: Engine, directory: Vnode, name: string): Look<Vnode> {
  const ino = linkedNumber(name);
  if (ino === undefined) return lookup(engine, directory, name);
  return new Look(engine, (plan) => {
    const vnode = engine.inodes.findLinked(directory, ino, plan);
    if (vnode === null) throw noEntry(name);
    if (vnode !== undefined) vnode.holds++;
    return vnode;
  });
}

/**
 * {@link lookup} where a name that is not there is no error: null. Making an error is what an
 * absent name would cost most, and every name that is made was absent.
 */
export function peek(engine: Engine, directory: Vnode, name: string): Look<Vnode | null> {
  return new Look(engine, (plan) => find(engine, directory, name, plan));
}

/**
 * The same in this turn, without an operation, if everything it takes is in memory: most lookups
 * are like that. Undefined if it is not; then {@link lookup} or {@link peek} does it.
 */
export function glance(engine: Engine, directory: Vnode, name: string): Vnode | null | undefined {
  const { glancePlan: plan } = engine;
  plan.restart();
  try {
    const found = find(engine, directory, name, plan);
    return plan.ready ? found : undefined;
  } finally {
    if (plan.pinned.length > 0) engine.store.blocks.unpin(plan);
  }
}

/** Null: there is no such name. Undefined: the plan was told what is missing. */
function find(
  engine: Engine,
  directory: Vnode,
  name: string,
  plan: Plan,
): Vnode | null | undefined {
  const vnode = findUnheld(engine, directory, name, plan);
  if (vnode !== undefined && vnode !== null) {
    vnode.holds++;
    engine.table.trim();
  }
  return vnode;
}

function findUnheld(
  engine: Engine,
  directory: Vnode,
  name: string,
  plan: Plan,
): Vnode | null | undefined {
  const cached = directory.children?.get(name);
  if (cached !== undefined) {
    cached.used = true;
    return cached;
  }
  if (!directory.isDirectory) throw new FilesystemError('ENOTDIR', 'Cannot look into a file');
  if (directory.unlinked) return null;
  checkName(name);
  const found = engine.directories.find(directory, name, engine.position, plan);
  if (found === 'none') return null;
  if (found === 'missing') return undefined;
  return engine.inodes.load(directory, name, engine.position, plan);
}

/** Entries of a directory from a cookie on (0: the first), a leaf's worth; none at the end. */
export function readEntries(
  engine: Engine,
  directory: Vnode,
  cookie: number,
): Look<DirectoryEntry[]> {
  if (!directory.isDirectory) throw new FilesystemError('ENOTDIR', 'Cannot list a file');
  return new Look(engine, (plan) => {
    const entries: DirectoryEntry[] = [];
    if (directory.unlinked) return entries;
    return engine.directories.read(directory, cookie, entries, plan) ? entries : undefined;
  });
}

/** The target of a symbolic link, its bytes. @throws {FilesystemError} `EINVAL` if it is none */
export function readTarget(engine: Engine, vnode: Vnode): Look<Uint8Array> {
  if (vnode.kind !== InodeKind.SYMLINK) {
    throw new FilesystemError('EINVAL', 'Cannot read a link: the inode is not a symbolic link');
  }
  return new Look(engine, (plan) => {
    if (!slotHasBlock(vnode.slots, 0)) return vnode.inline;
    const { store } = engine;
    const frame = store.want(vnode.slots, 0, DATA_BLOCK, plan);
    if (frame === NO_FRAME) return undefined;
    return store.blocks.view(frame).slice(0, Math.min(vnode.size, BLOCK_SIZE));
  });
}
