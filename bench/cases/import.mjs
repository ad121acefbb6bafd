/** Importing this project's node_modules beside `cp -R` of it. */
import { spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { median, row } from '../report.mjs';

const ROUNDS = 5;

function timeMs(command, args) {
  const start = performance.now();
  const child = spawnSync(command, args, { encoding: 'utf8' });
  if (child.status !== 0) throw new Error(`${command} failed: ${child.stderr}`);
  return performance.now() - start;
}

export async function* run({ folder }) {
  const source = new URL('../../node_modules', import.meta.url).pathname;
  const cli = new URL('../../dist/cli/main.js', import.meta.url).pathname;
  if (!existsSync(source)) return;
  const image = join(folder, 'import.img');
  const copy = join(folder, 'import-copy');
  const ours = [];
  const peer = [];
  for (let round = 0; round <= ROUNDS; round++) {
    rmSync(image, { force: true });
    rmSync(copy, { recursive: true, force: true });
    timeMs(process.execPath, [cli, 'create', image, '--size', '16GiB']);
    const a = timeMs(process.execPath, [cli, 'import', source, `${image}:/node_modules`]);
    const b = timeMs('cp', ['-R', source, copy]);
    // The first round brings the source into the host's cache.
    if (round > 0) {
      ours.push(a);
      peer.push(b);
    }
  }
  rmSync(image, { force: true });
  rmSync(copy, { recursive: true, force: true });
  yield row({
    name: 'import of node_modules, whole process',
    unit: 'ms',
    ours: median(ours),
    peer: median(peer),
    peerName: 'cp -R',
    target: 'not slower',
    ok: median(ours) <= median(peer),
  });
}
