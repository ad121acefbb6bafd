/** dump: every kind of block is decoded. */
import { readFileSync, writeFileSync } from 'node:fs';
import { beforeEach, expect, it } from 'vitest';
import { Volume } from '../../src/api/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { ImageEditor } from '../check/image-editor.ts';
import { Rig } from './rig.ts';

const rig = new Rig();
const IMG = '~/a.img';

let editor: ImageEditor;

beforeEach(async () => {
  await rig.ok('create', IMG, '--size', '16MiB');
  await rig.ok('mkdir', `${IMG}:/dir`);
  await rig.run(['put', '-', `${IMG}:/file`], { stdin: Buffer.alloc(90_000, 65) });
  // A process that is killed after an fsync leaves a frame of the log.
  const device = MemoryDevice.from(readFileSync(rig.path('a.img')));
  const volume = Volume.openSync(device, { commitIntervalMs: 0 });
  volume.fs.mkdirSync('/later');
  volume.fs.fsyncSync(volume.fs.openSync('/file', 'r+'));
  const image = new Uint8Array(device.size);
  device.read(0, image);
  writeFileSync(rig.path('a.img'), image);
  editor = new ImageEditor(image);
});

async function dump(block: number, ...more: string[]): Promise<Record<string, unknown>> {
  const [value] = await rig.json('dump', IMG, String(block), ...more);
  return value as Record<string, unknown>;
}

it('superblocks, the index, counts and the log have their places', async () => {
  const { geometry, state } = editor.superblock;
  const { indexStart, logStart, blockCount } = geometry;
  const { txg, logTail, logSequence } = state;
  const facts = expect.objectContaining({ txg, blockCount });
  expect(await dump(editor.ring)).toMatchObject({ kind: 'superblock', facts });
  expect(await dump(blockCount - 4 + editor.ring)).toMatchObject({ kind: 'superblock', facts });
  const index = await dump(indexStart + 2 * state.indexPlace * geometry.indexBlocks);
  expect(index).toMatchObject({ kind: 'index', facts: { place: state.indexPlace, copy: 0 } });
  expect((index['rows'] as unknown[]).length).toBe(geometry.groupCount);
  const counts = await dump(4);
  expect(counts).toMatchObject({ kind: 'counts', facts: { group: 0, slot: 0 } });
  expect((counts['rows'] as unknown[])[0]).toMatchObject({ block: 0, count: 1 });
  const log = await dump(logStart + logTail);
  expect(log).toMatchObject({ kind: 'log', facts: { sequence: logSequence, needed: true } });
  const types = (log['rows'] as { type: string }[]).map(({ type }) => type);
  expect(types).toContain('create');
});

it('a node lists its records, a map its slots, data its bytes', async () => {
  const [extent] = await rig.json('extents', `${IMG}:/file`);
  const data = (extent?.['address'] as number) / 4096;
  const bytes = await dump(data);
  expect(bytes).toMatchObject({ kind: 'data' });
  expect((bytes['rows'] as unknown[])[0]).toMatchObject({ offset: 0, text: 'A'.repeat(16) });
  const file = editor.find('live/file');
  const block = editor.words[editor.slotsOf(file)] as number;
  const map = await dump(block, '--as', 'map');
  expect((map['rows'] as unknown[])[0]).toMatchObject({ index: 0, kind: 'data', block: data });
  const node = await dump(Math.floor(file.at / 4096));
  expect(node).toMatchObject({ kind: 'node', facts: { level: 0, tree: 'directory' } });
  const names = (node['rows'] as { name: string; kind: string }[]).map(({ name }) => name);
  expect(names.sort()).toEqual(['dir', 'file']);
});

it('prints for people, and says what is wrong', async () => {
  expect(await rig.ok('dump', IMG, '0x0')).toMatch(/^block 0: superblock\n {2}label/u);
  expect(await rig.ok('dump', IMG, '12', '--as', 'data')).toMatch(
    /^block 12: data\n {2}block {2}12/u,
  );
  const outside = await rig.run(['dump', IMG, '99999999']);
  expect([outside.status, outside.stderr]).toEqual([1, expect.stringContaining('has blocks 0 to')]);
  expect((await rig.run(['dump', IMG, 'x'])).status).toBe(2);
  expect((await rig.run(['dump', IMG, '1', '--as', 'x'])).status).toBe(2);
});
