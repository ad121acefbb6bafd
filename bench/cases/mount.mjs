/**
 * A mount beside a passthrough in C: bindfs over libfuse 3, on the host's filesystem; and beside
 * that itself, for transfers in sequence. Needs root, /dev/fuse and bindfs; without bindfs the
 * host's filesystem is the peer in all.
 */
import { spawnSync } from 'node:child_process';
import fs, { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import manifest from '../../package.json' with { type: 'json' };
import { median, row } from '../report.mjs';

const MAIN = new URL(`../../${manifest.bin.ramet}`, import.meta.url).pathname;
const FILES = 5000;
const LARGE = 256;
const ROUNDS = 3;
const MIB = 2 ** 20;
const SMALL = Buffer.alloc(4096, 0x66);
const BIG = Buffer.alloc(MIB, 0x67);

/** Numbers below a limit in an order that is the same each time. */
function* scattered(count, limit) {
  for (let i = 0, x = 1; i < count; i++) {
    x = (x * 1103515245 + 12345) % 2 ** 31;
    yield x % limit;
  }
}

/** Microseconds of each step, by its name. */
function measure(folder) {
  const times = {};
  const time = (name, count, body) => {
    const start = performance.now();
    body();
    times[name] = ((performance.now() - start) * 1000) / count;
  };
  const each = (name, body) =>
    time(name, FILES, () => {
      for (let i = 0; i < FILES; i++) body(`${folder}/file-${i}`);
    });
  mkdirSync(folder);
  each('look up an absent name', (path) => existsSync(path));
  each('create an empty file', (path) => fs.closeSync(fs.openSync(path, 'w')));
  each('stat a file', (path) => fs.lstatSync(path));
  each('open and close a file', (path) => fs.closeSync(fs.openSync(path, 'r')));
  each('write 4 KiB to a file', (path) => fs.writeFileSync(path, SMALL));
  each('read 4 KiB of a file', (path) => fs.readFileSync(path));
  each('unlink a file', (path) => fs.unlinkSync(path));
  const fd = fs.openSync(`${folder}/large`, 'w+');
  time('write 1 MiB in sequence', LARGE, () => {
    for (let i = 0; i < LARGE; i++) fs.writeSync(fd, BIG, 0, MIB, i * MIB);
    fs.fsyncSync(fd);
  });
  time('write 4 KiB at random', FILES, () => {
    for (const at of scattered(FILES, LARGE * 256)) fs.writeSync(fd, SMALL, 0, 4096, at * 4096);
  });
  // What the kernel has in memory goes, so that the server is asked.
  spawnSync('dd', [`of=${folder}/large`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0']);
  time('read 1 MiB in sequence', LARGE, () => {
    for (let i = 0; i < LARGE; i++) fs.readSync(fd, BIG, 0, MIB, i * MIB);
  });
  fs.closeSync(fd);
  fs.rmSync(folder, { recursive: true });
  return times;
}

function ramet(...args) {
  const { status, stderr } = spawnSync(process.execPath, [MAIN, ...args], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
}

export async function* run({ folder }) {
  if (process.getuid?.() !== 0 || !existsSync('/dev/fuse')) {
    console.log('Left out: the mount, since this needs root and /dev/fuse.');
    return;
  }
  const [image, ours, host, bound] = ['mount.img', 'ours', 'host', 'bound'].map((name) =>
    join(folder, name),
  );
  for (const path of [ours, host, bound]) mkdirSync(path);
  const { error } = spawnSync('bindfs', ['-o', 'allow_other', host, bound]);
  const [peer, peerName] = error === undefined ? [bound, 'bindfs'] : [host, 'the host'];
  ramet('create', image, '--size', '4GiB');
  ramet('mount', image, ours, '--background');
  const results = { ours: [], peer: [], host: [] };
  try {
    for (let round = 0; round < ROUNDS; round++) {
      results.peer.push(measure(join(peer, `round-${round}`)));
      results.ours.push(measure(join(ours, `round-${round}`)));
      results.host.push(measure(join(host, `host-${round}`)));
    }
  } finally {
    ramet('umount', ours);
    if (error === undefined) spawnSync('umount', [bound]);
  }
  for (const name of Object.keys(results.ours[0])) {
    const of = (place) => median(results[place].map((times) => times[name]));
    const beside = { name: `mount: ${name}`, unit: 'us', ours: of('ours') };
    const limit = name.includes('iB') ? 1.25 : 1;
    yield row({
      ...beside,
      peer: of('peer'),
      peerName,
      target: limit === 1 ? 'not slower' : `<= ${limit}x`,
      ok: of('ours') <= limit * of('peer'),
    });
    if (!name.includes('in sequence')) continue;
    yield row({
      ...beside,
      peer: of('host'),
      peerName: 'the host',
      target: '<= 1.67x',
      ok: of('ours') <= of('host') / 0.6,
    });
  }
}
