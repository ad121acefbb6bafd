/**
 * Postgres: a server of PostgreSQL whose data are in a mount, run by the user `postgres`.
 *
 * It is a child of this process and not of pg_ctl: of one that was killed nothing may be left, not
 * even a process that nobody has waited for, or the next one would take its data for in use.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Mounted } from './mounted.ts';

const ROOT = '/usr/lib/postgresql';

/** Where Debian has the programs of the newest server; undefined, and said so, without one. */
export function postgresPrograms(): string | undefined {
  const versions = existsSync(ROOT) ? readdirSync(ROOT).map(Number) : [];
  const newest = versions
    .filter((one) => existsSync(`${ROOT}/${one}/bin/initdb`))
    .sort()
    .at(-1);
  if (newest === undefined) process.stdout.write('\nNOT TESTED with PostgreSQL: there is none\n\n');
  return newest === undefined ? undefined : `${ROOT}/${newest}/bin`;
}

export class Postgres {
  readonly #programs: string;
  readonly #mounted: Mounted;
  readonly #settings: readonly string[];
  #server: ChildProcess | undefined;

  /** @param settings of the server, as `wal_sync_method=open_datasync` */
  constructor(programs: string, mounted: Mounted, settings: readonly string[] = []) {
    this.#programs = programs;
    this.#mounted = mounted;
    this.#settings = settings;
    chmodSync(mounted.folder, 0o755);
  }

  /** Makes a cluster, with checksums. */
  init(): void {
    this.#mounted.sh('install -d -o postgres -g postgres -m 700 pg');
    this.run('initdb', '-D', 'data', '--data-checksums', '--no-sync', '-A', 'trust');
  }

  /** Starts the server; resolves when it takes connections, after a recovery that may be due. */
  async start(): Promise<void> {
    for (let tries = 0; tries < 200; tries++) {
      if (this.#server === undefined || this.#server.exitCode !== null)
        this.#server = this.#spawn();
      await setTimeout(100);
      if (this.#try('psql', '-qc', 'select 1').status === 0) return;
    }
    throw new Error(`PostgreSQL does not start: ${readFileSync(`${this.#mounted.folder}/pg.log`)}`);
  }

  /** Ends it as an administrator does. */
  async stop(): Promise<void> {
    const gone = this.gone();
    this.#server?.kill('SIGINT');
    await gone;
  }

  /** Kills it; its backends notice by themselves. */
  async kill(): Promise<void> {
    const gone = this.gone();
    this.#server?.kill('SIGKILL');
    await gone;
  }

  /** Resolves when no process of the server is left. */
  async gone(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    if (server.exitCode === null && server.signalCode === null) await once(server, 'exit');
    while (spawnSync('pgrep', ['-g', String(server.pid)]).status === 0) await setTimeout(20);
    this.#server = undefined;
  }

  /** Runs one of its programs, which must succeed; what it prints. */
  run(program: string, ...args: string[]): string {
    const { status, stdout, stderr } = this.#try(program, ...args);
    if (status !== 0) throw new Error(`${program} ended with ${status}: ${stdout}${stderr}`);
    return stdout.trimEnd();
  }

  /** Rows that a query has, a line each. */
  query(sql: string): string[] {
    return this.run('psql', '-Atc', sql).split('\n');
  }

  /** Starts one of its programs as a client of the server. */
  client(program: string, ...args: string[]): ChildProcess {
    const [command, all] = this.#command(program, args);
    return spawn(command, all, { cwd: this.#home, stdio: ['pipe', 'pipe', 'ignore'] });
  }

  /** Whatever is left, goes: who has a mount open keeps its server alive. */
  [Symbol.dispose](): void {
    this.#server?.kill('SIGKILL');
  }

  get #home(): string {
    return join(this.#mounted.path, 'pg');
  }

  #spawn(): ChildProcess {
    const settings = ['listen_addresses=', 'fsync=on', ...this.#settings].flatMap((one) => [
      '-c',
      one,
    ]);
    const [command, args] = this.#command('postgres', [
      '-D',
      'data',
      '-k',
      this.#home,
      ...settings,
    ]);
    const log = `exec >> '${this.#mounted.folder}/pg.log' 2>&1; exec "$0" "$@"`;
    return spawn('bash', ['-c', log, command, ...args], { cwd: this.#home, detached: true });
  }

  #try(program: string, ...args: string[]): ReturnType<typeof spawnSync> & { stdout: string } {
    const [command, all] = this.#command(program, args);
    const options = { cwd: this.#home, encoding: 'utf8', timeout: 300_000 } as const;
    return spawnSync(command, all, options);
  }

  #command(program: string, args: readonly string[]): [string, string[]] {
    const user = ['--reuid=postgres', '--regid=postgres', '--clear-groups', '--'];
    const env = [`PGHOST=${this.#home}`, 'PGDATABASE=postgres', 'LC_ALL=C'];
    return ['setpriv', [...user, 'env', ...env, join(this.#programs, program), ...args]];
  }
}
