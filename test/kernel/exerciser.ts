/**
 * Exerciser: the same steps on a volume and on the kernel's XFS, compared byte for byte and hole
 * for hole.
 *
 * Outcomes and sizes are compared after each step; bytes and holes at each `compare`, after a
 * remount, and at the end. Where the two may differ (D1 to D4 in differences.ts), the difference is
 * checked as soon as it can be there and taken over by the kernel's file, so that everything after
 * it is compared exactly.
 */
import { BLOCK_SIZE as B, blocksFor } from '../../src/base/index.ts';
import type { KernelSide } from './kernel-side.ts';
import type { RametSide } from './ramet-side.ts';
import { FILES, type FileName, type Outcome, STEP, type Step, showOutcome } from './steps.ts';

/** A part of a file whose zeros may be data or a hole, in blocks. */
interface Leeway {
  readonly first: number;
  readonly end: number;
  /** Whether they may be data where the kernel has a hole, too. */
  readonly data: boolean;
}

export class Exerciser {
  readonly #ramet: RametSide;
  readonly #kernel: KernelSide;
  /** A buffer for a whole file. */
  #bytes = new Uint8Array();
  readonly sizes = new Map<FileName, number>(FILES.map((file) => [file, 0]));

  constructor(ramet: RametSide, kernel: KernelSide) {
    this.#ramet = ramet;
    this.#kernel = kernel;
    kernel.clear();
  }

  /** @throws if the sides disagree */
  async run(step: Step): Promise<void> {
    const found = this.#ramet.apply(step);
    if (found.code === 'ENOTSUP' && this.#mayRefuse(step)) return;
    const wanted = await this.#kernel.apply(step);
    compareOutcomes(found, wanted);
    if (step.operation === 'dedupe' && found.differs === true) {
      await this.#sharePart(step, found.value as number);
    }
    const leeway = leewayOf(step, found, this.sizes.get(step.file) as number);
    for (const file of FILES) this.#compareSize(file);
    if (leeway !== undefined) await this.#compareHoles(step.file, leeway);
    if (step.operation === 'compare' || step.operation === 'remount') await this.compare();
  }

  /** Everything that can be seen. @throws if the sides disagree */
  async compare(): Promise<void> {
    for (const file of FILES) {
      this.#compareBytes(file);
      await this.#compareHoles(file);
    }
  }

  /** D3. */
  #mayRefuse({ operation, source, file }: Step): boolean {
    return operation === 'dedupe' && [source, file].some((name) => this.#ramet.isInline(name));
  }

  /** D2: what is said to be equal is, and nothing after it; the kernel shares it now too. */
  async #sharePart(step: Step, bytes: number): Promise<void> {
    const more = { ...step, length: Math.min(step.length, bytes + B) };
    compareOutcomes({ differs: true, value: 0 }, await this.#kernel.apply(more), 'a block more');
    if (bytes === 0) return;
    const part = await this.#kernel.apply({ ...step, length: bytes });
    compareOutcomes({ differs: false, value: bytes }, part, 'the equal part');
  }

  #compareSize(file: FileName): void {
    const found = this.#ramet.size(file);
    const wanted = this.#kernel.size(file);
    if (found !== wanted) throw new Error(`${file}: found size ${found}, wanted ${wanted}`);
    this.sizes.set(file, found);
  }

  async #compareHoles(file: FileName, leeway?: Leeway): Promise<void> {
    const size = this.sizes.get(file) as number;
    if (size === 0) return;
    const found = blocksOf(this.#ramet.runs(file), size);
    const wanted = blocksOf(await this.#kernel.runs(file), size);
    for (let block = 0; block < found.length; block++) {
      if (found[block] === wanted[block]) continue;
      const data = found[block] === 1;
      const here = leeway !== undefined && block >= leeway.first && block < leeway.end;
      const may = here && (leeway.data || !data);
      if (may && (await this.#takeOver(file, block, data))) continue;
      const [is, should] = data ? ['data', 'a hole'] : ['a hole', 'data'];
      throw new Error(`${file}, block ${block}: found ${is}, wanted ${should}`);
    }
  }

  /** Makes the kernel's block data or a hole, if it is zeros. */
  async #takeOver(file: FileName, block: number, data: boolean): Promise<boolean> {
    const [offset, length] = [block * B, B];
    if (this.#kernel.read({ ...STEP, file, offset, length }).some((byte) => byte !== 0))
      return false;
    if (data) this.#kernel.write({ ...STEP, file, offset, length: 1 }, new Uint8Array(1));
    else await this.#kernel.apply({ ...STEP, operation: 'punch', file, offset, length });
    return true;
  }

  #compareBytes(file: FileName): void {
    const size = this.sizes.get(file) as number;
    // A byte more: nothing is read after the end.
    if (size >= this.#bytes.length) this.#bytes = new Uint8Array(2 * size + 1);
    const found = this.#ramet.read(file, 0, size + 1, this.#bytes);
    compareBytes(found, this.#kernel.bytes(file), `${file}, `);
  }
}

function compareOutcomes(found: Outcome, wanted: Outcome, what = 'outcome'): void {
  if (found.bytes !== undefined && wanted.bytes !== undefined) {
    compareBytes(found.bytes, wanted.bytes, `${what}, `);
    return;
  }
  const [mine, theirs] = [showOutcome(found), showOutcome(wanted)];
  if (mine !== theirs) throw new Error(`${what}: found ${mine}, wanted ${theirs}`);
}

function compareBytes(found: Uint8Array, wanted: Uint8Array, what: string): void {
  if (found.length !== wanted.length) {
    throw new Error(`${what}found ${found.length} bytes, wanted ${wanted.length}`);
  }
  if (Buffer.compare(found, wanted) === 0) return;
  const at = found.findIndex((byte, i) => byte !== wanted[i]);
  throw new Error(`${what}byte ${at}: found ${found[at]}, wanted ${wanted[at]}`);
}

function leewayOf(
  { operation, offset, length }: Step,
  { code, value = 0 }: Outcome,
  size: number,
): Leeway | undefined {
  if (code !== undefined) return undefined;
  // D1
  if (operation === 'copy' && value > 0) {
    return { ...blocksIn(offset, offset + value), data: true };
  }
  // D4
  const last = blocksIn(size - 1, size);
  const zeros = ['punch', 'zero', 'zero-keep'].includes(operation) && size > 0;
  const whole = zeros && offset <= last.first * B && offset + length >= size;
  return whole ? { ...last, data: false } : undefined;
}

/** All that the bytes from `start` to `end` are in. */
function blocksIn(start: number, end: number): { first: number; end: number } {
  return { first: Math.floor(start / B), end: blocksFor(end) };
}

/** One byte for each block, 1 if it has data. @throws if a run is not of whole blocks */
function blocksOf(runs: readonly number[], size: number): Uint8Array {
  const blocks = new Uint8Array(blocksFor(size));
  for (let i = 0; i < runs.length; i += 2) {
    const [start, end] = [runs[i] as number, runs[i + 1] as number];
    if (start % B !== 0 || (end % B !== 0 && end !== size) || end <= start) {
      throw new Error(`found a run of data from ${start} to ${end} in ${size} bytes`);
    }
    blocks.fill(1, start / B, blocksFor(end));
  }
  return blocks;
}
