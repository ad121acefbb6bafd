/**
 * Terminal: all that a command knows of the world it prints to and reads from.
 *
 * Results go to standard output; everything else (progress, warnings, faults) to standard error. A
 * test makes its own streams.
 */
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import pc from 'picocolors';
import { LiveScreen } from './live-screen.ts';
import { binaryOf } from './names.ts';
import { DEFAULT_COLUMNS, Progress, type Unit } from './progress.ts';

export type Screen = Writable & {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
};
export type Keyboard = Readable & { readonly isTTY?: boolean };
export type Paint = ReturnType<typeof pc.createColors>;

export interface TerminalOptions {
  readonly stdin: Keyboard;
  readonly stdout: Screen;
  readonly stderr: Screen;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Somebody wants the command to end; its reason is a fault. */
  readonly signal: AbortSignal;
}

/** Bytes of lines that are collected before they are written. */
const BATCH_LENGTH = 32 * 1024;
/** Long work gives way to signals and timers this often. */
const TURN_MS = 40;

export class Terminal {
  readonly stdin: Keyboard;
  readonly signal: AbortSignal;
  /** What the process ends with if nothing is wrong. */
  status = 0;
  /** Colours of standard output, or none. */
  readonly paint: Paint;
  readonly #stdout: Screen;
  readonly #stderr: Screen;
  readonly #environment: TerminalOptions['environment'];
  /** A binary string. */
  #batch = '';

  constructor(options: TerminalOptions) {
    this.stdin = options.stdin;
    this.signal = options.signal;
    this.#stdout = options.stdout;
    this.#stderr = options.stderr;
    this.#environment = options.environment;
    this.paint = pc.createColors(this.#hasColors(options.stdout));
  }

  /** Standard output is read by a person. */
  get isTTY(): boolean {
    return this.#stdout.isTTY === true;
  }

  /** A person is there to be asked. */
  get interactive(): boolean {
    return this.stdin.isTTY === true && this.#stderr.isTTY === true;
  }

  get columns(): number {
    return this.#stdout.columns || DEFAULT_COLUMNS;
  }

  /** Where prompts are drawn. */
  get stderr(): Screen {
    return this.#stderr;
  }

  /** Prints a line of the result. */
  async line(text = ''): Promise<void> {
    await this.raw(binaryOf(text));
  }

  /** Prints a value as one line of JSON. */
  async json(value: unknown): Promise<void> {
    await this.line(JSON.stringify(value));
  }

  /** Prints a line of a binary string: names that are no UTF-8 go out as they are. */
  async raw(binary: string): Promise<void> {
    this.#batch += `${binary}\n`;
    if (this.#batch.length >= BATCH_LENGTH) await this.flush();
  }

  /** Prints bytes as they are. The caller may reuse them afterwards. */
  async bytes(bytes: Uint8Array): Promise<void> {
    await this.flush();
    await this.#write(Buffer.from(bytes));
  }

  /** Writes what was collected. */
  async flush(): Promise<void> {
    const binary = this.#batch;
    this.#batch = '';
    if (binary !== '') await this.#write(Buffer.from(binary, 'latin1'));
  }

  async #write(data: Uint8Array): Promise<void> {
    if (!this.#stdout.write(data)) await once(this.#stdout, 'drain');
  }

  /** Tells something beside the result. */
  note(text: string): void {
    this.#stderr.write(`${text}\n`);
  }

  warn(text: string): void {
    this.note(`${this.#stderrPaint.yellow('ramet:')} ${text}`);
  }

  fail(text: string): void {
    this.note(`${this.#stderrPaint.red('ramet:')} ${text}`);
  }

  get #stderrPaint(): Paint {
    return pc.createColors(this.#hasColors(this.#stderr));
  }

  /** A bar on standard error if a person looks at it, else nothing. */
  progress(label: string, unit: Unit): Progress {
    const seen = this.#stderr.isTTY === true && this.#environment['TERM'] !== 'dumb';
    const paint = this.#stderrPaint;
    return new Progress(seen ? this.#stderr : undefined, { label, unit, paint });
  }

  /** The whole screen, to be drawn again and again; undefined if nobody looks at it. */
  live(): LiveScreen | undefined {
    const seen = this.isTTY && this.#environment['TERM'] !== 'dumb';
    return seen ? new LiveScreen(this.#stdout, this.signal) : undefined;
  }

  /**
   * Takes long work to its end, step by step. Between steps it lets signals and timers have their
   * turn; then `turn` is called.
   *
   * @throws the signal's reason once it is aborted; what was done so far stays
   */
  async work<Result>(
    steps: Generator<void, Result, void>,
    turn: () => void = () => {},
  ): Promise<Result> {
    let next = performance.now() + TURN_MS;
    for (;;) {
      const step = steps.next();
      if (step.done === true) return step.value;
      if (performance.now() < next) continue;
      await setImmediate();
      if (this.signal.aborted) steps.return(undefined as Result);
      this.signal.throwIfAborted();
      turn();
      next = performance.now() + TURN_MS;
    }
  }

  #hasColors({ isTTY }: Screen): boolean {
    const { NO_COLOR, FORCE_COLOR, TERM } = this.#environment;
    if (NO_COLOR !== undefined && NO_COLOR !== '') return false;
    if (FORCE_COLOR !== undefined) return FORCE_COLOR !== '0';
    return isTTY === true && TERM !== 'dumb';
  }
}
