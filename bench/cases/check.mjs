/** How fast an image is verified: check, and scrub while the volume is open. */
import { closeSync, openSync, readSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { check } from '../../dist/check.js';
import { FileDevice, Volume } from '../../dist/index.js';
import { median, randomOf, row } from '../report.mjs';

const MIB = 2 ** 20;
const LARGE = 384 * MIB;
const FILES = 10_000;
const ROUNDS = 5;

export async function* run({ folder }) {
  const image = join(folder, 'check.img');
  fill(image);
  const [checks, scrubs, reads] = [[], [], []];
  for (let round = 0; round < ROUNDS; round++) {
    const device = FileDevice.open(image, { readOnly: true });
    checks.push(await rate(async () => (await check(device)).statistics.verified));
    device.close();
    const volume = Volume.openSync(image);
    scrubs.push(await rate(async () => (await volume.scrub()).verified));
    volume.closeSync();
    reads.push(await rate(() => readAll(image)));
  }
  rmSync(image);
  for (const [name, rates] of [
    ['check', checks],
    ['scrub', scrubs],
  ]) {
    const ours = median(rates);
    yield row({
      name: `${name}: ${LARGE / MIB} MiB in a file, ${FILES.toLocaleString('en')} small ones`,
      unit: 'MiB/s',
      ours,
      peer: median(reads),
      peerName: 'fs.readSync of all of it',
      target: '>= 200 MiB/s',
      ok: ours >= 200,
    });
  }
}

function fill(image) {
  const volume = Volume.openSync(image, { create: true, size: 1024 * MIB });
  const random = randomOf(1);
  const chunk = Buffer.alloc(MIB);
  const fd = volume.fs.openSync('/large', 'w');
  for (let at = 0; at < LARGE; at += MIB) {
    for (let i = 0; i < MIB; i += 512) chunk.writeUInt32LE(random(2 ** 32 - 1), i);
    volume.fs.writeSync(fd, chunk, 0, MIB, at);
  }
  volume.fs.closeSync(fd);
  for (let i = 0; i < FILES; i++) {
    if (i % 100 === 0) volume.fs.mkdirSync(`/${i / 100}`);
    const length = 1000 + random(12_000);
    volume.fs.writeFileSync(`/${Math.floor(i / 100)}/${i}`, chunk.subarray(0, length));
  }
  volume.cloneSync('/0', '/clone');
  volume.closeSync();
}

/** MiB a second of what `work` says it has verified. */
async function rate(work) {
  const start = performance.now();
  const bytes = await work();
  return bytes / MIB / ((performance.now() - start) / 1000);
}

/** Reads what is in use of the image, as fast as it comes. */
function readAll(image) {
  const fd = openSync(image, 'r');
  const chunk = Buffer.alloc(MIB);
  let bytes = 0;
  for (let read = readSync(fd, chunk); read > 0 && bytes < LARGE; read = readSync(fd, chunk)) {
    bytes += read;
  }
  closeSync(fd);
  return bytes;
}
