/** Creating, reading and removing small files beside `node:fs` on the host's filesystem. */
import nodeFs, { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Volume } from '../../dist/index.js';
import { median, row } from '../report.mjs';

const FILES = 10_000;
const ROUNDS = 5;
const DATA = Buffer.alloc(1024, 0x66);

const STEPS = {
  'create and write 1 KiB': (fs, path) => fs.writeFileSync(path, DATA),
  'stat a small file': (fs, path) => fs.statSync(path),
  'read a small file': (fs, path) => fs.readFileSync(path),
  'unlink a small file': (fs, path) => fs.unlinkSync(path),
};

/** Microseconds per file of each step. */
function measure(fs, folder) {
  fs.mkdirSync(folder);
  const times = {};
  for (const [step, body] of Object.entries(STEPS)) {
    const start = performance.now();
    for (let i = 0; i < FILES; i++) body(fs, `${folder}/file-${i}`);
    times[step] = ((performance.now() - start) * 1000) / FILES;
  }
  fs.rmdirSync(folder);
  return times;
}

export async function* run({ folder }) {
  const image = join(folder, 'small-files.img');
  const vol = Volume.openSync(image, { create: true, size: 8 * 2 ** 30, commitIntervalMs: 0 });
  const host = join(folder, 'small-files');
  mkdirSync(host);
  const ours = [];
  const peer = [];
  for (let round = 0; round < ROUNDS; round++) {
    ours.push(measure(vol.fs, `/round-${round}`));
    vol.syncSync();
    peer.push(measure(nodeFs, join(host, `round-${round}`)));
  }
  vol.closeSync();
  rmSync(image);
  for (const step of Object.keys(STEPS)) {
    const a = median(ours.map((times) => times[step]));
    const b = median(peer.map((times) => times[step]));
    yield row({
      name: step,
      unit: 'us',
      ours: a,
      peer: b,
      peerName: 'node:fs',
      target: 'not slower',
      ok: a <= b,
    });
  }
}
