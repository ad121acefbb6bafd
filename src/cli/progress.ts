/**
 * Progress: one line that says how far long work is, how fast it goes and what is left.
 *
 *   import  [########--------]  51%  2,419 of 4,743  98.1 MiB  187 MiB/s  1.2 s left
 */
import type { Writable } from 'node:stream';
import type pc from 'picocolors';
import { formatCount, formatSize, formatTime } from './sizes.ts';

/** What the rate is counted in. */
export type Unit = 'bytes' | 'items';

export interface ProgressState {
  /** Items that are done, and how many there are if that is known. */
  readonly done: number;
  readonly total?: number | undefined;
  readonly bytes?: number;
}

export interface ProgressOptions {
  readonly label: string;
  readonly unit: Unit;
  readonly paint: Pick<typeof pc, 'cyan' | 'dim'>;
}

/** Of a screen that does not say how wide it is, or says 0. */
export const DEFAULT_COLUMNS = 80;

const REDRAW_MS = 100;
const WIDTH = 24;
/** Before this the rate is a guess. */
const SETTLED_MS = 500;

export class Progress {
  readonly #screen: (Writable & { columns?: number }) | undefined;
  readonly #options: ProgressOptions;
  readonly #start = performance.now();
  #drawn = 0;
  #dirty = false;

  /** Without a screen nothing is drawn. */
  constructor(screen: Writable | undefined, options: ProgressOptions) {
    this.#screen = screen;
    this.#options = options;
  }

  /** True if somebody looks: only then is it worth finding out how much there is to do. */
  get seen(): boolean {
    return this.#screen !== undefined;
  }

  update(state: ProgressState): void {
    if (this.#screen === undefined) return;
    const now = performance.now();
    if (now - this.#drawn < REDRAW_MS) return;
    this.#drawn = now;
    this.#dirty = true;
    const columns = this.#screen.columns || DEFAULT_COLUMNS;
    this.#screen.write(`\r\x1b[2K${this.#line(state, now - this.#start, columns)}`);
  }

  /** Takes the line away. */
  end(): void {
    if (this.#dirty) this.#screen?.write('\r\x1b[2K');
    this.#dirty = false;
  }

  #line(state: ProgressState, ms: number, columns: number): string {
    const { label, paint } = this.#options;
    const text = progressText(state, ms, this.#options.unit);
    const { done, total } = state;
    const plain = `${label}  ${text}`;
    if (total === undefined || plain.length + WIDTH + 4 > columns)
      return plain.slice(0, columns - 1);
    const filled = Math.round(WIDTH * Math.min(1, total === 0 ? 1 : done / total));
    const bar = paint.cyan('#'.repeat(filled)) + paint.dim('-'.repeat(WIDTH - filled));
    return `${label}  [${bar}]  ${text}`;
  }
}

/** What stands beside the bar. */
export function progressText(state: ProgressState, ms: number, unit: Unit): string {
  const { done, total, bytes } = state;
  const parts: string[] = [];
  if (total !== undefined) {
    const share = total === 0 ? 1 : Math.min(1, done / total);
    parts.push(`${Math.floor(share * 100)}%`.padStart(4));
  }
  if (unit === 'items') {
    parts.push(
      total === undefined ? formatCount(done) : `${formatCount(done)} of ${formatCount(total)}`,
    );
  }
  if (bytes !== undefined) parts.push(formatSize(bytes));
  if (ms >= SETTLED_MS) {
    const seconds = ms / 1000;
    const rate =
      bytes === undefined
        ? `${formatCount(Math.round(done / seconds))}/s`
        : `${formatSize(bytes / seconds)}/s`;
    parts.push(rate);
    if (total !== undefined && done > 0 && done < total) {
      parts.push(`${formatTime((ms * (total - done)) / done)} left`);
    }
  }
  return parts.join('  ');
}
