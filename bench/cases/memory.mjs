/** Memory with a million files and a sparse file of 20 GiB; the heap over a million operations. */
import { spawnSync } from 'node:child_process';
import { row } from '../report.mjs';

const MIB = 2 ** 20;

export async function* run({ folder }) {
  // A process of its own, so that nothing measured before is in its memory.
  const script = new URL('../memory-child.mjs', import.meta.url).pathname;
  const child = spawnSync(process.execPath, ['--expose-gc', script, folder], {
    encoding: 'utf8',
    maxBuffer: 64 * MIB,
  });
  if (child.status !== 0) throw new Error(`The memory benchmark failed: ${child.stderr}`);
  const { above, limit, heapGrowth } = JSON.parse(child.stdout.trim().split('\n').at(-1));
  yield row({
    name: 'memory above opening, 1,000,000 files + 20 GiB sparse',
    unit: 'MiB',
    ours: above,
    target: `<= ${limit} MiB (cacheBytes + 64)`,
    ok: above <= limit,
  });
  yield row({
    name: 'heap growth over a million operations',
    unit: 'MiB',
    ours: heapGrowth,
    target: '<= 8 MiB',
    ok: heapGrowth <= 8,
  });
}
