/**
 * The demo, on a small tree; and that it notices a byte that is wrong.
 */
import * as host from 'node:fs';
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { beforeEach, describe, expect, it } from 'vitest';
import { Volume } from '../../src/api/index.ts';
import { exactTime, TreeCopy } from '../../src/cli/copy-tree.ts';
import { planEdits, surveyTree } from '../../src/cli/demo/plan.ts';
import { applyEdit, Verifier } from '../../src/cli/demo/verify.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { Random } from '../../src/testing/index.ts';
import { Rig } from './rig.ts';

const rig = new Rig();

beforeEach(() => {
  mkdirSync(rig.path('work'));
  mkdirSync(rig.path('tree/sub/deep'), { recursive: true });
  const random = new Random(1);
  for (let i = 0; i < 20; i++) {
    const folder = ['', 'sub/', 'sub/deep/'][i % 3];
    writeFileSync(rig.path(`tree/${folder}file ${i}`), random.bytes(i * 700));
  }
  writeFileSync(rig.path('tree/largest'), random.bytes(300_000));
  symlinkSync('largest', rig.path('tree/link'));
});

const DEMO = ['demo', '--source', '~/tree', '--clones', '12', '--directory', '~/work'];

describe('demo', () => {
  it('finds every byte right, and leaves nothing behind', async () => {
    const text = await rig.ok(...DEMO, '--no-compare');
    expect(text).toMatch(/^\n12 writable copies of tree {2}seed 1\n\n {2}copy it aside, /u);
    for (const step of ['import it', 'clone it 12 times', 'delete 6 in random order']) {
      expect(text).toContain(`\n  ${step} `);
    }
    expect(text).toMatch(
      /\nEvery byte is right: [\d.]+ MiB in \d+ files and 15 diffs compared\n$/u,
    );
    expect(readdirSync(rig.path('work'))).toEqual([]);
  });

  it('does the same again with the same seed', async () => {
    const diffOf = async (seed: string): Promise<string[]> => {
      const text = await rig.ok(...DEMO, '--no-compare', '--seed', seed);
      return text
        .split('\n')
        .filter((line) => /^ {2}diff | {4}M /u.test(line) && !/ [\d.]+ [um]?s /u.test(line));
    };
    const first = await diffOf('7');
    expect(first).toHaveLength(3);
    expect(await diffOf('7')).toEqual(first);
    expect(await diffOf('8')).not.toEqual(first);
  });

  it('prints JSON', async () => {
    const values = await rig.json(...DEMO, '--no-compare');
    expect(values[1]).toMatchObject({ step: 'import it', seconds: expect.any(Number) });
    expect(values[2]).toMatchObject({ step: 'clone it 12 times', count: 12 });
    expect(values.at(-1)).toMatchObject({ verdict: 'right', diffs: 15 });
  });

  it('says what is wrong', async () => {
    mkdirSync(rig.path('empty'));
    expect(await rig.fails('demo', '--source', '~/nothing', '--directory', '~/work')).toMatch(
      /^Cannot demonstrate with nothing: /u,
    );
    expect(readdirSync(rig.path('work'))).toEqual([]);
  });
});

describe('Verifier', () => {
  const clones = Array.from({ length: 12 }, (_, i) => `/clone-${i}`);

  function prepare() {
    const root = rig.path('tree');
    const survey = runAll(surveyTree(root));
    const volume = Volume.openSync(new MemoryDevice({ size: 2 ** 26 }), { create: true });
    const random = new Random(3);
    const edits = planEdits(root, survey, clones, random);
    const [edit] = edits;
    if (edit === undefined) throw new Error('there are twelve');
    return { root, survey, volume, edits, edit };
  }

  it('planEdits() takes another file each time, one byte in the largest', () => {
    const { edits } = prepare();
    expect(new Set(edits.map(({ file }) => file.path)).size).toBe(12);
    const largest = edits.filter(({ file }) => file.path === 'largest');
    expect(largest.map(({ data }) => data.length)).toEqual([1]);
    expect(edits.filter(({ data }) => data.length >= 2 ** 20)).toHaveLength(1);
    const again = prepare().edits;
    expect(again.map(({ clone, file, offset }) => [clone, file, offset])).toEqual(
      edits.map(({ clone, file, offset }) => [clone, file, offset]),
    );
    const same = again.map(({ data }, i) => Buffer.compare(data, edits[i]?.data ?? data) === 0);
    expect(same).not.toContain(false);
  });

  it('sees one wrong byte, a missing name and a wrong mode', () => {
    const { root, volume, edit } = prepare();
    const { fs } = volume;
    const { path } = edit.file;
    copyIn(root, volume, edit.clone);
    const verifier = new Verifier(volume, root);
    const whole = (): void => void runAll(verifier.tree(edit.clone, edit));
    expect(whole).toThrow('Cannot confirm /clone-0');
    applyEdit(fs, edit);
    whole();
    const fd = fs.openSync(`${edit.clone}/${path}`, 'r+');
    fs.writeSync(fd, Buffer.from([~(edit.data[0] as number)]), 0, 1, edit.offset);
    fs.closeSync(fd);
    expect(whole).toThrow(`at byte ${edit.offset}, wanted ${edit.data[0]}`);
    applyEdit(fs, edit);
    whole();
    fs.chmodSync(`${edit.clone}/largest`, 0o600);
    expect(whole).toThrow('Cannot confirm /clone-0/largest: it has mode 0100600, wanted 0100644');
    fs.rmSync(`${edit.clone}/link`);
    expect(whole).toThrow(
      'Cannot confirm /clone-0/: it has other names, wanted those of the source',
    );
  });

  it('sees a difference that is not the edit', () => {
    const { root, volume, edit } = prepare();
    copyIn(root, volume, '/source');
    volume.cloneSync('/source', edit.clone);
    const verifier = new Verifier(volume, root);
    const difference = (): void => verifier.difference('/source', edit);
    expect(difference).toThrow('it has a diff of 0 (), wanted modified');
    applyEdit(volume.fs, edit);
    difference();
    volume.fs.writeFileSync(`${edit.clone}/more`, 'x');
    expect(difference).toThrow('it has a diff of 2 (');
  });
});

/** Puts the tree into a volume. */
function copyIn(root: string, { fs }: Volume, to: string): void {
  const copy = new TreeCopy({
    verb: 'import',
    source: { fs: host, root },
    target: { fs, root: to },
    owners: false,
    merge: false,
    timeText: exactTime,
  });
  runAll(copy.steps());
}

/** Takes steps to their end. */
function runAll<Result>(steps: Generator<void, Result, void>): Result {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}
