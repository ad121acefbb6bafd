/** Programs: mount(8), umount(8), fusermount3 and sync(1), which do what Node has no call for. */
import { spawn } from 'node:child_process';

export interface Outcome {
  /** Null if the program could not be run, or was killed. */
  readonly status: number | null;
  readonly output: string;
}

export interface ProgramOptions {
  /** What the program has as its descriptor 3. */
  readonly fd?: number;
  /** Beside what it inherits. */
  readonly env?: Readonly<Record<string, string>>;
}

export function runProgram(
  program: string,
  args: readonly string[],
  { fd, env }: ProgramOptions = {},
): Promise<Outcome> {
  return new Promise((done) => {
    const more = fd === undefined ? [] : [fd];
    const child = spawn(program, args, {
      stdio: ['ignore', 'ignore', 'pipe', ...more],
      env: { ...process.env, ...env },
    });
    let output = '';
    child.stderr?.on('data', (data) => {
      output += String(data);
    });
    child.once('error', ({ message }) => done({ status: null, output: message }));
    child.once('close', (status) => done({ status, output }));
  });
}

/** What a program complained of, in one line and without its name. */
export function reasonIn(output: string, program: string): string {
  const [line = 'no reason was told'] = output.trim().split('\n');
  return line
    .replace(new RegExp(`^(?:/[^ ]*/)?${program}: (?:/[^:]*: )?`, 'u'), '')
    .replace(/\.$/u, '');
}
