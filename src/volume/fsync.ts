/**
 * Fsync: makes a file, and everything that was done before, durable with one flush.
 *
 * What is dirty of the file is written back to its place, and the log says where that is; or, if it
 * is little, the log has it, and it stays dirty. Data that went over what was there is in its place
 * and needs the flush alone; the time of that is told, unless only the data is asked for. The log
 * says what else was done, in order. Of other files nothing is written but what replaces something
 * (H6): after a crash each of their blocks is one of those that it has been since the last commit.
 */
import { DeviceError, type Operation, type Plan, PlannedOperation } from '../base/index.ts';
import { type IomapFile, Writeback } from '../iomap/index.ts';
import type { Engine } from './engine.ts';
import type { Vnode } from './vnode.ts';

export class Fsync extends PlannedOperation<void> {
  readonly #engine: Engine;
  readonly #vnode: Vnode;
  /** What it waits for, and whether that is all. */
  #waits: Operation<unknown> | undefined;
  #flushing = false;
  #gathered = false;
  #again = false;
  /** Bytes of the file that have to be durable. */
  #size = 0;
  #cuts = -1;
  /** Mutations that have to be durable. */
  #target = 0;
  readonly #dataOnly: boolean;
  /** Overwrites that have to be durable. */
  #overwrites = 0;

  /** With `dataOnly` times need not be durable: fdatasync. */
  constructor(engine: Engine, vnode: Vnode, dataOnly = false) {
    super();
    this.#dataOnly = dataOnly;
    this.#engine = engine;
    this.#vnode = vnode;
  }

  protected override prepare(plan: Plan): void {
    const vnode = this.#vnode;
    const { pool } = this.#engine;
    if (pool.views.size > 0 && !this.#settled(plan)) return;
    if (this.#waits?.done === false) {
      plan.follow(this.#waits);
      return;
    }
    // Made shorter meanwhile, it may have become longer again with data that has no place.
    if (!this.#flushing && this.#cuts !== vnode.cuts) this.#waits = undefined;
    if (this.#waits === undefined) {
      this.#size = vnode.size;
      this.#cuts = vnode.cuts;
    }
    const untold = this.#waits === undefined ? this.#untold() : [];
    if (untold.length > 0) {
      const chosen = new Set<IomapFile>(untold);
      this.#waits = new Writeback(pool, { only: (file) => chosen.has(file) });
      plan.follow(this.#waits);
    } else if (!this.#flushing) {
      const { store, records } = this.#engine;
      records.toldReplacing();
      records.sized(vnode, Math.min(this.#size, vnode.size));
      if (!this.#dataOnly) records.timed(vnode);
      this.#flushing = true;
      this.#overwrites = store.overwrites;
      this.#target = store.log.operation;
      this.#waits = store.flushLog();
    }
  }

  /** What is stored in views of the file is in the file. @throws {FilesystemError} `ENOSPC` */
  #settled(plan: Plan): boolean {
    if (!this.#engine.pool.settled(plan, (file) => file === this.#vnode)) return false;
    for (const { failure } of this.#vnode.viewsIn(0, Number.POSITIVE_INFINITY)) {
      if (failure !== undefined) throw failure;
    }
    return true;
  }

  /** Files that have to be written back first: this one, and those that replace something (H6). */
  #untold(): Vnode[] {
    const files = this.#engine.records.untoldReplacing();
    if (!files.includes(this.#vnode) && !this.#vnode.logged) files.push(this.#vnode);
    return files.filter((file) => !this.#tellData(file));
  }

  /** Little data goes into the log, unless the file is so small that its inode takes it. */
  #tellData(vnode: Vnode): boolean {
    const { iomapOps, records } = this.#engine;
    return !iomapOps.isInline(vnode) && records.tellData(vnode);
  }

  protected override apply(): boolean {
    const { store } = this.#engine;
    if (!this.#gathered) {
      // Whoever asks in the same turn of the event loop shares the flush, on any device.
      this.#gathered = true;
      this.plan.pause = true;
      return false;
    }
    if (store.log.durable >= this.#target && store.durableOverwrites >= this.#overwrites) {
      return this.finish(undefined);
    }
    if (store.failure !== undefined) throw store.failure;
    // Somebody else's flush has failed, and has changed nothing: it is tried once more.
    if (this.#again) throw notDurable();
    this.#again = true;
    this.#waits = store.flushLog();
    return false;
  }
}

function notDurable(): Error {
  const finding = 'what was done could not be made durable';
  return new DeviceError('EIO', { operation: 'flush', position: 0, length: 0, finding });
}
