/**
 * SQLite on a volume: transactions that were committed survive any power cut, whole, and the
 * database is sound; with a rollback journal and with a write-ahead log.
 */
import { afterAll, describe, expect, it } from 'vitest';
import { Volume } from '../../src/api/index.ts';
import { MIB } from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import type { Random } from '../../src/testing/index.ts';
import { COMMON } from '../api/bench.ts';
import { crashImages, TapeDevice } from '../store/tape.ts';
import { seeded } from '../volume/seeds.ts';
import { Database } from './database.ts';

const SIZE = 4 * MIB;
const OPTIONS = { ...COMMON, cacheBytes: 4 * MIB } as const;

/** How changes become durable. The shared memory of a write-ahead log is one connection's own. */
const MODES = {
  'a rollback journal': 'PRAGMA journal_mode = DELETE',
  'a journal that is kept': 'PRAGMA journal_mode = PERSIST',
  'a write-ahead log':
    'PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 12',
} as const;

const TABLE = 'CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT)';

type Rows = ReadonlyMap<number, string>;

let images = 0;

afterAll(() => process.stdout.write(`${images} power cuts of databases\n`));

/** EXTRA: with a journal that is deleted, FULL leaves open whether its name is gone for good. */
async function openDatabase(volume: Volume, mode: string): Promise<Database> {
  const database = await Database.open(volume, 'notes.db');
  await database.run(`PRAGMA page_size = 4096; ${mode}; PRAGMA synchronous = EXTRA`);
  return database;
}

async function rowsOf(database: Database): Promise<Rows> {
  const rows = await database.run('SELECT id, text FROM notes ORDER BY id');
  return new Map(rows as [number, string][]);
}

/** Statements of one transaction, done to the rows too. */
function transaction(rows: Map<number, string>, random: Random): string {
  const statements: string[] = [];
  for (let i = random.between(1, 5); i > 0; i--) {
    const id = random.below(60);
    const text = `${random.next()} `.repeat(random.pick([1, 5, 100, 400]));
    if (random.chance(0.25)) {
      rows.delete(id);
      statements.push(`DELETE FROM notes WHERE id = ${id}`);
    } else {
      rows.set(id, text);
      statements.push(`INSERT OR REPLACE INTO notes VALUES (${id}, '${text}')`);
    }
  }
  return `BEGIN; ${statements.join('; ')}; COMMIT`;
}

/** A life of transactions: what the rows were after each, and how many calls it had taken. */
async function live(
  random: Random,
  mode: string,
): Promise<{ tape: TapeDevice; states: Rows[]; calls: number[] }> {
  const tape = new TapeDevice(new Uint8Array(SIZE));
  const volume = Volume.openSync(tape, { ...OPTIONS, create: true });
  const database = await openDatabase(volume, mode);
  await database.run(TABLE);
  tape.rewind();
  let rows = new Map<number, string>();
  const [states, calls]: [Rows[], number[]] = [[rows], [0]];
  for (let i = 0; i < 25; i++) {
    rows = new Map(rows);
    await database.run(transaction(rows, random));
    states.push(rows);
    calls.push(tape.calls.length);
    if (random.chance(0.1)) volume.syncSync();
    if (random.chance(0.05)) volume.cloneSync('/notes.db', `/copy ${i}`);
  }
  return { tape, states, calls };
}

/** What a cut has left is the state of a transaction, no older than the last that had ended. */
async function judge(
  image: Uint8Array,
  mode: string,
  states: readonly Rows[],
  [least, most]: readonly [number, number],
): Promise<void> {
  const volume = Volume.openSync(MemoryDevice.from(image), OPTIONS);
  const database = await openDatabase(volume, mode);
  expect(await database.run('PRAGMA integrity_check')).toEqual([['ok']]);
  const found = [...(await rowsOf(database))].join('\n');
  const which = states.findIndex((rows, i) => i >= least && sorted(rows) === found);
  expect(which, `a state from ${least} to ${most}`).toBeGreaterThanOrEqual(least);
  expect(which).toBeLessThanOrEqual(most);
  await database.close();
  volume.closeSync();
}

function sorted(rows: Rows): string {
  return [...rows].sort(([a], [b]) => a - b).join('\n');
}

describe.each(Object.entries(MODES))('SQLite with %s', (title, mode) => {
  it('is a database', async () => {
    const device = new MemoryDevice({ size: SIZE });
    const volume = Volume.openSync(device, { ...OPTIONS, create: true });
    const database = await openDatabase(volume, mode);
    await database.run(`${TABLE}; INSERT INTO notes VALUES (1, 'one'), (2, 'two')`);
    await database.run('BEGIN; DELETE FROM notes; ROLLBACK');
    await database.run("UPDATE notes SET text = 'zwei' WHERE id = 2");
    await database.close();
    volume.closeSync();
    const again = Volume.openSync(device, OPTIONS);
    const later = await openDatabase(again, mode);
    expect([...(await rowsOf(later))]).toEqual([
      [1, 'one'],
      [2, 'zwei'],
    ]);
    await later.close();
    again.closeSync();
  });

  seeded(`${title}: loses no transaction`, { count: 4 }, async (random) => {
    const { tape, states, calls } = await live(random, mode);
    for (let i = 0; i < 20; i++) {
      const count = random.between(0, tape.calls.length);
      const least = calls.findLastIndex((end) => end <= count);
      const most = Math.min(states.length - 1, least + 1);
      for (const image of crashImages(tape, count, { random, exhaustiveMax: 2, samples: 2 })) {
        images++;
        await judge(image, mode, states, [least, most]);
      }
    }
  });
});
