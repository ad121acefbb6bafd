/**
 * Append: a write to wherever the file ends when the bytes get there.
 *
 * A write that has to wait, for the device or for somebody who has locked the range, may find the
 * file longer when it goes on. As long as none of its bytes are written it begins anew behind them.
 *
 * It waits for all of the file, not for a range: wherever the end is when its turn comes, it need
 * not ask again. If each of two waited for the place where the file will end after the other, both
 * would wait for ever.
 */
import type { Plan } from '../base/index.ts';
import type { Time } from '../format/index.ts';
import { EVERYTHING, type LockRange } from '../iomap/index.ts';
import { type Vnode, WriteFile } from '../volume/index.ts';

export class AppendFile extends WriteFile {
  #vnode!: Vnode;
  #data!: Uint8Array;
  #from = 0;
  #length = 0;
  #time!: Time;
  #position = 0;
  #begun = false;

  /** Where the bytes have gone, or would go now. */
  get position(): number {
    return this.#position;
  }

  /** Makes the operation ready: `length` bytes of `data`, from byte `from` of it. */
  append(vnode: Vnode, data: Uint8Array, from: number, length: number, time: Time): this {
    this.#vnode = vnode;
    this.#data = data;
    this.#from = from;
    this.#length = length;
    this.#time = time;
    this.#begun = false;
    return this.#aim();
  }

  protected override prepare(plan: Plan): void {
    if (!this.#begun && this.#position !== this.#vnode.size) this.#aim();
    super.prepare(plan);
  }

  protected override lockRange(): LockRange {
    return EVERYTHING;
  }

  protected override wrote(position: number, length: number): void {
    this.#begun = true;
    super.wrote(position, length);
  }

  #aim(): this {
    this.#position = this.#vnode.size;
    return this.write(
      this.#vnode,
      this.#position,
      this.#data,
      this.#from,
      this.#length,
      this.#time,
    );
  }
}
