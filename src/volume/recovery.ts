/**
 * Recovery: the log of a volume that was not closed is done again.
 *
 * Every mutation goes through the code that did it first ({@link Engine.apply}), on the state that
 * the root has; so what comes out is a state that the volume was in. Nothing is committed before
 * all is done, and a mount that is cut off begins again with the first frame: replay writes only to
 * blocks that neither the root nor the log uses.
 */
import { errorCode, FilesystemError, type Operation, type Txg } from '../base/index.ts';
import {
  AllocateMode,
  INODE_MAX,
  InodeKind,
  type Mutation,
  mutationsOf,
  REALM_MAX,
  ROOT_HANDLE,
  SNAPSHOTS_HANDLE,
} from '../format/index.ts';
import { Clear, Writeback } from '../iomap/index.ts';
import type { FoundLog } from '../store/index.ts';
import type { Engine } from './engine.ts';
import { handlesOf, introduces, modified } from './log-records.ts';
import { AvoidLeftOut, HasBytesBehind, TakeLogged } from './map-written.ts';
import type { Vnode } from './vnode.ts';

/** Operations, one after the other, each with its result. */
type Steps<Result> = Generator<Operation<unknown>, Result, unknown>;

/**
 * Replays a log on an engine that was just loaded. A commit has to follow; on a volume that is
 * read-only, what was replayed stays in memory.
 *
 * @throws {FilesystemError} `EIO` if a mutation cannot be done again, `ENOMEM` if the cache is too
 *   small for what the log changes, `ENOSPC` if there is no room for it, `EROFS` if data would have
 *   to be written on a volume that is read-only; the root is unchanged
 */
export function* recover(engine: Engine, log: FoundLog): Steps<void> {
  const { store } = engine;
  store.log.goOn(log.end);
  if (log.frames.length === 0) return;
  store.recovering = true;
  store.log.lose();
  const last = log.frames.at(-1)?.epoch as Txg;
  store.txg = Math.max(store.txg, last + 1) as Txg;
  const handles = new Handles(engine);
  for (const mutation of mutations(log)) {
    handles.expect(mutation);
    if (mutation.type === 'write') yield new TakeLogged(engine, mutation);
  }
  const avoided = new AvoidLeftOut(engine, log.leftOut);
  yield avoided;
  for (const mutation of mutations(log)) yield* replay(engine, handles, mutation);
  yield* handles.close();
  yield* keepPromises(engine);
  avoided.giveBack();
  // Reports read records past the inodes in memory; without a commit, these are older.
  engine.inodes.push();
  store.recovering = false;
}

/**
 * What the log reserves needs no room in a replay, since data in its place has drawn from it. What
 * was deleted before has to give back its promises first, as it did then.
 */
function* keepPromises(engine: Engine): Steps<void> {
  const { space } = engine.store;
  while (space.unwritten > 0 && !space.couldHave(0, 'normal')) {
    const work = engine.reclaim();
    if (work === undefined) return;
    yield work;
  }
}

function* mutations({ frames }: FoundLog): Generator<Mutation> {
  for (const frame of frames) yield* mutationsOf(frame);
}

function* replay(engine: Engine, handles: Handles, mutation: Mutation): Steps<void> {
  try {
    checkNumbers(engine, mutation);
    if (mutation.type === 'clone' || mutation.type === 'clone-range') {
      yield* handles.trim(mutation.source);
    }
    const result = yield engine.apply(handles.translate(forReplay(mutation)));
    if (introduces(mutation)) yield* handles.introduce(mutation.handle, result as Vnode);
    if (mutation.type === 'write-inline') yield* handles.writeBack(mutation.target);
    yield* handles.used(mutation);
  } catch (error) {
    const found = errorCode(error);
    const code = found === 'ENOMEM' || found === 'EROFS' || found === 'ENOSPC' ? found : 'EIO';
    const { message } = error as Error;
    throw new FilesystemError(code, `Cannot replay a ${mutation.type} of the log: ${message}`, {
      cause: error,
    });
  }
}

/**
 * Blocks that an unshare copied are in the log as data, those that it has not copied yet are not:
 * only the time is left of it.
 */
function forReplay(mutation: Mutation): Mutation {
  if (mutation.type !== 'fallocate' || (mutation.mode & AllocateMode.UNSHARE_RANGE) === 0) {
    return mutation;
  }
  return modified(mutation.target, mutation.time, mutation.time);
}

/**
 * Refuses numbers that no volume writes. Those of inodes and realms are given in order: what a
 * record asks for was never used before. A directory that is cloned keeps its inode number and gets
 * a realm.
 */
function checkNumbers({ store }: Engine, mutation: Mutation): void {
  const { nextInode, nextRealm } = store.state;
  const { type } = mutation;
  if (mutation.type === 'create' && !(mutation.kind >= 1 && mutation.kind < InodeKind.LINK)) {
    throw new FilesystemError('EIO', `kind ${mutation.kind} is none that has a name of its own`);
  }
  if ('mode' in mutation && type !== 'fallocate' && mutation.mode > MODE_MAX) {
    throw new FilesystemError('EIO', `mode 0${mutation.mode.toString(8)} has unknown bits`);
  }
  if (!('ino' in mutation)) return;
  // None was made if both names were one inode.
  if (type === 'whiteout' && mutation.ino === 0) return;
  if (mutation.type === 'clone' && mutation.realm !== 0) {
    checkNumber('realm', mutation.realm, nextRealm, REALM_MAX);
  } else {
    checkNumber('inode', mutation.ino, nextInode, INODE_MAX);
  }
}

function checkNumber(what: string, found: number, least: number, limit: number): void {
  if (found >= least && found < limit) return;
  throw new FilesystemError('EIO', `${what} ${found} is not from ${least} to ${limit - 1}`);
}

/** Permissions, and the three bits above them. */
const MODE_MAX = 0o7777;

/**
 * Which vnode a handle of the log stands for. Each is kept open from its introduction to its last
 * use, since it may lose its names in between.
 */
class Handles {
  readonly #engine: Engine;
  readonly #vnodes = new Map<number, Vnode>();
  /** Mutations that are still to name a handle, in all introductions of it. */
  readonly #uses = new Map<number, number>();

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  expect(mutation: Mutation): void {
    for (const handle of handlesOf(mutation)) {
      this.#uses.set(handle, (this.#uses.get(handle) ?? 0) + 1);
    }
  }

  /** Introduced again in the next txg, it is the same inode. */
  *introduce(handle: number, vnode: Vnode): Steps<void> {
    vnode.opens++;
    yield* this.#close(handle);
    this.#vnodes.set(handle, vnode);
  }

  /** The mutation with the handles of this mount. */
  translate(mutation: Mutation): Mutation {
    const copy: Record<string, unknown> = { ...mutation };
    for (const field of ['parent', 'newParent', 'source', 'target'] as const) {
      const handle = copy[field];
      // The target of a symbolic link is text.
      if (typeof handle === 'number') copy[field] = this.#vnode(handle).id;
    }
    return copy as unknown as Mutation;
  }

  /** A mutation is done: what nothing will name any more is closed. */
  *used(mutation: Mutation): Steps<void> {
    for (const handle of handlesOf(mutation)) {
      const left = (this.#uses.get(handle) ?? 0) - 1;
      this.#uses.set(handle, left);
      if (left === 0) yield* this.#close(handle);
    }
    if (introduces(mutation) && !this.#uses.get(mutation.handle)) {
      yield* this.#close(mutation.handle);
    }
  }

  /** What is cloned ends where it says; that is so, unless the log contradicts itself. */
  *trim(source: number): Steps<void> {
    const top = this.#vnode(source);
    for (const vnode of this.#vnodes.values()) {
      if (vnode.isWithin(top)) yield* this.#trim(vnode);
    }
  }

  /** Bytes that belong into the inode go there: until then they have blocks promised. */
  *writeBack(target: number): Steps<void> {
    const vnode = this.#vnode(target);
    const { pool, iomapOps } = this.#engine;
    if (iomapOps.isInline(vnode)) yield new Writeback(pool, { only: (file) => file === vnode });
  }

  *close(): Steps<void> {
    for (const handle of [...this.#vnodes.keys()]) yield* this.#close(handle);
  }

  *#close(handle: number): Steps<void> {
    const vnode = this.#vnodes.get(handle);
    if (vnode === undefined) return;
    this.#vnodes.delete(handle);
    yield* this.#trim(vnode);
    vnode.opens--;
    const end = this.#engine.closed(vnode);
    if (end !== undefined) yield end;
    vnode.holds--;
  }

  /**
   * Clears what is behind the end: the size that belongs to it did not get into the log. What was
   * reserved there, and not written, stays so.
   */
  *#trim(vnode: Vnode): Steps<void> {
    const { size, mappedEnd } = vnode;
    if (mappedEnd <= size || (yield new HasBytesBehind(this.#engine, vnode)) === false) return;
    vnode.size = mappedEnd;
    const end = this.#engine.store.space.unwritten > 0 ? mappedEnd : Number.POSITIVE_INFINITY;
    yield new Clear(vnode, { start: size, end, size: () => size });
    vnode.mappedEnd = Math.min(mappedEnd, size);
  }

  #vnode(handle: number): Vnode {
    if (handle === ROOT_HANDLE) return this.#engine.live;
    if (handle === SNAPSHOTS_HANDLE) return this.#engine.snapshots;
    const vnode = this.#vnodes.get(handle);
    if (vnode !== undefined) return vnode;
    throw new FilesystemError('EIO', `nobody has introduced handle ${handle}`);
  }
}
