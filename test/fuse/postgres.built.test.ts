/**
 * PostgreSQL on a mount, with checksums: it or the server of the mount is killed while it works,
 * and every transaction that it has acknowledged is there.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { describeMounts, Mounted } from './mounted.ts';
import { Postgres, postgresPrograms } from './postgres.ts';

const LONG = process.env['RAMET_LONG'] === '1';
const programs = postgresPrograms();

/** A client that inserts rows, one transaction each, and counts what it is told is committed. */
class Teller {
  readonly #client: ChildProcess;
  #said = '';

  constructor(postgres: Postgres, id: number, from: number) {
    this.#client = postgres.client('psql', '-v', 'ON_ERROR_STOP=1');
    this.#client.stdout?.on('data', (data) => {
      this.#said += data;
    });
    const rows = Array.from({ length: 50_000 }, (_, i) => from + i);
    const insert = (n: number): string => `insert into told values (${id}, ${n}, md5('${n}'));`;
    // Who is killed reads no more.
    this.#client.stdin?.on('error', () => {});
    this.#client.stdin?.end(`${rows.map(insert).join('\n')}\n`);
  }

  async ended(): Promise<number> {
    if (this.#client.exitCode === null) await once(this.#client, 'close');
    return this.#said.split('INSERT 0 1\n').length - 1;
  }

  kill(): void {
    this.#client.kill('SIGKILL');
  }
}

/** What pgbench has moved between accounts adds up, and no page or index is wrong. */
function judge(postgres: Postgres): void {
  const sums = ['accounts a', 'tellers t', 'branches b'].map((pair) => {
    const [table, letter] = pair.split(' ');
    return `(select sum(${letter}balance) from pgbench_${table})`;
  });
  const [found] = postgres.query(
    `select count(distinct s) from
     unnest(array[${sums}, (select sum(delta) from pgbench_history)]) s`,
  );
  expect(found).toBe('1');
  postgres.run('pg_amcheck', '--heapallindexed', 'postgres');
}

/** Lets clients work until something ends them; rows that they were told of must be there. */
async function workUntil(
  postgres: Postgres,
  from: number,
  ends: () => Promise<void>,
  restarts: () => Promise<void>,
): Promise<number> {
  const bench = postgres.client('pgbench', '-n', '-c', '4', '-T', '600');
  const tellers = [1, 2].map((id) => new Teller(postgres, id, from));
  const gone = once(bench, 'close');
  await ends();
  // A client may wait for a server that does not answer any more.
  const told = await Promise.all(tellers.map((teller) => teller.ended()));
  bench.kill('SIGKILL');
  await gone;
  await restarts();
  for (const [i, count] of told.entries()) {
    const where = `client = ${i + 1} and n >= ${from} and n < ${from + count} and x = md5(n::text)`;
    expect(postgres.query(`select count(*) from told where ${where}`)).toEqual([String(count)]);
  }
  judge(postgres);
  return told.reduce((sum, count) => sum + count, 0);
}

interface Round {
  readonly title: string;
  readonly options: readonly string[];
  readonly settings?: readonly string[];
  readonly kills: number;
}

const SHORT: Round[] = [{ title: 'plain', options: [], kills: 1 }];
const ROUNDS: Round[] = [
  { title: 'plain', options: [], kills: 6 },
  { title: 'with the writeback cache', options: ['-o', 'writeback'], kills: 6 },
  {
    title: 'with a log that is written past the cache',
    options: [],
    settings: ['wal_sync_method=open_datasync', 'wal_level=minimal', 'max_wal_senders=0'],
    kills: 3,
  },
];

describeMounts('PostgreSQL on a mount', () => {
  it.runIf(programs !== undefined).each(LONG ? ROUNDS : SHORT)(
    'has all that it has acknowledged, whoever is killed: $title',
    { timeout: 600_000 },
    async ({ options, settings, kills }) => {
      using mounted = new Mounted('4GiB');
      mounted.mount(...options);
      using postgres = new Postgres(programs as string, mounted, settings);
      postgres.init();
      await postgres.start();
      postgres.run('pgbench', '-q', '-i', '-s', LONG ? '10' : '1');
      postgres.query('create extension amcheck; create table told (client int, n int, x text)');
      let from = 0;
      let told = 0;
      const work = async (ends: () => Promise<void>, restarts: () => Promise<void>) => {
        told += await workUntil(postgres, from, ends, restarts);
        from += 50_000;
      };
      for (let i = 0; i < kills; i++) {
        const ms = LONG ? 1000 + 1500 * i : 1000;
        await work(
          async () => {
            await setTimeout(ms);
            await postgres.kill();
          },
          () => postgres.start(),
        );
        await work(
          async () => {
            await setTimeout(ms);
            process.kill(mounted.server, 'SIGKILL');
            await postgres.gone();
          },
          async () => {
            mounted.umount();
            expect(mounted.check()).not.toMatch(/error|fatal/u);
            mounted.mount(...options);
            await postgres.start();
          },
        );
      }
      for (const sql of ['checkpoint', 'vacuum full']) postgres.query(sql);
      judge(postgres);
      await postgres.stop();
      postgres.run('pg_checksums', '--check', '-D', 'data');
      mounted.umount();
      expect(mounted.check()).toContain('clean');
      expect(told).toBeGreaterThan(0);
      process.stdout.write(`${told} transactions acknowledged, ${2 * kills} kills\n`);
    },
  );
});
