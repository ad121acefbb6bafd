/** What a write to a shared block reads, what a lock costs, what clones take in the cache. */

import { MemoryDevice } from '../../dist/device.js';
import { Volume } from '../../dist/index.js';
import { RangeLock } from '../../dist/iomap.js';
import { CountingDevice } from '../counting-device.mjs';
import { row, timeUs } from '../report.mjs';

const MIB = 2 ** 20;
const BLOCK = 4096;
const FILE = 8 * MIB;
const CLONES = 1000;
/** Bytes of the file that all of them are clones of. */
const SHARED = MIB;

/** A volume with a clone of a file of which nothing is in memory but the nodes. */
function cold(device) {
  const vol = Volume.openSync(device, { create: true, commitIntervalMs: 0 });
  if (!vol.fs.existsSync('/base')) {
    vol.fs.writeFileSync('/base', Buffer.alloc(FILE, 1));
    vol.cloneSync('/base', '/clone');
    vol.syncSync();
  }
  return vol;
}

/** Blocks of data that a write reads. */
function blocksRead(offset, length) {
  const memory = new MemoryDevice({ size: 64 * MIB });
  cold(memory).closeSync();
  const device = new CountingDevice(memory);
  const vol = cold(device);
  const fd = vol.fs.openSync('/clone', 'r+');
  // Brings the nodes in: only blocks of data are counted.
  vol.extentsSync('/clone');
  device.reset();
  vol.fs.writeSync(fd, Buffer.alloc(length, 2), 0, length, offset);
  const { readBytes } = device;
  vol.fs.closeSync(fd);
  vol.closeSync();
  return readBytes / BLOCK;
}

export async function* run() {
  for (const [name, offset, length, most] of [
    ['an aligned 4 KiB overwrite of a shared block', 16 * BLOCK, BLOCK, 0],
    ['4 KiB across two shared blocks', 16 * BLOCK + 100, BLOCK, 2],
    ['100 bytes inside a shared block', 16 * BLOCK + 100, 100, 1],
    ['1 MiB, unaligned, over shared blocks', 16 * BLOCK + 100, MIB, 2],
  ]) {
    const ours = blocksRead(offset, length);
    yield row({ name, unit: 'blocks read', ours, target: `<= ${most}`, ok: ours <= most });
  }
  yield lockCost();
  yield sharedCache();
}

function lockCost() {
  const lock = new RangeLock();
  const owner = { plan: undefined, done: false };
  const plan = { follow: () => {} };
  const range = { start: 0, end: BLOCK, exclusive: true };
  const ns =
    1000 *
    timeUs(200_000, 9, () => {
      lock.acquire(owner, range, plan);
      lock.release(owner);
    });
  const name = 'lock and unlock a range that nobody wants';
  return row({ name, unit: 'ns', ours: ns, target: '<= 200 ns', ok: ns <= 200 });
}

/** Bytes that the device reads when all clones of a file are read, over the size of the file. */
function sharedCache() {
  const memory = new MemoryDevice({ size: 64 * MIB });
  let vol = Volume.openSync(memory, { create: true, commitIntervalMs: 0 });
  vol.fs.writeFileSync('/base', Buffer.alloc(SHARED, 1));
  for (let i = 0; i < CLONES; i++) vol.cloneSync('/base', `/clone-${i}`);
  vol.closeSync();
  const device = new CountingDevice(memory);
  vol = Volume.openSync(device, { commitIntervalMs: 0 });
  // Names and inodes are read first: only data is counted.
  for (let i = 0; i < CLONES; i++) vol.fs.statSync(`/clone-${i}`);
  device.reset();
  for (let i = 0; i < CLONES; i++) vol.fs.readFileSync(`/clone-${i}`);
  const ratio = device.readBytes / SHARED;
  vol.closeSync();
  return row({
    name: `read ${CLONES.toLocaleString('en')} clones of a file: bytes from the device`,
    unit: 'x',
    ours: ratio,
    target: '<= 1.05 of one file',
    ok: ratio <= 1.05,
  });
}
