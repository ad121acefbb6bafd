/**
 * Lives on an image until it is killed: takes calls from a file, one JSON text, and says after each
 * that has made something durable which one it was.
 */
import { readFileSync, writeSync } from 'node:fs';
import { Volume } from '../../dist/index.js';
import { Random } from '../../dist/testing.js';

const [image, orders, start] = process.argv.slice(2);
const steps = JSON.parse(readFileSync(orders, 'utf8'));
let now = Number(start);
const vol = Volume.openSync(image, {
  create: true,
  size: 2 ** 24,
  uid: 0,
  gid: 0,
  umask: 0o022,
  now: () => now,
  commitIntervalMs: 0,
});
const { fs } = vol;
const bytes = (seed, length) => new Random(seed).bytes(length);
const path = (text) => Buffer.from(text, 'latin1');

const calls = {
  appendFile: (to, seed, length) => fs.appendFileSync(path(to), bytes(seed, length)),
  chmod: (at, mode) => fs.chmodSync(path(at), mode),
  clone: (from, to) => vol.cloneSync(path(from), path(to)),
  copyFile: (from, to, mode) => fs.copyFileSync(path(from), path(to), mode),
  link: (from, to) => fs.linkSync(path(from), path(to)),
  mkdir: (at, recursive) => fs.mkdirSync(path(at), { recursive }),
  rename: (from, to) => fs.renameSync(path(from), path(to)),
  rm: (at, recursive, force) => fs.rmSync(path(at), { recursive, force }),
  rmdir: (at) => fs.rmdirSync(path(at)),
  symlink: (target, at) => fs.symlinkSync(path(target), path(at)),
  sync: () => vol.syncSync(),
  truncate: (at, size) => fs.truncateSync(path(at), size),
  unlink: (at) => fs.unlinkSync(path(at)),
  utimes: (at, atime, mtime) => fs.utimesSync(path(at), atime, mtime),
  writeFile: (to, seed, length) => fs.writeFileSync(path(to), bytes(seed, length)),
};

writeSync(1, 'open\n');
steps.forEach(({ call, args, save }, i) => {
  now += 1000;
  if (call !== undefined) {
    try {
      calls[call](...args.map((arg) => arg ?? undefined));
    } catch {
      // What is refused here is refused by the model too.
    }
  }
  if (save !== undefined) {
    const fd = fs.openSync(path(save), 'r');
    fs.fsyncSync(fd);
    fs.closeSync(fd);
  }
  if (save !== undefined || call === 'sync') writeSync(1, `${i}\n`);
});
writeSync(1, 'end\n');
setTimeout(() => {}, 60_000);
