/** A device that is memory: views of files, and writes past the cache, beside memory itself. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { checksum32 } from '../../dist/base.js';
import { MemoryDevice } from '../../dist/device.js';
import { constants, FileDevice, Volume } from '../../dist/index.js';
import { median, randomOf, row, timeUs } from '../report.mjs';

const MIB = 2 ** 20;
const BLOCK = 4096;
const SIZE = 64 * MIB;
const WRITES = 5000;
const ROUNDS = 9;

export async function* run({ folder }) {
  const buffer = new ArrayBuffer(512 * MIB);
  new Uint8Array(buffer).fill(0);
  const device = new MemoryDevice({ buffer });
  const vol = Volume.openSync(device, { create: true, commitIntervalMs: 0 });
  const { O_CREAT, O_DIRECT, O_RDWR } = constants;
  const fd = vol.fs.openSync('/f', O_CREAT | O_RDWR | O_DIRECT);
  const chunk = new Uint8Array(MIB).fill(2);
  for (let at = 0; at < SIZE; at += MIB) vol.fs.writeSync(fd, chunk, 0, MIB, at);
  vol.syncSync();
  yield reading(vol, fd, 'on a device in memory');
  yield* writing(vol, fd);
  vol.closeSync();
  yield* mapped(folder);
}

/** The same on an image that the host maps. */
function* mapped(folder) {
  const path = join(folder, 'mapped.img');
  const device = FileDevice.open(path, { create: true, size: 256 * MIB, mapped: true });
  const vol = Volume.openSync(device, { create: true, commitIntervalMs: 0 });
  const fd = vol.fs.openSync('/f', 'w+');
  const chunk = new Uint8Array(MIB).fill(2);
  for (let at = 0; at < SIZE; at += MIB) vol.fs.writeSync(fd, chunk, 0, MIB, at);
  vol.syncSync();
  yield reading(vol, fd, 'on a mapped image');
  vol.closeSync();
  device.close();
  rmSync(path);
}

function reading(vol, fd, where) {
  const view = vol.mapSync(fd, 0, SIZE);
  const random = randomOf(1);
  let sum = 0;
  const us = timeUs(100_000, ROUNDS, () => {
    sum += view.at(random(SIZE / BLOCK) * BLOCK, BLOCK)[0];
  });
  view.release();
  return row({
    name: `4 KiB of a view, ${where}, at random in 64 MiB${sum < 0 ? '!' : ''}`,
    unit: 'ns',
    ours: us * 1000,
    target: '<= 300 ns',
    ok: us <= 0.3,
  });
}

/** Microseconds for each of some writes at random places, and for the commit after them. */
function timed(write, commit, random) {
  const start = performance.now();
  for (let i = 0; i < WRITES; i++) write(random(SIZE / BLOCK) * BLOCK);
  const written = performance.now();
  commit();
  const end = performance.now();
  return [((written - start) * 1000) / WRITES, ((end - start) * 1000) / WRITES];
}

function* writing(vol, fd) {
  const block = new Uint8Array(BLOCK).fill(3);
  const memory = new Uint8Array(SIZE).fill(4);
  const staged = vol.mapSync(fd, 0, SIZE, { write: true });
  const past = [];
  const stored = [];
  const peer = [];
  let sum = 0;
  for (let round = 0; round < ROUNDS; round++) {
    block.fill(round);
    const bare = (at) => {
      memory.set(block, at);
      sum += checksum32(block, 0n);
    };
    peer.push(timed(bare, () => {}, randomOf(round))[0]);
    const write = (at) => vol.fs.writeSync(fd, block, 0, BLOCK, at);
    past.push(timed(write, () => vol.syncSync(), randomOf(round))[0]);
    const store = (at) => staged.bytes.set(block, at);
    stored.push(timed(store, () => staged.syncSync(), randomOf(round))[1]);
    vol.syncSync();
  }
  staged.releaseSync();
  const beside = { peer: median(peer), peerName: 'set and one checksum' };
  yield row({
    name: `4 KiB written past the cache, to memory${sum < 0 ? '!' : ''}`,
    unit: 'us',
    ours: median(past),
    ...beside,
    target: '<= 2x',
    ok: median(past) <= 2 * beside.peer,
  });
  yield row({
    name: '4 KiB stored in a view, and copied out',
    unit: 'us',
    ours: median(stored),
    ...beside,
    target: 'for information',
    ok: true,
  });
}
