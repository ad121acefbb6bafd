/**
 * Programs that are killed while they work on a mount, and a server that is killed under several of
 * them at once: what each was told is durable is there, and nothing is half done.
 */
import { setTimeout } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { describeMounts, Mounted } from './mounted.ts';
import { Saying } from './saying.ts';

const LONG = process.env['RAMET_LONG'] === '1';
const MODES = ['delete', 'truncate', 'persist', 'wal'] as const;

/** Transactions of three rows each, numbered; each number is said when its rows are committed. */
const SQLITE = `
import sqlite3, sys, time
mode, first = sys.argv[1], int(sys.argv[2])
db = sqlite3.connect(f'{mode}.db', isolation_level=None, timeout=100)
db.execute(f'pragma journal_mode={mode}'); db.execute('pragma synchronous=extra')
db.execute('create table if not exists t(n integer, part integer, x text)')
db.execute('create index if not exists i on t(x)')
for n in range(first, first + 100000):
    db.execute('begin immediate')
    for part in range(3):
        text = f'{n * 7919 % 1000003} ' * (n % 200)
        db.execute('insert into t values (?, ?, ?)', (n, part, text))
    db.execute('update t set part = part + 3 where n = ?', (n - 5,))
    db.execute('commit'); print(n, flush=True); time.sleep(0.002)
`;

/** The database is sound, has each transaction whole, and all from `first` to `last`. */
const SQLITE_JUDGE = `
import sqlite3, sys
db = sqlite3.connect(sys.argv[1] + '.db', timeout=100)
print(db.execute('pragma integrity_check').fetchall() == [('ok',)])
halves = 'select count(*) from (select 1 from t group by n having count(*) != 3)'
print(db.execute(halves).fetchone()[0])
for said in sys.argv[2:]:
    first, last = map(int, said.split('-'))
    found = {n for (n,) in db.execute('select distinct n from t')}
    print(set(range(first, last + 1)) <= found)
`;

/**
 * Commits, each told of. The last may be missing, since git syncs no directory; so may data of
 * files that it does not sync: `HEAD` and the settings, which are synced here when they are made.
 */
const GIT = `
export HOME=$PWD GIT_CONFIG_COUNT=2 GIT_CONFIG_KEY_0=core.fsync GIT_CONFIG_VALUE_0=all \\
  GIT_CONFIG_KEY_1=gc.auto GIT_CONFIG_VALUE_1=40 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b \\
  GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
test -d repo || { git init -q repo; sync repo/.git/HEAD repo/.git/config; }
cd repo; n=$(git rev-list --count HEAD 2>/dev/null || echo 0)
while n=$((n + 1)); do
  mkdir -p d$((n % 7)); echo $n > d$((n % 7))/f$((n % 31)); seq $n > long; git add -A .
  git commit -qm $n; echo $n
done
`;
const GIT_JUDGE = `
cd repo; rm -f .git/*.lock .git/refs/heads/*.lock .git/objects/maintenance.lock
git fsck --strict --no-dangling 2>&1 | grep -v '^notice' || true; git rev-list --count HEAD
`;

/** Something that others are disturbed by, and that keeps no promise. */
const NOISE = `
while true; do
  mkdir -p noise; tar -C "$SOURCE" -cf - . | tar -C noise -xf -; cp -r noise again
  head -c 3000000 /dev/urandom > noise/big; truncate -s 5M noise/big
  mv noise again/in; rm -rf again
done
`;

function sqlite(mounted: Mounted, mode: string, first: number): Saying {
  return new Saying(mounted, 'python3', '-c', SQLITE, mode, String(first));
}

/** @param said first and last number of each writer */
function judgeSqlite(mounted: Mounted, mode: string, said: [number, number][]): void {
  const ranges = said.map(([first, last]) => `${first}-${last}`).join(' ');
  const found = mounted.sh(`python3 - ${mode} ${ranges} <<'END'\n${SQLITE_JUDGE}\nEND`);
  expect(found.split('\n'), mode).toEqual(['True', '0', ...said.map(() => 'True')]);
}

const PLAIN = { title: 'plain', options: [] };
const CACHED = { title: 'with the writeback cache', options: ['-o', 'writeback'] };
const ALL = LONG ? [PLAIN, CACHED] : [PLAIN];

describeMounts('programs that are killed on a mount', () => {
  it.each(ALL)(
    'lose nothing of a database, in any mode of its journal: $title',
    { timeout: 600_000 },
    async ({ options }) => {
      using mounted = Mounted.start(...options);
      for (const mode of MODES) {
        const said: [number, number][] = [];
        for (let round = 0; round < (LONG ? 20 : 1); round++) {
          const [one, two] = [2 * round, 2 * round + 1].map((i) => i * 1_000_000);
          const first = sqlite(mounted, mode, one as number);
          await first.untilSaid(1);
          const second = sqlite(mounted, mode, two as number);
          await second.untilSaid(1 + round);
          said.push([one as number, await first.kill()]);
          await setTimeout(20);
          said.push([two as number, await second.kill()]);
        }
        judgeSqlite(mounted, mode, said);
      }
      mounted.umount();
      expect(mounted.check()).toContain('clean');
    },
  );
});

describeMounts('a server that is killed under several programs', () => {
  it.each(ALL)(
    'has what they were told is durable: $title',
    { timeout: 600_000 },
    async ({ options }) => {
      using mounted = Mounted.start(...options);
      process.env['SOURCE'] = new URL('../../src', import.meta.url).pathname;
      const said = new Map(MODES.map((mode) => [mode, [] as [number, number][]]));
      for (let round = 0; round < (LONG ? 12 : 1); round++) {
        const first = round * 1_000_000;
        const writers = MODES.map((mode) => sqlite(mounted, mode, first));
        const git = new Saying(mounted, 'bash', '-euc', GIT);
        const noise = new Saying(mounted, 'bash', '-uc', NOISE);
        for (const each of [...writers, git]) await each.untilSaid(1);
        await setTimeout(LONG ? 400 * round : 500);
        process.kill(mounted.server, 'SIGKILL');
        for (const [i, mode] of MODES.entries()) {
          said.get(mode)?.push([first, await (writers[i] as Saying).kill()]);
        }
        const commits = await git.kill();
        await noise.kill();
        mounted.umount();
        expect(mounted.check()).not.toMatch(/error|fatal/u);
        mounted.mount(...options);
        for (const [mode, ranges] of said) judgeSqlite(mounted, mode, ranges);
        expect(Number(mounted.sh(GIT_JUDGE))).toBeGreaterThanOrEqual(commits - 1);
        mounted.sh('rm -rf noise again');
      }
      mounted.umount();
      expect(mounted.check()).toContain('clean');
    },
  );
});
