/**
 * Stale: what the kernel has of the volume and somebody else has changed.
 *
 * The kernel believes names and attributes for a day, since it is the one that changes them. What a
 * client of the socket changes it has to be told of, or programs on the mount see the old. While
 * clients have their turn, the engine tells here of every mutation and of every inode that it
 * touches, whatever the call was; of what the kernel does not know nothing is kept. Where requests
 * of the kernel are under way meanwhile, their operations are known and left out.
 */
import type { Procedure } from '../../api/node/index.ts';
import type { Driver } from '../../drive/index.ts';
import type { Mutation } from '../../format/index.ts';
import type { Engine, Vnode } from '../../volume/index.ts';
import type { NodeTable } from '../node-table.ts';

export interface Stale {
  /** Names that came, went, or lead elsewhere; binary strings. */
  readonly names: readonly { readonly parent: number; readonly name: string }[];
  /** Inodes with other attributes, other data or, of directories, another list of entries. */
  readonly nodes: readonly number[];
}

export class StaleWatch {
  readonly #engine: Engine;
  readonly #nodes: NodeTable;
  readonly #names = new Map<string, Stale['names'][number]>();
  readonly #changed = new Set<number>();
  readonly #driver: Driver;
  /** Operations of the kernel's requests: what they change it knows. */
  readonly #own = new WeakSet<object>();
  #onChange = (): void => {};

  constructor(engine: Engine, nodes: NodeTable, driver: Driver) {
    this.#engine = engine;
    this.#nodes = nodes;
    this.#driver = driver;
  }

  /** A procedure of the kernel's: what its operations change is not kept in mind. */
  *own<Result>(procedure: Procedure<Result>): Procedure<Result> {
    let next = procedure.next();
    while (next.done !== true) {
      let result: unknown;
      this.#own.add(next.value);
      try {
        result = yield next.value;
      } catch (error) {
        next = procedure.throw(error);
        continue;
      }
      next = procedure.next(result);
    }
    return next.value;
  }

  /** Runs what is not a request of the kernel, and keeps in mind what it changes. */
  during<Result>(body: () => Result): Result {
    this.begin();
    try {
      return body();
    } finally {
      this.end();
    }
  }

  /** From now on it is kept in mind what changes; `onChange` is told of each of it. */
  begin(onChange = (): void => {}): void {
    this.#onChange = onChange;
    this.#engine.records.journal = this.#note;
    this.#engine.inodes.watch = this.#touched;
  }

  end(): void {
    this.#engine.records.journal = undefined;
    this.#engine.inodes.watch = undefined;
  }

  /** What has become stale since the last time. */
  take(): Stale {
    const stale = { names: [...this.#names.values()], nodes: [...this.#changed] };
    this.#names.clear();
    this.#changed.clear();
    return stale;
  }

  readonly #touched = (vnode: Vnode): void => {
    if (this.#isOwn || !this.#nodes.knows(vnode)) return;
    this.#changed.add(this.#nodes.numberOf(vnode));
    this.#onChange();
  };

  get #isOwn(): boolean {
    const { stepping } = this.#driver;
    return stepping !== undefined && this.#own.has(stepping);
  }

  readonly #note = (record: Mutation): void => {
    switch (record.type) {
      case 'create':
      case 'link':
      case 'unlink':
      case 'clone':
        this.#named(record.parent, record.name);
        return;
      case 'rename':
      case 'whiteout':
        this.#named(record.parent, record.name);
        this.#named(record.newParent, record.newName);
        return;
      case 'bind':
      case 'tmpfile':
        return;
      default: {
        const vnode = this.#engine.table.get(record.target);
        if (vnode !== undefined) this.#touched(vnode);
      }
    }
  };

  #named(handle: number, name: string): void {
    const directory = this.#engine.table.get(handle);
    if (this.#isOwn || directory === undefined || !this.#nodes.knows(directory)) return;
    const parent = this.#nodes.numberOf(directory);
    this.#names.set(`${parent}/${name}`, { parent, name });
    this.#onChange();
  }
}
