/**
 * Rig: the command in this process, with streams of its own and a directory of its own.
 */
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { afterEach, beforeEach, expect } from 'vitest';
import { runProgram } from '../../src/cli/program.ts';
import { type Screen, Terminal } from '../../src/cli/terminal.ts';

export interface RunOptions {
  readonly stdin?: string | Uint8Array;
  /** Standard output and error are a terminal. */
  readonly tty?: boolean;
  readonly environment?: Record<string, string>;
  readonly signal?: AbortSignal;
}

export interface Outcome {
  readonly status: number;
  /** Text of both streams; the directory of the test is left out of paths. */
  readonly stdout: string;
  readonly stderr: string;
  readonly bytes: Buffer;
}

/** A stream that keeps what is written to it. */
class Capture extends Writable {
  readonly chunks: Buffer[] = [];
  readonly isTTY: boolean;
  readonly columns = 80;

  constructor(isTTY: boolean) {
    super();
    this.isTTY = isTTY;
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.chunks.push(Buffer.from(chunk));
    done();
  }

  get bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }
}

/** A directory for each test, and the command to be run in it. */
export class Rig {
  folder = '';

  constructor() {
    beforeEach(() => {
      this.folder = realpathSync(mkdtempSync(join(tmpdir(), 'ramet-cli-')));
    });
    afterEach(() => rmSync(this.folder, { recursive: true, force: true }));
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** Runs a command line; `~/` in an argument stands for the test's own directory. */
  async run(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    const { stdin = '', tty = false, environment = {} } = options;
    const [stdout, stderr] = [new Capture(tty), new Capture(tty)];
    const terminal = new Terminal({
      stdin: Readable.from([Buffer.from(stdin)]),
      stdout: stdout as Screen,
      stderr: stderr as Screen,
      environment: { TERM: 'xterm', ...environment },
      signal: options.signal ?? new AbortController().signal,
    });
    const absolute = args.map((arg) => arg.replaceAll('~/', `${this.folder}/`));
    const status = await runProgram(absolute, terminal);
    return {
      status,
      stdout: this.#relative(stdout.bytes),
      stderr: this.#relative(stderr.bytes),
      bytes: stdout.bytes,
    };
  }

  /** Runs a command line that must succeed without a word on standard error; its output. */
  async ok(...args: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.run(args);
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
    return stdout;
  }

  /** The values that a command line prints with --json. */
  async json(...args: string[]): Promise<Record<string, unknown>[]> {
    const text = await this.ok(...args, '--json');
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** Runs a command line that must fail, and print nothing else; its line on standard error. */
  async fails(...args: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.run(args);
    expect({ stdout, status: status > 0 }).toEqual({ stdout: '', status: true });
    expect(stderr).toMatch(/^ramet: Cannot [^\n]+\n$/u);
    return `${stderr.trimEnd().replace(/^ramet: /u, '')} [${status}]`;
  }

  #relative(bytes: Buffer): string {
    return bytes.toString('utf8').replaceAll(`${this.folder}/`, '');
  }
}
