/**
 * Far pin: a pinned file of a volume whose engine another thread has, in the shape of `PinnedFile`.
 */
import type { Extent, PinnedFile } from '../../api/index.ts';
import type { Made } from '../control/calls.ts';
import type { PortLine } from './port-line.ts';

export class FarPin implements Pick<PinnedFile, keyof PinnedFile> {
  readonly extents: readonly Extent[];
  readonly #line: PortLine;
  readonly #handle: number;
  #valid = true;

  constructor(line: PortLine, { handle, extents }: Extract<Made, { kind: 'pin' }>) {
    this.#line = line;
    this.#handle = handle;
    this.extents = extents;
  }

  get valid(): boolean {
    return this.#valid && !this.#line.hasEnded;
  }

  async release(): Promise<void> {
    if (this.#take()) await this.#line.call('releasePin', [this.#handle]);
  }

  releaseSync(): void {
    if (this.#take()) this.#line.callSync('releasePin', [this.#handle]);
  }

  [Symbol.dispose](): void {
    this.releaseSync();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }

  #take(): boolean {
    const { valid } = this;
    this.#valid = false;
    return valid;
  }
}
