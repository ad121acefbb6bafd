/**
 * Exports of images that somebody made to do harm: nothing is ever written outside of the directory
 * that was named, whatever names and links the image has, and each export comes to an end.
 */
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { KIB } from '../../src/base/index.ts';
import { checkSync } from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { InodeKind } from '../../src/format/index.ts';
import { Hand, pattern } from '../check/hand.ts';
import { ImageEditor } from '../check/image-editor.ts';
import { Rig } from '../cli/rig.ts';
import { imageOf } from '../format/golden.ts';
import type { BaseName } from './bases.ts';
import { BAD_NAMES, insertRecord, keyOf, recordBytes, renamed } from './records.ts';
import { targetOf } from './runs.ts';

const long = process.env['RAMET_LONG'] === '1';
const COUNT = long ? 2000 : 40;
/** An export of an image this small that takes longer does not end. */
const END_MS = 60_000;

const rig = new Rig();

/** Everything in a directory but what is below `spared`: kinds, modes, times and data. */
function listing(directory: string, spared: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => name !== spared && !name.startsWith(`${spared}/`))
    .sort()
    .map((name) => {
      const path = join(directory, name);
      const { mode, size, mtimeMs, uid, nlink } = lstatSync(path);
      const dir = (mode & 0o170000) === 0o040000;
      const data = (mode & 0o170000) === 0o100000 ? readFileSync(path, 'latin1') : '';
      return [name, mode, dir ? '' : `${size} ${nlink} ${mtimeMs}`, uid, data].join(' ');
    });
}

/**
 * Exports an image to `out/target`, beside which there is something to be harmed, and expects it
 * unharmed. With `--force` there are links in the target that lead to it.
 */
async function exported(image: Uint8Array, force = false): Promise<string> {
  mkdirSync(rig.path('out/outside/tree'), { recursive: true });
  mkdirSync(rig.path('outside'), { recursive: true });
  writeFileSync(rig.path('image'), image);
  for (const folder of ['out/outside', 'outside']) {
    for (const name of ['x', 'planted', 'tree/x']) {
      mkdirSync(rig.path(`${folder}/tree`), { recursive: true });
      writeFileSync(rig.path(`${folder}/${name}`), 'unharmed', { mode: 0o640 });
    }
  }
  if (force) {
    mkdirSync(rig.path('out/target'));
    for (const [name, to] of [
      ['tree', '../outside/tree'],
      ['inline', '../outside/x'],
      ['harmless', '../outside/planted'],
      ['link', '../outside'],
    ] as const) {
      symlinkSync(to, rig.path(`out/target/${name}`));
    }
  }
  const before = listing(rig.folder, 'out/target');
  const signal = AbortSignal.timeout(END_MS);
  const options = force ? ['--force'] : [];
  const args = ['export', ...options, '~/image', '~/out/target'];
  const { status, stderr } = await rig.run(args, { signal });
  expect(signal.aborted, 'it does not end').toBe(false);
  expect(listing(rig.folder, 'out/target')).toEqual(before);
  if (status !== 0) expect(stderr).toMatch(/ramet: Cannot [^\n]+\n$/u);
  return status === 0 ? '' : stderr;
}

/** A volume with a file, a directory with one, and a link out of the directory it is in. */
function plain(): ImageEditor {
  const hand = Hand.format(new MemoryDevice({ size: 400 * KIB }), { groupBlocks: 256 });
  hand.file(hand.root, 'harmless', pattern(50));
  hand.file(hand.directory(hand.root, 'tree'), 'x', pattern(60));
  hand.create(hand.root, 'link', InodeKind.SYMLINK, { target: '../outside' });
  hand.commit();
  return new ImageEditor(imageOf(hand.device));
}

/** The image with a record of another one's kind under `name`; `number` in the row of that hash. */
function withName(name: string, like: string, number = 0): Uint8Array {
  const editor = plain();
  const place = editor.find(`live/${like}`);
  const record = renamed(recordBytes(editor, place), name);
  expect(insertRecord(editor, place.leaf, keyOf(editor, name, number), record)).toBe(true);
  return editor.seal().bytes;
}

describe('an export stays in its directory', () => {
  const cases = BAD_NAMES.flatMap((name) =>
    ['harmless', 'tree', 'link'].map((like) => ({ name, like, shown: JSON.stringify(name) })),
  );
  it.each(cases)('with the name $shown, like $like', async ({ name, like }) => {
    expect(await exported(withName(name, like))).toContain('Cannot export');
  });

  it.each(['harmless', 'tree', 'link'])(
    'with two names "link", the other like %s',
    async (like) => {
      const image = withName('link', like, 1);
      expect([...checkSync(MemoryDevice.from(image)).found.keys()]).toContain('name-twice');
      await exported(image);
    },
  );

  it.each(['harmless', 'tree', 'link'])('with two names "link" over links: %s', async (like) => {
    await exported(withName('link', like, 1), true);
  });

  it('over links that lead out of it', async () => {
    expect(await exported(plain().bytes, true)).toContain('it is not a directory');
  });
});

it(`${COUNT} images that contradict themselves are exported`, {
  timeout: long ? 3_600_000 : 120_000,
}, async () => {
  const outcomes = { whole: 0, failed: 0 };
  for (let number = 1; number <= COUNT; number++) {
    const base = (['tiny', 'files', 'clones'] as const)[number % 3] as BaseName;
    const { bytes, what } = targetOf(base).mutation('sealed', number);
    const folder = rig.folder;
    rig.folder = join(folder, String(number));
    mkdirSync(rig.folder);
    try {
      const failed = await exported(bytes, number % 2 === 0);
      outcomes[failed === '' ? 'whole' : 'failed']++;
    } catch (error) {
      (error as Error).message += `\n${base}, number ${number}: ${what}`;
      throw error;
    } finally {
      rig.folder = folder;
    }
  }
  process.stdout.write(`exports: ${outcomes.whole} whole, ${outcomes.failed} with an error\n`);
  expect(outcomes.whole).toBeGreaterThan(COUNT / 10);
});

// How many blocks it said was believed, and 4 TiB of zeros were read one by one.
it('a file that says it has many blocks, and is all hole, is a hole again', async () => {
  const hand = Hand.format(new MemoryDevice({ size: 400 * KIB }), { groupBlocks: 256 });
  hand.truncate(hand.file(hand.root, 'huge'), 2 ** 42);
  hand.commit();
  const editor = new ImageEditor(imageOf(hand.device));
  const { at } = editor.find('live/huge');
  editor.view.setUint32(at + 44, 0xffff, true);
  expect(await exported(editor.seal().bytes)).toBe('');
  const { size, blocks } = lstatSync(rig.path('out/target/huge'));
  expect([size, blocks]).toEqual([2 ** 42, 0]);
});
