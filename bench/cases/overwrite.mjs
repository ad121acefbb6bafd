/** 2,000 random 4 KiB overwrites of a cloned 1 GiB file in one commit: bytes, time per write. */
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
import { FileDevice, Volume } from '../../dist/index.js';
import { CountingDevice } from '../counting-device.mjs';
import { median, randomOf, row } from '../report.mjs';

const MIB = 2 ** 20;
const SIZE = 1024 * MIB;
const WRITES = 2000;
const ROUNDS = 5;

function fill(fs, path) {
  const chunk = Buffer.alloc(MIB, 0x44);
  const fd = fs.openSync(path, 'w');
  for (let at = 0; at < SIZE; at += MIB) fs.writeSync(fd, chunk, 0, MIB, at);
  return fd;
}

/** Microseconds per write, without and with making it durable. */
function overwrite(fs, fd, random, durable) {
  const block = Buffer.alloc(4096, random(256));
  const start = performance.now();
  for (let i = 0; i < WRITES; i++) fs.writeSync(fd, block, 0, 4096, random(SIZE / 4096) * 4096);
  const written = performance.now();
  durable();
  return { write: ((written - start) * 1000) / WRITES, all: performance.now() - start };
}

export async function* run({ folder, mounts }) {
  const image = join(folder, 'overwrite.img');
  const file = FileDevice.open(image, { create: true, size: 8 * 2 ** 30 });
  const device = new CountingDevice(file);
  const vol = Volume.openSync(device, { create: true, commitIntervalMs: 0 });
  vol.fs.closeSync(fill(vol.fs, '/base'));
  vol.syncSync();
  const random = randomOf(5);
  const ours = [];
  const bytes = [];
  for (let i = 0; i < ROUNDS; i++) {
    vol.cloneSync('/base', `/clone-${i}`);
    vol.syncSync();
    const fd = vol.fs.openSync(`/clone-${i}`, 'r+');
    device.reset();
    ours.push(overwrite(vol.fs, fd, random, () => vol.syncSync()));
    bytes.push(device.writtenBytes / (WRITES * 4096));
    vol.fs.closeSync(fd);
  }
  vol.closeSync();
  file.close();
  rmSync(image);
  const amplification = median(bytes);
  yield row({
    name: '2,000 overwrites of a cloned 1 GiB file: bytes',
    unit: 'x',
    ours: amplification,
    target: '<= 1.6 bytes to the device per byte',
    ok: amplification <= 1.6,
  });
  const peer = peerTimes(mounts.at('xfs'), random);
  const write = median(ours.map((time) => time.write));
  yield row({
    name: '2,000 overwrites of a cloned 1 GiB file: per write',
    unit: 'us',
    ours: write,
    peer: peer?.write,
    peerName: 'xfs',
    target: 'not above XFS',
    ok: peer === undefined || write <= peer.write,
  });
  const all = median(ours.map((time) => time.all));
  yield row({
    name: '2,000 overwrites of a cloned 1 GiB file: with commit',
    unit: 'ms',
    ours: all,
    peer: peer?.all,
    peerName: 'xfs',
    target: 'for information',
    ok: true,
  });
}

function peerTimes(path, random) {
  if (path === undefined) return undefined;
  const base = join(path, 'base');
  const made = fill({ openSync, writeSync }, base);
  fsyncSync(made);
  closeSync(made);
  const times = [];
  for (let i = 0; i < ROUNDS; i++) {
    const clone = join(path, `clone-${i}`);
    copyFileSync(base, clone, constants.COPYFILE_FICLONE_FORCE);
    const fd = openSync(clone, 'r+');
    fsyncSync(fd);
    times.push(overwrite({ writeSync }, fd, random, () => fsyncSync(fd)));
    closeSync(fd);
    rmSync(clone);
  }
  rmSync(base);
  return {
    write: median(times.map((time) => time.write)),
    all: median(times.map((time) => time.all)),
  };
}
