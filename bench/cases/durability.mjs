/** What it takes to be sure: fsync, alone and with others; commits; a mount after a crash. */
import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { MemoryDevice } from '../../dist/device.js';
import { FileDevice, Volume } from '../../dist/index.js';
import { CountingDevice } from '../counting-device.mjs';
import { DelayDevice } from '../delay-device.mjs';
import { overwriting } from '../overwriting.mjs';
import { longestTurn, median, randomOf, row } from '../report.mjs';

const MIB = 2 ** 20;
const BLOCK = 4096;
const SIZE = 64 * MIB;
/** More than the cache of a volume. */
const WARM = 176 * MIB;
const SYNCS = 500;
const OVERWRITES = { size: SIZE, syncs: SYNCS };
const ROUNDS = 7;
const TOGETHER = 32;
const DIRTY_FILES = 10_000;
const OPTIONS = { commitIntervalMs: 0 };

export async function* run({ folder, mounts }) {
  yield* oneByOne(folder, mounts);
  yield await together(folder);
  yield await commitTurns();
  yield await mountAfterCrash();
}

/**
 * Touches all memory of the cache, as any process has that is not new: the first touch of a page
 * costs more than what is measured here.
 */
function warm(vol) {
  const chunk = Buffer.alloc(MIB, 3);
  const fd = vol.fs.openSync('/warm', 'w');
  for (let at = 0; at < WARM; at += MIB) vol.fs.writeSync(fd, chunk, 0, MIB, at);
  vol.fs.closeSync(fd);
}

function fill(fs, path) {
  const chunk = Buffer.alloc(MIB, 0x44);
  const fd = fs.openSync(path, 'w+');
  for (let at = 0; at < SIZE; at += MIB) fs.writeSync(fd, chunk, 0, MIB, at);
  fs.fdatasyncSync(fd);
  return fd;
}

function* oneByOne(folder, mounts) {
  const image = join(folder, 'fsync.img');
  const file = FileDevice.open(image, { create: true, size: 4096 * MIB });
  const device = new CountingDevice(file);
  const vol = Volume.openSync(device, { create: true, ...OPTIONS });
  warm(vol);
  const fd = fill(vol.fs, '/file');
  vol.syncSync();
  overwriting(vol.fs, fd, randomOf(99), OVERWRITES);
  const host = { openSync, writeSync, fdatasyncSync };
  const peers = ['xfs', 'btrfs'].flatMap((kind) => {
    const path = mounts.at(kind);
    return path === undefined ? [] : [{ kind, fd: fill(host, join(path, 'fsync')), times: [] }];
  });
  const ours = [];
  device.reset();
  for (let round = 0; round < ROUNDS; round++) {
    ours.push(overwriting(vol.fs, fd, randomOf(round), OVERWRITES));
    for (const peer of peers)
      peer.times.push(overwriting(host, peer.fd, randomOf(round), OVERWRITES));
  }
  const count = SYNCS * ROUNDS;
  const flushes = device.flushes / count;
  const bytes = device.writtenBytes / count / BLOCK;
  for (const { fd: other } of peers) closeSync(other);
  vol.closeSync();
  file.close();
  rmSync(image);
  yield row({
    name: `4 KiB overwrite and fdatasync: flushes, ${bytes.toFixed(2)}x bytes`,
    unit: 'x',
    ours: flushes,
    target: 'exactly one flush',
    ok: flushes < 1.02,
  });
  const us = median(ours);
  for (const { kind, times } of peers.length > 0 ? peers : [{ kind: undefined, times: [] }]) {
    const peer = times.length > 0 ? median(times) : undefined;
    yield row({
      name: '4 KiB overwrite and fdatasync',
      unit: 'us',
      ours: us,
      peer,
      peerName: kind,
      target: kind === 'btrfs' ? 'for information' : '<= 1.2x XFS',
      ok: kind !== 'xfs' || us <= 1.2 * peer,
    });
  }
}

/** Many fsyncs at once, each of a file of its own; what the flush itself takes is left out. */
async function together(folder) {
  const image = join(folder, 'together.img');
  const file = FileDevice.open(image, { create: true, size: 1024 * MIB });
  const device = new CountingDevice(file);
  let flushing = 0;
  const flush = device.flush.bind(device);
  device.flush = () => {
    const start = performance.now();
    flush();
    flushing += performance.now() - start;
  };
  const vol = await Volume.open(device, { create: true, ...OPTIONS });
  const handles = [];
  for (let i = 0; i < TOGETHER; i++) {
    const handle = await vol.fs.promises.open(`/${i}`, 'w+');
    await handle.write(Buffer.alloc(MIB, i));
    handles.push(handle);
  }
  await vol.sync();
  const block = Buffer.alloc(BLOCK, 7);
  const random = randomOf(3);
  const times = [];
  for (let round = 0; round < 200; round++) {
    for (const handle of handles) await handle.write(block, 0, BLOCK, random(256) * BLOCK);
    flushing = 0;
    const start = performance.now();
    await Promise.all(handles.map((handle) => handle.datasync()));
    times.push(((performance.now() - start - flushing) * 1000) / TOGETHER);
  }
  const flushes = device.flushes / 200;
  for (const handle of handles) await handle.close();
  await vol.close();
  file.close();
  rmSync(image);
  const us = median(times);
  return row({
    name: `${TOGETHER} fsyncs at once, ${flushes.toFixed(2)} flushes: each, beside the flush`,
    unit: 'us',
    ours: us,
    target: '<= 15 us',
    ok: us <= 15,
  });
}

/** The longest time in which nothing else could run while a commit is made. */
async function commitTurns() {
  const memory = new MemoryDevice({ size: 512 * MIB });
  const vol = await Volume.open(new DelayDevice(memory, 0), { create: true, ...OPTIONS });
  const { promises } = vol.fs;
  const handles = [];
  for (let i = 0; i < DIRTY_FILES; i++) {
    if (i % 100 === 0) await promises.mkdir(`/d${i / 100}`);
    await promises.writeFile(`/d${Math.floor(i / 100)}/${i}`, Buffer.alloc(5000, i));
  }
  await vol.sync();
  const longest = [];
  for (let round = 0; round < 5; round++) {
    for (let i = 0; i < DIRTY_FILES; i++) {
      const handle = await promises.open(`/d${Math.floor(i / 100)}/${i}`, 'r+');
      await handle.write(Buffer.alloc(100, round), 0, 100, 4500);
      await handle.close();
    }
    longest.push(await longestTurn(() => vol.sync()));
  }
  for (const handle of handles) await handle.close();
  await vol.close();
  const ms = median(longest.slice(1));
  return row({
    name: `longest turn of a commit, ${DIRTY_FILES.toLocaleString('en')} dirty files`,
    unit: 'ms',
    ours: ms,
    target: '<= 5 ms',
    ok: ms <= 5,
  });
}

/** A mount that has to replay as much as a log may hold. */
async function mountAfterCrash() {
  const memory = new MemoryDevice({ size: 256 * MIB });
  const vol = Volume.openSync(memory, { create: true, ...OPTIONS });
  const fd = vol.fs.openSync('/file', 'w+');
  const block = Buffer.alloc(BLOCK, 1);
  const random = randomOf(1);
  const before = new CountingDevice(memory);
  let made = 0;
  const superblock = () => {
    const bytes = new Uint8Array(4 * BLOCK);
    before.read(0, bytes);
    return Buffer.from(bytes).toString('base64');
  };
  vol.syncSync();
  const root = superblock();
  let image;
  for (;;) {
    for (let i = 0; i < 2000; i++) vol.fs.closeSync(vol.fs.openSync(`/${made++}`, 'w'));
    vol.fs.writeSync(fd, block, 0, BLOCK, random(1000) * BLOCK);
    vol.fs.fsyncSync(fd);
    if (superblock() !== root) break;
    image = new Uint8Array(memory.size);
    memory.read(0, image);
  }
  vol.closeSync();
  const start = performance.now();
  const found = Volume.openSync(MemoryDevice.from(image), OPTIONS);
  const ms = performance.now() - start;
  const count = found.fs.readdirSync('/').length;
  found.closeSync();
  return row({
    name: `mount after a crash, ${count.toLocaleString('en')} names in the log`,
    unit: 'ms',
    ours: ms,
    target: '<= 2,000 ms',
    ok: ms <= 2000,
  });
}
