/**
 * Inline move: bytes that a file keeps in its inode become dirty data, since the file gets a map.
 */
import { assert, NO_FRAME, type Plan } from '../base/index.ts';
import { DirtyChunk } from '../iomap/index.ts';
import type { Engine } from './engine.ts';
import type { Vnode } from './vnode.ts';

const NO_BYTES = new Uint8Array(0);

export class InlineMove {
  readonly #engine: Engine;
  readonly #vnode: Vnode;
  readonly #chunk = new DirtyChunk();

  constructor(engine: Engine, vnode: Vnode) {
    this.#engine = engine;
    this.#vnode = vnode;
  }

  /** True if there is something to move. */
  get needed(): boolean {
    return this.#vnode.inline.length > 0;
  }

  /** False if the plan has needs. The inode's claim has been planned for. */
  plan(plan: Plan): boolean {
    const { inodes, store } = this.#engine;
    const vnode = this.#vnode;
    inodes.planRewrite(vnode, plan);
    // Newer bytes may be dirty already.
    if (vnode.frameAt(0) !== NO_FRAME) return store.settle(plan, 'normal');
    return this.#chunk.map(vnode, 0, vnode.inline.length, plan);
  }

  /** In the same turn. */
  apply(): void {
    const { inodes } = this.#engine;
    const vnode = this.#vnode;
    const { inline } = vnode;
    assert(inline.length > 0, 'there are bytes to be moved');
    if (vnode.frameAt(0) === NO_FRAME) {
      this.#chunk.write((bytes, start, at, length) => {
        bytes.set(inline.subarray(at, at + length), start);
      });
    }
    inodes.claim(vnode);
    vnode.inline = NO_BYTES;
    // A map, if an empty one: written back before there is more in it, the bytes stay out.
    vnode.depth = Math.max(1, vnode.depth);
    vnode.dataSequence++;
    inodes.touch(vnode);
    inodes.rewrite(vnode);
  }

  /** Gives back what was planned and not applied. */
  cancel(): void {
    this.#chunk.cancel();
  }
}
