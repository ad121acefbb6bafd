/**
 * Write picture: a write as its trace tells it, with the two mappings under the bytes.
 *
 *   file         |    block 0     |  blocks 1-2   |     block 3     |
 *   write                    [=============================]
 *   source       | mapped, shared | not asked for |      hole       |
 *   old bytes    |     copied     |               |     zeroed      |
 *   destination  |   0x5029000    |   0x502a000   |    0x502c000    |
 *
 * A write has a head and a tail, each a block that keeps some of its bytes, and between them blocks
 * that keep none. Each is a column, however many blocks it stands for.
 */
import type { Extent, TraceEvent } from '../api/index.ts';
import { BLOCK_SIZE, blocksFor, hex } from '../base/index.ts';
import { counted } from './sizes.ts';

export interface TracedWrite {
  readonly offset: number;
  readonly length: number;
  /** Size and extents of the file before. */
  readonly size: number;
  readonly extents: readonly Extent[];
  /** From the beginning of the write to the end of the commit. */
  readonly events: readonly TraceEvent[];
}

/** Blocks that the write treats alike. */
interface Part {
  readonly first: number;
  /** The block after the last. */
  readonly end: number;
}

type Of<Event extends TraceEvent['event']> = Extract<TraceEvent, { event: Event }>;

/** The picture, line by line. */
export function writePicture(write: TracedWrite): string[] {
  const parts = partsOf(write.offset, write.offset + write.length);
  const rows: [string, string[]][] = [
    ['file', parts.map(blockNames)],
    ['source', parts.map((part) => sourceOf(part, write))],
    ['old bytes', parts.map((part) => fateOf(part, write.events))],
    ['destination', parts.map((part) => addressOf(part, write.events))],
  ];
  const widths = parts.map((_, i) => Math.max(...rows.map(([, cells]) => widthOf(cells, i))) + 2);
  const lines = rows.map(([title, cells]) => {
    const row = cells.map((cell, i) => center(cell, widths[i] as number));
    return `${title.padEnd(TITLE)}|${row.join('|')}|`;
  });
  lines.splice(1, 0, `${'write'.padEnd(TITLE)} ${barOf(write, parts, widths)}`);
  return lines;
}

/** What the write waited for and what the device had to do, in words. */
export function writeSummary({ events }: TracedWrite): string[] {
  const waits = events.filter((event): event is Of<'wait'> => event.event === 'wait');
  const loads = waits.reduce((sum, wait) => sum + wait.loads, 0);
  const copied = events.filter(({ event }) => event === 'copy').length;
  const zeroed = events.filter(({ event }) => event === 'zero').length;
  const runs = events.filter((event): event is Of<'place'> => event.event === 'place');
  const placed = runs.reduce((sum, { length }) => sum + length, 0) / BLOCK_SIZE;
  return [
    `${counted(loads, 'block')} had to be read first`,
    `${counted(copied, 'block')} copied from a source, ${zeroed} zeroed`,
    `${counted(placed, 'block')} written to the device, in ${counted(runs.length, 'run')}`,
  ];
}

const TITLE = 13;

function partsOf(start: number, end: number): Part[] {
  const first = Math.floor(start / BLOCK_SIZE);
  const last = blocksFor(end);
  const inner = blocksFor(start);
  const innerEnd = Math.floor(end / BLOCK_SIZE);
  const cuts = [first, inner, Math.max(inner, innerEnd), last];
  return cuts
    .slice(0, -1)
    .map((from, i) => ({ first: from, end: cuts[i + 1] as number }))
    .filter((part) => part.end > part.first);
}

function blockNames({ first, end }: Part): string {
  return end - first === 1 ? `block ${first}` : `blocks ${first}-${end - 1}`;
}

/** What was there, if the filesystem was asked. */
function sourceOf({ first, end }: Part, { events, extents, size }: TracedWrite): string {
  const at = first * BLOCK_SIZE;
  for (const event of events) {
    if (event.event !== 'map' || event.request !== 'write') continue;
    const source = event.sources.find(({ offset, length }) => at >= offset && at < offset + length);
    if (source === undefined) continue;
    if (source.type !== 'mapped') return source.type;
    const address = (source.address as number) + at - source.offset;
    const owner = extents.find(({ offset, length }) => at >= offset && at < offset + length);
    return `${owner?.shared ? 'shared' : 'mapped'}, ${hex(address)}`;
  }
  if (at >= size) return 'behind the end';
  return end - first === 1 && touched(at, events) ? 'dirty' : 'not asked for';
}

function touched(at: number, events: readonly TraceEvent[]): boolean {
  return events.some(
    ({ event, offset }) => (event === 'copy' || event === 'zero') && offset === at,
  );
}

/** What became of the bytes that the write does not replace. */
function fateOf({ first, end }: Part, events: readonly TraceEvent[]): string {
  for (const event of events) {
    const block = event.offset / BLOCK_SIZE;
    if (block < first || block >= end) continue;
    if (event.event === 'copy') return event.from === 'device' ? 'read, copied' : 'copied';
    if (event.event === 'zero') return 'zeroed';
  }
  return 'none are kept';
}

function addressOf({ first }: Part, events: readonly TraceEvent[]): string {
  const at = first * BLOCK_SIZE;
  for (const event of events) {
    if (event.event !== 'place') continue;
    if (at < event.offset || at >= event.offset + event.length) continue;
    return event.address === undefined ? 'the inode' : hex(event.address + at - event.offset);
  }
  return 'not yet placed';
}

/** The bytes of the write, to scale within each column. */
function barOf(
  { offset, length }: TracedWrite,
  parts: readonly Part[],
  widths: readonly number[],
): string {
  const place = (byte: number): number => {
    let column = 0;
    for (const [i, { first, end }] of parts.entries()) {
      const width = widths[i] as number;
      const [from, to] = [first * BLOCK_SIZE, end * BLOCK_SIZE];
      if (byte <= to) return column + Math.round(((byte - from) / (to - from)) * width);
      column += width + 1;
    }
    return column - 1;
  };
  const start = place(offset);
  const cells = Math.max(2, place(offset + length) - start);
  return `${' '.repeat(start)}[${'='.repeat(cells - 2)}]`;
}

function widthOf(cells: readonly string[], i: number): number {
  return (cells[i] as string).length;
}

function center(text: string, width: number): string {
  const left = Math.floor((width - text.length) / 2);
  return ' '.repeat(left) + text + ' '.repeat(width - text.length - left);
}
