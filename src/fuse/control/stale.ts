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
  /** Names that came, went, or lead elsewhere. */
  readonly names: readonly StaleName[];
  /** Inodes with other attributes, other data or, of directories, another list of entries. */
  readonly nodes: readonly number[];
}

export interface StaleName {
  readonly parent: number;
  /** A binary string. */
  readonly name: string;
  /** The inode that had the name, if that was its last one. */
  readonly gone?: number;
}

export class StaleWatch {
  readonly #engine: Engine;
  readonly #nodes: NodeTable;
  readonly #names = new Map<string, StaleName>();
  readonly #changed = new Set<number>();
  /** What the change under way may take: what a name leads to, behind what is below that. */
  #losing: { readonly directory: Vnode; readonly name: string; readonly vnode: Vnode }[] = [];
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
    this.#engine.records.before = this.#announced;
    this.#engine.inodes.watch = this.#touched;
  }

  end(): void {
    this.#engine.records.journal = undefined;
    this.#engine.records.before = undefined;
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

  readonly #announced = (record: Mutation): void => {
    this.#losing = [];
    if (this.#isOwn) return;
    if (record.type === 'unlink') this.#mayLose(record.parent, record.name);
    else if (record.type === 'rename') this.#mayLose(record.newParent, record.newName);
  };

  #mayLose(handle: number, name: string): void {
    const directory = this.#engine.table.get(handle);
    const vnode = directory?.children?.get(name);
    if (directory === undefined || vnode === undefined || !this.#nodes.knows(vnode)) return;
    // What the kernel knows of is below directories that it knows.
    for (const below of vnode.children?.keys() ?? []) this.#mayLose(vnode.id, below);
    this.#losing.push({ directory, name, vnode });
  }

  get #isOwn(): boolean {
    const { stepping } = this.#driver;
    return stepping !== undefined && this.#own.has(stepping);
  }

  readonly #note = (record: Mutation): void => {
    switch (record.type) {
      case 'create':
      case 'link':
      case 'clone':
        this.#named(record.parent, record.name);
        return;
      case 'unlink':
        this.#named(record.parent, record.name);
        this.#lost();
        return;
      case 'rename':
      case 'whiteout':
        this.#named(record.parent, record.name);
        this.#named(record.newParent, record.newName);
        this.#lost();
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

  #lost(): void {
    for (const { directory, name, vnode } of this.#losing) {
      if (!vnode.unlinked || !this.#nodes.knows(vnode)) continue;
      const parent = this.#nodes.numberOf(directory);
      const key = `${parent}/${name}`;
      // Behind what is below.
      this.#names.delete(key);
      this.#names.set(key, { parent, name, gone: this.#nodes.numberOf(vnode) });
      this.#onChange();
    }
  }

  #named(handle: number, name: string): void {
    const directory = this.#engine.table.get(handle);
    if (this.#isOwn || directory === undefined || !this.#nodes.knows(directory)) return;
    const parent = this.#nodes.numberOf(directory);
    this.#names.set(`${parent}/${name}`, { parent, name });
    this.#onChange();
  }
}
