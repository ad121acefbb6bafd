/** Random 4 KiB reads from our cache beside `fs.readSync` of a file the host has cached. */
import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Volume } from '../../dist/index.js';
import { pairUs, randomOf, row } from '../report.mjs';

const MIB = 2 ** 20;
const SETS = [
  { size: 4 * MIB, wanted: 2 },
  { size: 256 * MIB, wanted: 1.1 },
];

export async function* run({ folder }) {
  const image = join(folder, 'random-read.img');
  const vol = Volume.openSync(image, {
    create: true,
    size: 2 ** 30,
    cacheBytes: 384 * MIB,
    commitIntervalMs: 0,
  });
  const chunk = Buffer.alloc(MIB, 0x33);
  const path = join(folder, 'random-read.raw');
  const raw = openSync(path, 'w+');
  const fd = vol.fs.openSync('/file', 'w+');
  for (let at = 0; at < 256 * MIB; at += MIB) {
    writeSync(raw, chunk, 0, MIB, at);
    vol.fs.writeSync(fd, chunk, 0, MIB, at);
  }
  vol.syncSync();
  for (let at = 0; at < 256 * MIB; at += MIB) vol.fs.readSync(fd, chunk, 0, MIB, at);
  const block = Buffer.alloc(4096);
  for (const { size, wanted } of SETS) {
    const random = randomOf(size);
    const blocks = size / 4096;
    const [ours, peer] = pairUs(
      100_000,
      9,
      () => vol.fs.readSync(fd, block, 0, 4096, random(blocks) * 4096),
      () => readSync(raw, block, 0, 4096, random(blocks) * 4096),
    );
    yield row({
      name: `random 4 KiB read, working set ${size / MIB} MiB`,
      unit: 'us',
      ours,
      peer,
      peerName: 'fs.readSync',
      target: `${wanted}x faster`,
      ok: peer / ours >= wanted,
    });
  }
  vol.closeSync();
  closeSync(raw);
  rmSync(path);
  rmSync(image);
}
