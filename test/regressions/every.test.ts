/**
 * Every bug of the list has its test, or a reason why it has none yet.
 *
 * The list are 29 bugs that Linux had in buffered and direct I/O over mappings, in sharing and in
 * space; each test tells its own in a sentence. The numbers are those of the titles.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const BUGS = 29;

interface Waiting {
  readonly number: number;
  /** All of the bug, or the part that cannot happen yet. */
  readonly what: 'all' | 'a part';
  readonly reason: string;
}

const WAITING: readonly Waiting[] = [
  { number: 3, what: 'a part', reason: 'the other writer through a view: there are no views yet' },
  { number: 8, what: 'a part', reason: 'unshare on a device that memory is mapped from' },
  { number: 9, what: 'a part', reason: 'old views and their dirty marks: there are no views yet' },
  { number: 13, what: 'a part', reason: 'what a log recovers: there is no log yet' },
  {
    number: 18,
    what: 'a part',
    reason: 'a synchronous write without a commit: there is no log yet',
  },
];

/** Numbers in the titles of the regressions beside this file. */
function tested(): Set<number> {
  const here = new URL('.', import.meta.url);
  const texts = readdirSync(here)
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => readFileSync(new URL(name, here), 'utf8'));
  const titles = texts.flatMap((text) => [...text.matchAll(/^regression\('T(\d+) /gm)]);
  return new Set(titles.map(([, number]) => Number(number)));
}

/** Numbers that are in neither list, or in both. */
function unaccounted(numbers: ReadonlySet<number>, waiting: readonly Waiting[]): string[] {
  const findings: string[] = [];
  for (let number = 1; number <= BUGS; number++) {
    const reasons = waiting.filter((entry) => entry.number === number);
    const whole = reasons.some(({ what }) => what === 'all');
    if (!numbers.has(number) && !whole) findings.push(`T${number} has neither test nor reason`);
    if (numbers.has(number) && whole) findings.push(`T${number} has a test, and waits for one`);
  }
  for (const number of [...numbers, ...waiting.map((entry) => entry.number)]) {
    if (number < 1 || number > BUGS) findings.push(`T${number} is not in the list`);
  }
  return findings;
}

describe('the bugs of the list', () => {
  it('are tested, or wait for what is not there yet', () => {
    expect(unaccounted(tested(), WAITING)).toEqual([]);
  });

  it('control: one that is forgotten is missed', () => {
    const numbers = tested();
    numbers.delete(7);
    numbers.add(30);
    const waiting = [...WAITING, { number: 2, what: 'all', reason: 'none' } as const];
    expect(unaccounted(numbers, waiting)).toEqual([
      'T2 has a test, and waits for one',
      'T7 has neither test nor reason',
      'T30 is not in the list',
    ]);
  });
});
