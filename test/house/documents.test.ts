/**
 * Documents: what they point at is there, and what they repeat is so.
 */
import { existsSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CATALOGUE, type IssueCode } from '../../src/check/index.ts';
import { PLANTS, type Plant } from '../check/plants.ts';
import { filesBelow } from './examples.ts';

const DOCUMENTS = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  ...filesBelow('docs', '.md'),
  'examples/README.md',
];

/** Where a file named in a document may be. */
const PLACES = ['', 'src/', 'docs/'];

describe.each(DOCUMENTS)('%s', (path) => {
  const text = readFileSync(path, 'utf8');

  it('has links that lead somewhere', () => {
    const links = [...text.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/gu)].map((match) => match[1] ?? '');
    const missing = links.filter((to) => !existsSync(posix.join(posix.dirname(path), to)));
    expect(missing).toEqual([]);
  });

  it('names files that exist', () => {
    const named = [...text.matchAll(/`([\w-]+\/[\w./-]+\.(?:ts|mjs|md))`/gu)].map(
      (match) => match[1] as string,
    );
    const missing = named.filter((name) => !PLACES.some((place) => existsSync(place + name)));
    // What a build makes is not there before it.
    expect(missing.filter((name) => !name.startsWith('dist/'))).toEqual([]);
  });
});

it('docs/TESTING.md has every code of the verifier, and what is planted for it', () => {
  const text = readFileSync('docs/TESTING.md', 'utf8');
  const rows = text.match(/^\| `[a-z-]+` \| (?:warning|error|fatal) \|.*$/gmu);
  const plants = Object.entries(PLANTS) as [IssueCode, Plant][];
  expect(rows).toEqual(
    plants.map(([code, { title }]) => `| \`${code}\` | ${CATALOGUE[code].severity} | ${title} |`),
  );
});
