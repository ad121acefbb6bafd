/**
 * Toys that make use of what the contract allows a filesystem.
 */
import { BLOCK_SIZE, PlainIo, type Plan } from '../../src/base/index.ts';
import { Edge, type MappingAnswer, MappingRequest, RequestFlag } from '../../src/iomap/index.ts';
import { Random } from '../../src/testing/index.ts';
import { type ToyFile, ToyFilesystem } from './toy-filesystem.ts';

/** Has to look things up on the device before it answers, one time in eight. */
export class ForgetfulToy extends ToyFilesystem {
  readonly #random = new Random(1);

  override begin(
    file: ToyFile,
    request: MappingRequest,
    answer: MappingAnswer,
    plan: Plan,
  ): boolean {
    return this.#knows(plan) && super.begin(file, request, answer, plan);
  }

  override planUnmap: ToyFilesystem['planUnmap'] = (_file, _range, plan) => this.#knows(plan);
  override planPlace: ToyFilesystem['planPlace'] = (_blocks, plan) => this.#knows(plan);
  override planComplete: ToyFilesystem['planComplete'] = (_ioend, plan) => this.#knows(plan);

  override planCompleteAll: ToyFilesystem['planCompleteAll'] = (_ioends, plan) => this.#knows(plan);

  #knows(plan: Plan): boolean {
    if (!this.#random.chance(1 / 8)) return true;
    plan.need(new PlainIo('read', 0, [new Uint8Array(BLOCK_SIZE)]));
    return false;
  }
}

/** Never gives more than two blocks at once: a write goes on with the next destination. */
export class StingyToy extends ToyFilesystem {
  override begin(
    file: ToyFile,
    request: MappingRequest,
    answer: MappingAnswer,
    plan: Plan,
  ): boolean {
    const { offset, length, flag, edges } = request;
    const most = 2 * BLOCK_SIZE - (offset % BLOCK_SIZE);
    if (flag !== RequestFlag.WRITE || length <= most) {
      return super.begin(file, request, answer, plan);
    }
    const first = Object.assign(new MappingRequest(), { offset, length: most, flag });
    first.edges = edges & Edge.HEAD;
    return super.begin(file, first, answer, plan);
  }
}
