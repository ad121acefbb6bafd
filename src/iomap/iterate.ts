/**
 * Iterate: a range of a file, one mapping at a time.
 *
 * Every operation that looks at what is there goes through this loop; its body decides what to do
 * with a mapping. The filesystem is asked as seldom as it answers: one answer may be several steps.
 *
 *   for (let at = iterator.begin(...).step(plan); at !== undefined; at = iterator.step(plan)) ...
 *
 * A loop that ends before the range does has put its needs into the plan. It must not be resumed
 * after a wait, but begun again at the place it has come to (P3).
 */
import type { Plan } from '../base/index.ts';
import type { IomapFile } from './file.ts';
import { type Mapping, MappingAnswer, MappingRequest, type RequestFlag } from './mapping.ts';
import { traceMap } from './trace.ts';

/** Owned and reused by an operation; nothing is allocated. */
export class MappingIterator {
  /** Bytes of the present step: of its mapping, what lies in the range. */
  offset = 0;
  end = 0;
  readonly #request = new MappingRequest();
  readonly #answer = new MappingAnswer();
  #file!: IomapFile;
  #index = 0;
  #stop = 0;

  /** Begins at byte `from` of a file, to go on to byte `to`. */
  begin(file: IomapFile, flag: RequestFlag, from: number, to: number): this {
    this.#file = file;
    this.#request.flag = flag;
    this.#answer.clear();
    this.#index = 0;
    this.end = from;
    this.#stop = to;
    return this;
  }

  /** The next mapping; undefined at the end of the range, or if the plan has needs. */
  step(plan: Plan): Mapping | undefined {
    if (this.end >= this.#stop) return undefined;
    const answer = this.#answer;
    if (this.#index >= answer.sourceCount && !this.#ask(plan)) return undefined;
    const mapping = answer.sources[this.#index++] as Mapping;
    this.offset = this.end;
    this.end = Math.min(mapping.end, this.#stop);
    return mapping;
  }

  #ask(plan: Plan): boolean {
    const request = this.#request;
    request.offset = this.end;
    request.length = this.#stop - this.end;
    this.#index = 0;
    this.#answer.clear();
    const file = this.#file;
    if (!file.isSettled(this.end, this.#stop, plan)) return false;
    if (!file.ops.begin(file, request, this.#answer, plan)) {
      this.#answer.clear();
      return false;
    }
    const { trace } = file.pool;
    if (trace !== undefined) traceMap(trace, file, request, this.#answer);
    return true;
  }
}
