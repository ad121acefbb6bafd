/**
 * Every bug of the list has its test.
 *
 * The list are 29 bugs that Linux had in buffered and direct I/O over mappings, through DAX, in
 * sharing and in space; each test tells its own in a sentence. The numbers are those of the titles.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const BUGS = 29;

/** Numbers in the titles of the regressions beside this file. */
function tested(): Set<number> {
  const here = new URL('.', import.meta.url);
  const texts = readdirSync(here)
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => readFileSync(new URL(name, here), 'utf8'));
  const titles = texts.flatMap((text) => [...text.matchAll(/^regression\('T(\d+) /gm)]);
  return new Set(titles.map(([, number]) => Number(number)));
}

function findings(numbers: ReadonlySet<number>): string[] {
  const list = Array.from({ length: BUGS }, (_, i) => i + 1);
  return [
    ...list.filter((number) => !numbers.has(number)).map((number) => `T${number} has no test`),
    ...[...numbers]
      .filter((number) => !list.includes(number))
      .map((number) => `T${number} is not in the list`),
  ];
}

describe('the bugs of the list', () => {
  it('are tested', () => {
    expect(findings(tested())).toEqual([]);
  });

  it('control: one that is forgotten is missed', () => {
    const numbers = tested();
    numbers.delete(7);
    numbers.add(30);
    expect(findings(numbers)).toEqual(['T7 has no test', 'T30 is not in the list']);
  });
});
