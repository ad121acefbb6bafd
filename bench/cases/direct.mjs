/**
 * Reads and writes past the cache beside O_DIRECT of the host, and what an unaligned write costs.
 *
 * Both sides begin with nothing of the file in the host's memory, which takes root; without it what
 * is read is warm on our side if the image is not open past the host's cache, and the row says so.
 */
import {
  closeSync,
  constants,
  fdatasyncSync,
  openSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { MemoryDevice } from '../../dist/device.js';
import { FileDevice, Volume } from '../../dist/index.js';
import { CountingDevice } from '../counting-device.mjs';
import { median, row } from '../report.mjs';

const MIB = 2 ** 20;
const BLOCK = 4096;
const SIZE = 192 * MIB;
const ROUNDS = 5;
const { O_RDWR, O_CREAT, O_DIRECT } = constants;

/** Memory that is aligned to pages: the host takes no other. */
const chunk = new Uint8Array(new WebAssembly.Memory({ initial: MIB / 65536 }).buffer);
chunk.fill(0x5a);

/** True if the host has forgotten what it had of files. */
function forget() {
  try {
    writeFileSync('/proc/sys/vm/drop_caches', '3');
    return true;
  } catch {
    return false;
  }
}

/** MiB a second. */
function rate(work) {
  const start = performance.now();
  work();
  return SIZE / MIB / ((performance.now() - start) / 1000);
}

/** All of a file, a MiB at a time. */
function each(call) {
  for (let at = 0; at < SIZE; at += MIB) call(at);
}

class Ours {
  constructor(image, direct) {
    this.device = FileDevice.open(image, { direct });
    this.open({ create: true });
    this.vol.fs.writeFileSync('/file', '');
  }

  open(options = {}) {
    this.vol = Volume.openSync(this.device, { commitIntervalMs: 0, ...options });
  }

  write() {
    const { fs } = this.vol;
    const fd = fs.openSync('/file', O_RDWR | O_DIRECT);
    const found = rate(() => {
      each((at) => fs.writeSync(fd, chunk, 0, MIB, at));
      fs.fsyncSync(fd);
    });
    fs.closeSync(fd);
    this.vol.syncSync();
    return found;
  }

  read() {
    this.vol.closeSync();
    forget();
    this.open();
    const { fs } = this.vol;
    const fd = fs.openSync('/file', O_RDWR | O_DIRECT);
    const found = rate(() => each((at) => fs.readSync(fd, chunk, 0, MIB, at)));
    fs.closeSync(fd);
    return found;
  }

  close() {
    this.vol.closeSync();
    this.device.close();
  }
}

class Host {
  constructor(path) {
    this.fd = openSync(path, O_RDWR | O_CREAT | O_DIRECT);
  }

  write() {
    return rate(() => {
      each((at) => writeSync(this.fd, chunk, 0, MIB, at));
      fdatasyncSync(this.fd);
    });
  }

  read() {
    forget();
    return rate(() => each((at) => readSync(this.fd, chunk, 0, MIB, at)));
  }

  close() {
    closeSync(this.fd);
  }
}

/** Writes zeros over an image, so that nobody's figures are those of new space on the host. */
function prepare(path, size) {
  const fd = openSync(path, O_RDWR | O_CREAT);
  const zeros = new Uint8Array(4 * MIB);
  for (let at = 0; at < size; at += zeros.length) writeSync(fd, zeros, 0, zeros.length, at);
  fdatasyncSync(fd);
  closeSync(fd);
}

export async function* run({ folder }) {
  const image = join(folder, 'direct.img');
  const raw = join(folder, 'direct.raw');
  prepare(raw, SIZE);
  const host = new Host(raw);
  const cold = forget();
  for (const direct of [false, true]) {
    prepare(image, 4 * SIZE);
    const ours = new Ours(image, direct);
    const found = { write: [[], []], read: [[], []] };
    for (let round = 0; round < ROUNDS; round++) {
      for (const what of ['write', 'read']) {
        found[what][0].push(ours[what]());
        found[what][1].push(host[what]());
      }
    }
    for (const what of ['write', 'read']) {
      const [mine, peer] = found[what].map(median);
      const warm = what === 'read' && !direct && !cold ? ', warm' : '';
      yield row({
        name: `direct 1 MiB ${what}s, image ${direct ? 'direct' : 'buffered'}${warm}`,
        unit: 'MiB/s',
        ours: mine,
        peer,
        peerName: 'O_DIRECT',
        target: direct ? '>= 0.9 of it' : 'for information',
        ok: !direct || mine >= 0.9 * peer,
      });
    }
    ours.close();
    rmSync(image);
  }
  host.close();
  rmSync(raw);
  yield unaligned();
}

/** What the device is asked for by a direct write to shared blocks that begins and ends in them. */
function unaligned() {
  const device = new CountingDevice(new MemoryDevice({ size: 64 * MIB }));
  const vol = Volume.openSync(device, { create: true, commitIntervalMs: 0 });
  vol.fs.writeFileSync('/base', Buffer.alloc(8 * MIB, 1));
  vol.cloneSync('/base', '/clone');
  vol.closeSync();
  const again = Volume.openSync(device, { commitIntervalMs: 0 });
  // Brings the nodes in.
  again.extentsSync('/clone');
  const fd = again.fs.openSync('/clone', O_RDWR | O_DIRECT);
  device.reset();
  again.fs.writeSync(fd, Buffer.alloc(MIB, 2), 0, MIB, 16 * BLOCK + 100);
  const { reads, readBytes, writes, writtenBytes, flushes } = device;
  again.closeSync();
  const asked = readBytes === 2 * BLOCK && writtenBytes === MIB + BLOCK && writes === 1;
  return row({
    name: 'unaligned direct MiB to shared blocks: reads',
    unit: 'blocks',
    ours: readBytes / BLOCK,
    target: `2 blocks read (${reads} calls), ${writes} write, ${flushes} flushes: 2, 1, 0`,
    ok: asked && flushes === 0,
  });
}
