/**
 * Mapping bar: a file from its first byte to its last, as one line.
 *
 *   [====~~~~~~~~====........==]
 *
 * Each cell stands for an equal part of the file and shows what most of that part is. The signs
 * differ without colours, too.
 */
import type { Extent } from '../api/index.ts';
import type { Paint } from './terminal.ts';

type Look = 'own' | 'shared' | 'inline' | 'unwritten' | 'delalloc' | 'hole';

interface Sign {
  readonly letter: string;
  readonly color: 'green' | 'cyan' | 'magenta' | 'yellow' | 'dim';
  readonly meaning: string;
}

const SIGNS: Readonly<Record<Look, Sign>> = {
  own: { letter: '=', color: 'green', meaning: 'its own' },
  shared: { letter: '~', color: 'cyan', meaning: 'shared' },
  inline: { letter: 'i', color: 'magenta', meaning: 'inline' },
  unwritten: { letter: 'u', color: 'yellow', meaning: 'unwritten' },
  delalloc: { letter: 'd', color: 'yellow', meaning: 'not yet placed' },
  hole: { letter: '.', color: 'dim', meaning: 'hole' },
};

const WIDTH_MAX = 100;

export interface BarOptions {
  /** Columns of the terminal. */
  readonly width: number;
  readonly paint: Paint;
}

/** The bar of a file of `size` bytes, at least one, and what its signs mean. */
export function mappingBar(
  extents: readonly Extent[],
  size: number,
  { width, paint }: BarOptions,
): { bar: string; legend: string } {
  const cells = Math.max(1, Math.min(WIDTH_MAX, width - 2));
  const looks = Array.from({ length: cells }, (_, cell) =>
    lookOf(extents, (size * cell) / cells, (size * (cell + 1)) / cells),
  );
  const used = new Set(looks);
  const show = (look: Look, text: string): string => paint[SIGNS[look].color](text);
  const legend = (Object.keys(SIGNS) as Look[])
    .filter((look) => used.has(look))
    .map((look) => `${show(look, SIGNS[look].letter)} ${SIGNS[look].meaning}`);
  const bar = looks.map((look) => show(look, SIGNS[look].letter)).join('');
  return { bar: `[${bar}]`, legend: legend.join('   ') };
}

/** What most of a range is. */
function lookOf(extents: readonly Extent[], start: number, end: number): Look {
  const bytes = new Map<Look, number>();
  let mapped = 0;
  for (const { offset, length, type, shared } of extents) {
    const common = Math.min(end, offset + length) - Math.max(start, offset);
    if (common <= 0) continue;
    const look = type === 'data' ? (shared ? 'shared' : 'own') : type;
    bytes.set(look, (bytes.get(look) ?? 0) + common);
    mapped += common;
  }
  bytes.set('hole', Math.max(0, end - start - mapped));
  return [...bytes].reduce((best, next) => (next[1] > best[1] ? next : best))[0];
}
