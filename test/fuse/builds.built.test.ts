/**
 * Builds on a mount: C with make, ar and ccache; and with RAMET_LONG=1 git with tens of
 * thousands of objects, and this project itself.
 */
import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeMounts, Mounted } from './mounted.ts';

const LONG = process.env['RAMET_LONG'] === '1';

/** Whether there is such a program; where not, its test is left out, and says so. */
function has(program: string): boolean {
  const { error } = spawnSync(program, ['--version']);
  if (error !== undefined) process.stdout.write(`\nNOT TESTED with ${program}: there is none\n\n`);
  return error === undefined;
}

/** Sources in C that include each other, and how they are made. */
const SOURCES = `
import sys
count = int(sys.argv[1])
for i in range(count):
    static = ''.join(f'static int s{j}(int a) {{ return a + {j}; }}\\n'
        f'int g{i}_{j}(int b) {{ return s{j}(b); }}\\n' for j in range(20))
    open(f'm{i}.c', 'w').write(f'#include "m{(i + 1) % count}.h"\\n'
        f'int f{i}(int x) {{ return x * {i} + {i % 7}; }}\\n{static}')
    open(f'm{i}.h', 'w').write(f'int f{i}(int);\\n')
includes = ''.join(f'#include "m{i}.h"\\n' for i in range(count))
calls = ' + '.join(f'f{i}({i})' for i in range(count))
main = f'int main() {{ printf("%d\\\\n", {calls}); }}'
open('main.c', 'w').write(f'#include <stdio.h>\\n{includes}{main}')
open('Makefile', 'w').write('''O=$(patsubst %.c,%.o,$(wildcard *.c))
prog: lib.a main.o
\\t$(CC) -o $@ main.o lib.a
lib.a: $(filter-out main.o,$(O))
\\tar rcs $@ $^
%.o: %.c
\\t$(CC) -MMD -O1 -g -c $<
-include $(O:.o=.d)
clean:
\\trm -f *.o *.a *.d prog
''')
`;

/** A stream for git fast-import: commits of files, two branches. */
const HISTORY = `
import random, sys
r = random.Random(5); mark = 0
for c in range(400):
    names = []
    for _ in range(60 if c else 4000):
        mark += 1; data = f'{r.getrandbits(64):x}\\n' * r.randrange(1, 60)
        print(f'blob\\nmark :{mark}\\ndata {len(data)}\\n{data}')
        names.append(f'M 100644 :{mark} d{r.randrange(40)}/e{r.randrange(20)}/f{r.randrange(10)}.c')
    branch = 'main' if c < 250 or c % 2 else 'other'
    print(f'commit refs/heads/{branch}\\nmark :{100000 + c}')
    print(f'committer a <a@b> {1700000000 + c} +0000\\ndata 2\\nc\\n')
    if c == 250: print(f'from :{100000 + 249}')
    print('\\n'.join(names))
`;

const GIT = `
git init -q --bare source.git
python3 - <<'END' | git -C source.git -c fastimport.unpackLimit=0 fast-import --quiet
${HISTORY}
END
git clone -q -b main "file://$PWD/source.git" work; cd work; git fsck --strict --no-dangling
git worktree add -q ../tree origin/other
for to in main~200 origin/other main~300 main; do
  git checkout -q $to; test -z "$(git status --porcelain)"
done
mv .git/objects/pack ../pack; mkdir .git/objects/pack
cat ../pack/*.pack | git unpack-objects -q; test $(git count-objects | cut -d' ' -f1) -gt 50000
git fsck --strict --no-dangling; git gc -q --prune=now; git fsck --strict --no-dangling
test -z "$(git -C ../tree status --porcelain)"; git worktree remove ../tree
git repack -adfq; rm .git/index; git reset -q --hard; test -z "$(git status --porcelain)"
cd ..; git clone -q --no-hardlinks work copy; git clone -q --shared work share
git -C copy fsck --no-dangling; git -C share fsck --no-dangling; diff -r work/d1 copy/d1
rm -rf source.git work pack copy share
`;

for (const options of LONG ? [[], ['-o', 'writeback']] : [[]]) {
  describeMounts(`builds on a mount ${options.join(' ')}`, () => {
    let mounted: Mounted;

    beforeAll(() => {
      mounted = new Mounted('4GiB');
      mounted.mount(...options);
    });

    afterAll(() => {
      mounted.umount();
      const found = mounted.check();
      mounted[Symbol.dispose]();
      expect(found).toContain('clean');
    }, 300_000);

    it.runIf(has('gcc') && has('make'))(
      'make builds C, and only what has changed',
      { timeout: 600_000 },
      () => {
        const cache = has('ccache') ? 'ccache ' : '';
        mounted.sh(
          `mkdir c; cd c; export CCACHE_DIR="$PWD/cache" CCACHE_HARDLINK=1 CC='${cache}gcc'
        python3 - ${LONG ? 300 : 40} <<'END'\n${SOURCES}\nEND
        make -sj2; ./prog > ../first; sha1sum prog > ../sum; make -q prog
        make -s clean; make -sj2; sha1sum -c ../sum; make -q prog
        unset CCACHE_HARDLINK; export CCACHE_FILECLONE=1
        make -s clean; make -sj2; sha1sum -c ../sum; ./prog | cmp - ../first
        touch m7.h; ! make -q prog; make -n prog | grep -c ' -c m' | grep -qx 2
        make -s; ./prog | cmp - ../first; strip prog; ./prog | cmp - ../first
        cd ..; rm -rf c first sum`,
          mounted.path,
          600_000,
        );
      },
    );

    it.runIf(LONG && has('git'))(
      'git has fifty thousand loose objects',
      { timeout: 900_000 },
      () => {
        process.env['GIT_CONFIG_GLOBAL'] = '/dev/null';
        mounted.sh(GIT, mounted.path, 900_000);
      },
    );

    it.runIf(LONG && has('git'))(
      'this project is installed, checked, built and tested',
      { timeout: 1_800_000 },
      () => {
        const source = new URL('../..', import.meta.url).pathname;
        const found = mounted.sh(
          `git clone -q '${source}' project; cd project; npm ci --silent
        npx tsc; npx biome check --error-on-warnings >&2; npx tsdown > ../log 2>&1
        env -u RAMET_LONG npx vitest run --project unit --testTimeout=300000 > ../log 2>&1 ||
          { tail -n 60 ../log; exit 1; }
        tail -n 5 ../log; cd ..; rm -rf project`,
          mounted.path,
          1_800_000,
        );
        expect(found).toMatch(/Tests.*passed/u);
      },
    );
  });
}
