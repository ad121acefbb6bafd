/**
 * Tables: columns without lines, so that they can be read, cut and pasted.
 */
import Table from 'cli-table3';

const NO_LINES = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
};

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
}

/** A table of text cells, its titles passed through `paintTitle`. No line ends with a space. */
export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  paintTitle: (text: string) => string = String,
): string {
  const table = new Table({
    chars: NO_LINES,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    colAligns: columns.map(({ align }) => align ?? 'left'),
  });
  table.push(columns.map(({ title }) => paintTitle(title)));
  for (const row of rows) table.push([...row]);
  return trimLines(table.toString());
}

/** Names and values below each other, the names in one column. */
export function formatFacts(
  facts: readonly (readonly [name: string, value: string])[],
  paintName: (text: string) => string = String,
): string {
  const width = Math.max(...facts.map(([name]) => name.length));
  return facts
    .map(([name, value]) => `  ${paintName(name.padEnd(width))}  ${value}`.trimEnd())
    .join('\n');
}

function trimLines(text: string): string {
  return text
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}
