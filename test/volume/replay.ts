/**
 * Replay: the mutations of one volume, as bytes, done again on another.
 *
 * A handle in a record is the number of a vnode at the time of recording (M1). The translator knows
 * which vnode of the other volume stands for it. Every one that was named is kept open until the
 * end, since later records may name it when it has no name any more.
 */
import type { Operation } from '../../src/base/index.ts';
import {
  decodeMutation,
  encodeMutation,
  type Mutation,
  mutationSize,
  ROOT_HANDLE,
  SNAPSHOTS_HANDLE,
} from '../../src/format/index.ts';
import type { Engine, Vnode } from '../../src/volume/index.ts';
import type { Rig } from './rig.ts';

/** What a volume did between two mounts, as the log would have it. */
export class Recording {
  readonly #records: Uint8Array[] = [];

  constructor(engine: Engine) {
    engine.records.journal = (record) => {
      const bytes = new Uint8Array(mutationSize(record));
      encodeMutation(record, bytes, 0);
      this.#records.push(bytes);
    };
  }

  get mutations(): Mutation[] {
    return this.#records.map((bytes) => decodeMutation(bytes, 0)[0]);
  }
}

export class Translator {
  readonly #rig: Rig;
  readonly #vnodes = new Map<number, Vnode>();

  constructor(rig: Rig) {
    this.#rig = rig;
    this.#vnodes.set(ROOT_HANDLE, rig.engine.live);
    this.#vnodes.set(SNAPSHOTS_HANDLE, rig.engine.snapshots);
  }

  /** Does everything again, then closes what is open. */
  replay(mutations: readonly Mutation[]): void {
    for (const mutation of mutations) this.#apply(mutation);
    for (const vnode of this.#vnodes.values()) {
      if (vnode === this.#rig.engine.live || vnode === this.#rig.engine.snapshots) continue;
      vnode.opens--;
      const end = vnode.opens === 0 ? this.#rig.engine.closed(vnode) : undefined;
      if (end !== undefined) this.#rig.driver.run(end);
      vnode.holds--;
    }
  }

  #apply(mutation: Mutation): void {
    const { engine, driver } = this.#rig;
    const operation: Operation<unknown> = engine.apply(this.#translated(mutation));
    const result = driver.run(operation);
    if (!('handle' in mutation)) return;
    const vnode = result as Vnode;
    // Introduced again after a commit: it is the same inode.
    if (this.#vnodes.has(mutation.handle)) vnode.holds--;
    if (this.#vnodes.has(mutation.handle)) return;
    vnode.opens++;
    this.#vnodes.set(mutation.handle, vnode);
  }

  #translated(mutation: Mutation): Mutation {
    const copy: Record<string, unknown> = { ...mutation };
    for (const field of ['parent', 'newParent', 'source', 'target'] as const) {
      const handle = copy[field];
      // The target of a symbolic link is text.
      if (typeof handle === 'number') copy[field] = this.#vnode(handle, mutation).id;
    }
    return copy as unknown as Mutation;
  }

  #vnode(handle: number, mutation: Mutation): Vnode {
    const vnode = this.#vnodes.get(handle);
    if (vnode !== undefined) return vnode;
    throw new Error(`Nobody has introduced handle ${handle} of a ${mutation.type}`);
  }
}
