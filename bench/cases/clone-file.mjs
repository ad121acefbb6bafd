/** Cloning a file of 1, 4,096 and 131,072 extents: flat, and at most 50 us a call. */
import {
  closeSync,
  constants,
  copyFileSync,
  fsyncSync,
  openSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { Volume } from '../../dist/index.js';
import { median, row, timeUs } from '../report.mjs';

const EXTENTS = [1, 4096, 131072];
const BLOCK = Buffer.alloc(4096, 0x5a);

/** Writes every other block, so that each is an extent of its own. */
function scatter(fs, path, extents) {
  const fd = fs.openSync(path, 'w');
  for (let i = 0; i < extents; i++) fs.writeSync(fd, BLOCK, 0, 4096, i * 8192);
  return fd;
}

export async function* run({ folder, mounts }) {
  const image = join(folder, 'clone-file.img');
  const vol = Volume.openSync(image, { create: true, size: 8 * 2 ** 30, commitIntervalMs: 0 });
  const ours = [];
  for (const extents of EXTENTS) vol.fs.closeSync(scatter(vol.fs, `/f${extents}`, extents));
  vol.syncSync();
  vol.fs.mkdirSync('/clones');
  for (let i = 0; i < 3000; i++) vol.cloneSync('/f1', `/clones/warm-${i}`);
  for (const extents of EXTENTS) {
    ours.push(timeUs(200, 7, (i) => vol.cloneSync(`/f${extents}`, `/clones/${extents}-${i}`)));
    vol.syncSync();
  }
  vol.closeSync();
  rmSync(image);
  const peers = new Map(['xfs', 'btrfs'].map((kind) => [kind, peer(mounts.at(kind))]));
  for (const [i, extents] of EXTENTS.entries()) {
    for (const [kind, times] of peers) {
      if (times === undefined) continue;
      yield row({
        name: `clone a file of ${extents} extents`,
        unit: 'us',
        ours: ours[i],
        peer: times[i],
        peerName: kind,
        target: '<= 50 us',
        ok: ours[i] <= 50,
      });
    }
    if ([...peers.values()].every((times) => times === undefined)) {
      yield row({
        name: `clone a file of ${extents} extents`,
        unit: 'us',
        ours: ours[i],
        target: '<= 50 us',
        ok: ours[i] <= 50,
      });
    }
  }
  const flat = Math.max(...ours) / Math.min(...ours);
  yield row({
    name: 'clone a file: slowest over fastest',
    unit: 'x',
    ours: flat,
    target: '<= 3x',
    ok: flat <= 3,
  });
}

/** Microseconds of FICLONE on another filesystem, by number of extents. */
function peer(path) {
  if (path === undefined) return undefined;
  return EXTENTS.map((extents) => {
    const source = join(path, `f${extents}`);
    const fd = scatter({ openSync, writeSync }, source, extents);
    fsyncSync(fd);
    closeSync(fd);
    const times = [];
    for (let i = 0; i < 3; i++) {
      const copy = `${source}-${i}`;
      const start = performance.now();
      copyFileSync(source, copy, constants.COPYFILE_FICLONE_FORCE);
      times.push((performance.now() - start) * 1000);
    }
    return median(times);
  });
}
