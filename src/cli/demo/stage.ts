/**
 * Stage: how the demo looks. A line for each step as it ends, a bar while it runs, and the
 * comparison. With --json every line is one value.
 */
import { counted, formatCount, formatSize, formatTime } from '../sizes.ts';
import { formatTable } from '../table.ts';
import type { Terminal } from '../terminal.ts';
import type { PeerMeasure, Skipped } from './peers.ts';

/** What a step came to. */
export interface StepResult {
  /** How many times something was done, and what one time is called. */
  readonly count?: number;
  /** Bytes that the image takes more, or less. */
  readonly taken?: number;
  /** What else there is to say. */
  readonly note?: string;
}

/** How a step tells how far it is. */
export type Tell = (done: number, total?: number) => void;

const NAME_WIDTH = 38;
const TIME_WIDTH = 9;
const SIZE_WIDTH = 11;

export class Stage {
  readonly #terminal: Terminal;
  readonly #json: boolean;

  constructor(terminal: Terminal, json: boolean) {
    this.#terminal = terminal;
    this.#json = json;
  }

  /** A headline, and what follows under it. */
  async title(text: string, detail = ''): Promise<void> {
    if (this.#json) return;
    const { paint } = this.#terminal;
    await this.#terminal.line(`\n${paint.bold(text)}${detail === '' ? '' : `  ${detail}`}\n`);
    await this.#terminal.flush();
  }

  async text(line: string): Promise<void> {
    if (!this.#json) await this.#terminal.line(line);
  }

  /** Runs a step, with a bar while it runs and a line when it has ended. */
  async step(name: string, body: (tell: Tell) => Promise<StepResult>): Promise<number> {
    const progress = this.#terminal.progress(`  ${name}`, 'items');
    const start = performance.now();
    let result: StepResult;
    try {
      result = await body((done, total) => progress.update({ done, total }));
    } finally {
      progress.end();
    }
    const ms = performance.now() - start;
    await this.#line(name, ms, result);
    return ms;
  }

  async #line(name: string, ms: number, { count, taken, note }: StepResult): Promise<void> {
    const terminal = this.#terminal;
    if (this.#json) {
      await terminal.json({ step: name, seconds: round(ms / 1000), count, taken, note });
    } else {
      const { paint } = terminal;
      const time = paint.bold(formatTime(ms).padStart(TIME_WIDTH));
      const size = (taken === undefined ? '' : signed(taken)).padStart(SIZE_WIDTH);
      const each = count === undefined ? [] : [`${formatTime(ms / count)} each`];
      const rest = [...each, ...(note === undefined ? [] : [note])].join(', ');
      const line = `  ${name.padEnd(NAME_WIDTH)}${time}${size}   ${paint.dim(rest)}`;
      await terminal.line(rest === '' ? line.trimEnd() : line);
    }
    await terminal.flush();
  }

  /** The image beside other ways to copy the same tree. */
  async compare(copies: number, peers: readonly Peer[]): Promise<void> {
    const terminal = this.#terminal;
    if (this.#json) {
      for (const { name, one, all } of peers) await terminal.json({ peer: name, one, all });
      return;
    }
    const times = formatCount(copies);
    const columns = ['', 'ONE COPY', '', `${times} COPIES`, '', ''].map(
      (title, at) => ({ title, align: at === 0 || at === 5 ? 'left' : 'right' }) as const,
    );
    const rows = peers.map(({ name, one, all }) => {
      if ('skipped' in one) return [`  ${name}`, 'skipped:', one.skipped, '', '', ''];
      const many = all ?? { ms: one.ms * copies, bytes: one.bytes * copies };
      const how = all === undefined ? `one measured, times ${times}` : 'all measured';
      const sizes = [one, many].flatMap(({ ms, bytes }) => [formatTime(ms), formatSize(bytes)]);
      return [`  ${name}`, ...sizes, how];
    });
    await terminal.line(formatTable(columns, rows, terminal.paint.dim));
  }

  async verdict(compared: { files: number; bytes: number; diffs: number }): Promise<void> {
    const terminal = this.#terminal;
    if (this.#json) {
      await terminal.json({ verdict: 'right', ...compared });
      return;
    }
    const what = `${formatSize(compared.bytes)} in ${counted(compared.files, 'file')}`;
    const line = `Every byte is right: ${what} and ${counted(compared.diffs, 'diff')} compared`;
    await terminal.line(`\n${terminal.paint.green(line)}`);
  }
}

/** A way to copy a tree: one copy, and many if they were measured. */
export interface Peer {
  readonly name: string;
  readonly one: PeerMeasure | Skipped;
  readonly all?: PeerMeasure;
}

function signed(bytes: number): string {
  return `${bytes < 0 ? '-' : '+'}${formatSize(Math.abs(bytes))}`;
}

function round(value: number): number {
  return Math.round(value * 1e6) / 1e6;
}
