#!/usr/bin/env node
/**
 * cli: the command `ramet`.
 *
 * Each command is one file of commands/; program.ts puts them together; this one lends them the
 * process: its streams, its environment and its signals.
 */
import { Fault, Status } from './faults.ts';
import { runProgram } from './program.ts';
import { Terminal } from './terminal.ts';

const controller = new AbortController();

/** The first signal ends a command at the next place that is fit for it, the second at once. */
function interrupt(status: number): void {
  if (controller.signal.aborted) process.exit(status);
  controller.abort(new Fault('Interrupted', { code: 'EINTR', status }));
}

process.on('SIGINT', () => interrupt(Status.INTERRUPTED));
process.on('SIGTERM', () => interrupt(Status.TERMINATED));
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // Nobody reads any more, as in `ramet ls | head`.
  if (error.code === 'EPIPE') process.exit(Status.BROKEN_PIPE);
  process.stderr.write(`ramet: Cannot write the result: ${error.message}\n`);
  process.exit(Status.FAILED);
});

process.exitCode = await runProgram(
  process.argv.slice(2),
  new Terminal({
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    environment: process.env,
    signal: controller.signal,
  }),
);
