/** Cloning a directory of 300, 3,000 and 30,000 files: flat, and at most 1 ms. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { Volume } from '../../dist/index.js';
import { row, timeUs } from '../report.mjs';

const FILES = [300, 3000, 30000];

export async function* run({ folder }) {
  const image = join(folder, 'clone-directory.img');
  const vol = Volume.openSync(image, { create: true, size: 8 * 2 ** 30, commitIntervalMs: 0 });
  const { fs } = vol;
  const data = Buffer.alloc(1024, 7);
  for (const files of FILES) {
    for (let i = 0; i < files; i++) {
      if (i % 100 === 0) fs.mkdirSync(`/d${files}/${i / 100}`, { recursive: true });
      fs.writeFileSync(`/d${files}/${Math.floor(i / 100)}/f${i}`, data);
    }
  }
  vol.syncSync();
  fs.mkdirSync('/clones');
  for (let i = 0; i < 200; i++) vol.cloneSync('/d300', `/clones/warm-${i}`);
  const times = [];
  for (const files of FILES) {
    const us = timeUs(100, 7, (i) => vol.cloneSync(`/d${files}`, `/clones/${files}-${i}`));
    times.push(us);
    vol.syncSync();
    yield row({
      name: `clone a directory of ${files} files`,
      unit: 'us',
      ours: us,
      target: '<= 1000 us',
      ok: us <= 1000,
    });
  }
  vol.closeSync();
  rmSync(image);
  const flat = Math.max(...times) / Math.min(...times);
  yield row({
    name: 'clone a directory: slowest over fastest',
    unit: 'x',
    ours: flat,
    target: '<= 3x',
    ok: flat <= 3,
  });
}
