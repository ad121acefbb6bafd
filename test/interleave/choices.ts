/**
 * Choices: every way through a run that asks, again and again, which of a few things comes next.
 *
 * A run is repeated from its beginning, each time with the last choice that has another answer left
 * answered by the next one. So a run must ask the same questions if it gets the same answers.
 */
import type { Random } from '../../src/testing/index.ts';

/** Answers that follow a path; after its end they are 0, or drawn. All of them are remembered. */
export class Path {
  readonly answers: number[] = [];
  readonly #given: readonly number[];
  readonly #counts: number[] = [];
  readonly #random: Random | undefined;

  constructor(given: readonly number[] = [], random?: Random) {
    this.#given = given;
    this.#random = random;
  }

  /** One of `count` things, which is at least 1. */
  choose(count: number): number {
    if (count === 1) return 0;
    const answer = this.#given[this.answers.length] ?? this.#random?.below(count) ?? 0;
    if (answer >= count) throw new Error(`The run is another one: ${answer} of ${count} choices`);
    this.answers.push(answer);
    this.#counts.push(count);
    return answer;
  }

  /** The next path in order; undefined after the last. */
  next(): Path | undefined {
    for (let i = this.answers.length - 1; i >= 0; i--) {
      const answer = (this.answers[i] as number) + 1;
      if (answer < (this.#counts[i] as number)) {
        return new Path([...this.answers.slice(0, i), answer]);
      }
    }
    return undefined;
  }

  toString(): string {
    return this.answers.length === 0 ? '0' : this.answers.join('.');
  }

  static parse(text: string): Path {
    return new Path(text.split('.').map(Number));
  }
}

/**
 * Runs `body` on every path, or if there are more than `most`, on so many and on half as many that
 * are drawn. Returns how many ran, and whether they were all.
 */
export async function everyPath(
  most: number,
  random: Random,
  body: (path: Path) => Promise<void>,
): Promise<{ runs: number; all: boolean }> {
  let runs = 0;
  let path: Path | undefined = new Path();
  for (; path !== undefined && runs < most; runs++) {
    await body(path);
    path = path.next();
  }
  if (path === undefined) return { runs, all: true };
  for (; runs < most * 1.5; runs++) await body(new Path([], random));
  return { runs, all: false };
}
