/** ramet defrag: what it tells. */
import { beforeEach, expect, it } from 'vitest';
import { Volume } from '../../src/api/index.ts';
import { FileDevice } from '../../src/device/node.ts';
import { Random } from '../../src/testing/index.ts';
import { Rig } from './rig.ts';

const rig = new Rig();
const IMG = '~/a.img';

beforeEach(async () => {
  await rig.ok('create', IMG, '--size', '64MiB');
  const device = FileDevice.open(rig.path('a.img'));
  const volume = Volume.openSync(device);
  volume.fs.writeFileSync('/base.db', new Random(1).bytes(2 ** 20));
  const fd = volume.fs.openSync('/base.db', 'r+');
  for (let i = 0; i < 128; i++) {
    volume.fs.writeSync(fd, Buffer.alloc(4096, i), 0, 4096, ((i * 37) % 256) * 4096);
    volume.fs.fsyncSync(fd);
  }
  volume.closeSync();
  device.close();
});

it('makes few extents of many', async () => {
  const before = await rig.ok('cat', `${IMG}:/base.db`);
  const extents = (await rig.json('extents', `${IMG}:/base.db`)).length;
  expect(extents).toBeGreaterThan(100);
  const text = await rig.ok('defrag', IMG);
  expect(text).toMatch(/^a\.img:\/: \d+ extents of 1 file, now \d; 1 MiB moved in 1 file\n$/u);
  expect((await rig.json('extents', `${IMG}:/base.db`)).length).toBeLessThan(8);
  expect(await rig.ok('cat', `${IMG}:/base.db`)).toBe(before);
  const [again] = await rig.json('defrag', `${IMG}:/base.db`);
  expect(again).toMatchObject({ place: 'a.img:/base.db', files: 1, changed: 0, moved: 0 });
  expect(await rig.ok('check', IMG)).toMatch(/: clean; /u);
});

it('refuses a snapshot and what is not there', async () => {
  await rig.ok('snapshot', IMG, 'monday');
  expect(await rig.fails('defrag', `${IMG}@monday`)).toMatch(/wanted a path in the live volume/u);
  expect(await rig.fails('defrag', `${IMG}:/none`)).toMatch(/\(ENOENT\) \[1\]$/u);
});
