/** 4 KiB overwritten in place and made durable: flushes, bytes, and what it does to the order. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { FileDevice, Volume } from '../../dist/index.js';
import { CountingDevice } from '../counting-device.mjs';
import { overwriting } from '../overwriting.mjs';
import { randomOf, row } from '../report.mjs';

const MIB = 2 ** 20;
const BLOCK = 4096;
const SIZE = 64 * MIB;
const SYNCS = 2000;

function fill(fs, path) {
  const chunk = Buffer.alloc(MIB, 0x44);
  const fd = fs.openSync(path, 'w+');
  for (let at = 0; at < SIZE; at += MIB) fs.writeSync(fd, chunk, 0, MIB, at);
  return fd;
}

export async function* run({ folder }) {
  const image = join(folder, 'inplace.img');
  const file = FileDevice.open(image, { create: true, size: 512 * MIB });
  const device = new CountingDevice(file);
  const vol = Volume.openSync(device, { create: true, commitIntervalMs: 0 });
  vol.setInplaceSync('/', true);
  const fd = fill(vol.fs, '/file');
  // What is written over has to be in both of the newest roots.
  for (let i = 0; i < 3; i++) {
    vol.fs.writeFileSync('/other', `${i}`);
    vol.syncSync();
  }
  const before = vol.extentsSync('/file').length;
  device.reset();
  const us = overwriting(vol.fs, fd, randomOf(1), { size: SIZE, syncs: SYNCS });
  const flushes = device.flushes / SYNCS;
  const bytes = device.writtenBytes / SYNCS / BLOCK;
  vol.syncSync();
  const extents = vol.extentsSync('/file').length;
  vol.closeSync();
  file.close();
  rmSync(image);
  yield row({
    name: `4 KiB overwrite in place and fdatasync: flushes, ${bytes.toFixed(2)}x bytes`,
    unit: 'x',
    ours: flushes,
    target: 'exactly one flush, 1.0x bytes',
    ok: flushes === 1 && bytes === 1,
  });
  yield row({
    name: `2,000 of them: extents after, ${before} before`,
    unit: 'x',
    ours: extents / before,
    target: 'as many as before',
    ok: extents === before,
  });
  yield row({
    name: '4 KiB overwrite in place and fdatasync',
    unit: 'us',
    ours: us,
    target: 'for information',
    ok: true,
  });
}
