/**
 * Saying: a program on a mount that says a number, on a line of its own, when it has done a piece
 * of its work.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { expect } from 'vitest';
import type { Mounted } from './mounted.ts';

export class Saying {
  readonly #child: ChildProcess;
  #said = '';

  constructor(mounted: Mounted, program: string, ...args: string[]) {
    this.#child = spawn(program, args, {
      cwd: mounted.path,
      stdio: ['ignore', 'pipe', 'ignore'],
      detached: true,
    });
    this.#child.stdout?.on('data', (data) => {
      this.#said += data;
    });
  }

  /** The last number that was said whole; -1 without one. */
  get last(): number {
    return Number(this.#said.split('\n').at(-2) ?? -1);
  }

  /** How many it has said. */
  get count(): number {
    return this.#said.split('\n').length - 1;
  }

  async untilSaid(count: number): Promise<void> {
    for (let i = 0; i < 3000 && this.count < count; i++) await setTimeout(10);
    expect(this.count).toBeGreaterThanOrEqual(count);
  }

  /** Kills it, and what it has started. */
  async kill(): Promise<number> {
    const { pid, exitCode, signalCode } = this.#child;
    const closed = once(this.#child, 'close');
    // Of one that has ended some that it has started may be left.
    spawnSync('kill', ['-KILL', '--', `-${pid}`]);
    if (exitCode === null && signalCode === null) await closed;
    return this.last;
  }
}
