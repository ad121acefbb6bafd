/** What bench/cases/memory.mjs runs in a process of its own; prints one line of JSON. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { Volume } from '../dist/index.js';
import { randomOf } from './report.mjs';

const MIB = 2 ** 20;
const CACHE = 256 * MIB;
const image = join(process.argv[2], 'memory.img');
const vol = Volume.openSync(image, {
  create: true,
  size: 64 * 2 ** 30,
  cacheBytes: CACHE,
  commitIntervalMs: 0,
});
const { fs } = vol;
globalThis.gc();
const before = process.memoryUsage().rss;
let peak = before;

const sparse = fs.openSync('/sparse', 'w+');
const block = Buffer.alloc(4096, 1);
const random = randomOf(11);
for (let i = 0; i < 20_000; i++) {
  fs.writeSync(sparse, block, 0, 4096, random((20 * 2 ** 30) / 4096) * 4096);
}
for (let i = 0; i < 1_000_000; i++) {
  if (i % 1000 === 0) {
    fs.mkdirSync(`/dir-${i / 1000}`);
    peak = Math.max(peak, process.memoryUsage().rss);
  }
  fs.closeSync(fs.openSync(`/dir-${Math.floor(i / 1000)}/file-${i}`, 'w'));
}
vol.syncSync();
peak = Math.max(peak, process.memoryUsage().rss);

/** Stats, reads and small writes of random files. */
function work(count) {
  for (let i = 0; i < count; i++) {
    const file = random(1_000_000);
    const path = `/dir-${Math.floor(file / 1000)}/file-${file}`;
    if (i % 10 === 0) fs.writeFileSync(path, 'changed');
    else if (i % 10 === 1)
      fs.readSync(sparse, block, 0, 4096, random((20 * 2 ** 30) / 4096) * 4096);
    else fs.statSync(path);
    if (i % 10_000 === 0) peak = Math.max(peak, process.memoryUsage().rss);
  }
}
work(200_000);
globalThis.gc();
const heap = process.memoryUsage().heapUsed;
work(1_000_000);
globalThis.gc();
const heapGrowth = (process.memoryUsage().heapUsed - heap) / MIB;
vol.closeSync();
rmSync(image);
console.log(
  JSON.stringify({
    above: (peak - before) / MIB,
    limit: CACHE / MIB + 64,
    heapGrowth: Math.max(0, heapGrowth),
  }),
);
