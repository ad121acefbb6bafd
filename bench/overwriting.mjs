/** Small overwrites that are made durable one by one, on any side that has the calls of `fs`. */
import { median } from './report.mjs';

const BLOCK = 4096;

/**
 * Microseconds for each of `syncs` overwrites of 4 KiB with its fdatasync, anywhere in the first
 * `size` bytes of a file: the median.
 */
export function overwriting(fs, fd, random, { size, syncs }) {
  const block = Buffer.alloc(BLOCK, random(256));
  const times = [];
  for (let i = 0; i < syncs; i++) {
    const start = performance.now();
    fs.writeSync(fd, block, 0, BLOCK, random(size / BLOCK) * BLOCK);
    fs.fdatasyncSync(fd);
    times.push((performance.now() - start) * 1000);
  }
  return median(times);
}
