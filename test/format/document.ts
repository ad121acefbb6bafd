/** The tables of docs/FORMAT.md, as data. */
import { readFileSync } from 'node:fs';

const PATH = new URL('../../docs/FORMAT.md', import.meta.url);

/** The document's text. */
export const FORMAT = readFileSync(PATH, 'utf8');

export interface Table {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** A field of a structure. */
export interface Field {
  readonly offset: number;
  readonly size: number;
  readonly name: string;
}

/** Tables under the heading that begins with `heading`, up to the next heading. */
export function tablesUnder(heading: string): Table[] {
  const lines = FORMAT.split('\n');
  const start = lines.findIndex((line) => line.startsWith('#') && line.includes(` ${heading}`));
  if (start < 0) throw new Error(`Cannot find heading ${heading} in docs/FORMAT.md`);
  const tables: { columns: string[]; rows: string[][] }[] = [];
  let inside = false;
  for (const line of lines.slice(start + 1)) {
    if (line.startsWith('#')) break;
    const cells = line.startsWith('|') ? cellsOf(line) : undefined;
    if (cells === undefined) inside = false;
    else if (!inside) {
      tables.push({ columns: cells, rows: [] });
      inside = true;
    } else if (!/^-+$/.test(cells[0] ?? '')) {
      tables.at(-1)?.rows.push(cells);
    }
  }
  return tables;
}

function cellsOf(line: string): string[] {
  const cells = line.split('|').map((cell) => cell.trim());
  return cells.slice(1, -1);
}

/** The table with these first columns. */
export function tableOf(heading: string, ...columns: readonly string[]): Table {
  const found = tablesUnder(heading).find((table) =>
    columns.every((column, i) => table.columns[i] === column),
  );
  if (found === undefined) throw new Error(`Cannot find table ${columns} under ${heading}`);
  return found;
}

/** The fields of a structure; of several structures, the one whose first field is `first`. */
export function fieldsOf(heading: string, first?: string): Field[] {
  const tables = tablesUnder(heading)
    .filter(({ columns }) => columns[0] === 'offset' && columns[1] === 'size')
    .map(({ rows }) =>
      rows.map(([offset, size, name]) => ({
        offset: Number(offset),
        size: Number(size),
        name: name as string,
      })),
    );
  const found = tables.find((fields) => first === undefined || fields[0]?.name === first);
  if (found === undefined) throw new Error(`Cannot find fields under ${heading}`);
  return found;
}
