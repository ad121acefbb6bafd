/**
 * The dirty blocks of a transaction group: frames that hold what no device has yet.
 *
 * T1. A frame is in the list exactly if its block was born in the open txg and is still in use.
 * T2. When the txg closes, its frames are frozen: they were born in a txg that is not the open one,
 *     and the copy-on-write rule changes no such node. So a commit may take its time.
 */
import { assert, type Frame } from '../base/index.ts';

export class DirtyList {
  readonly #position: Int32Array;
  #frames: Frame[] = [];

  constructor(frameCount: number) {
    this.#position = new Int32Array(frameCount).fill(-1);
  }

  get count(): number {
    return this.#frames.length;
  }

  add(frame: Frame): void {
    assert(this.#position[frame] === -1, () => `frame ${frame} is dirty twice`);
    this.#position[frame] = this.#frames.length;
    this.#frames.push(frame);
  }

  /** Takes out a frame whose block is no longer in use. */
  remove(frame: Frame): void {
    const at = this.#position[frame] as number;
    assert(at !== -1, () => `frame ${frame} is not dirty`);
    const last = this.#frames.pop() as Frame;
    if (last !== frame) {
      this.#frames[at] = last;
      this.#position[last] = at;
    }
    this.#position[frame] = -1;
  }

  has(frame: Frame): boolean {
    return this.#position[frame] !== -1;
  }

  /** The frames of the txg that closes; the list is empty for the next one. */
  close(): Frame[] {
    const closed = this.#frames;
    for (const frame of closed) this.#position[frame] = -1;
    this.#frames = [];
    return closed;
  }
}
