/** Opening a clean image of 100 GiB. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { Volume } from '../../dist/index.js';
import { median, row } from '../report.mjs';

export async function* run({ folder }) {
  const image = join(folder, 'open.img');
  const vol = Volume.openSync(image, { create: true, size: 100 * 2 ** 30 });
  for (let i = 0; i < 1000; i++) vol.fs.writeFileSync(`/file-${i}`, 'x');
  vol.closeSync();
  const times = [];
  for (let i = 0; i < 7; i++) {
    const start = performance.now();
    const again = Volume.openSync(image);
    times.push(performance.now() - start);
    again.closeSync();
  }
  rmSync(image);
  const ours = median(times);
  yield row({
    name: 'open a clean image of 100 GiB',
    unit: 'ms',
    ours,
    target: '<= 200 ms',
    ok: ours <= 200,
  });
}
