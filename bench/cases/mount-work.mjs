/**
 * What people do on a mount, beside the host's own filesystem and a passthrough to it in C: unpack
 * a tree, `git status`, `npm ci`, databases, remove it all; and a clone of the tree beside `cp -a`
 * with reflinks on XFS. Needs root and /dev/fuse; bindfs, pgbench and XFS where they are there.
 */
import { execFile, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Volume } from '../../dist/index.js';
import manifest from '../../package.json' with { type: 'json' };
import { median, randomOf, row } from '../report.mjs';

const HERE = new URL('../../', import.meta.url).pathname;
const MAIN = join(HERE, manifest.bin.ramet);
const FILES = 30_000;
const ROUNDS = 3;
const TRANSACTIONS = 300;
const POSTGRES = '/usr/lib/postgresql';

function sh(command, args, options = {}) {
  const ended = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 2 ** 26, ...options });
  if (ended.status === 0) return ended.stdout;
  throw new Error(`${command} ${args.join(' ')}: ${ended.stderr || ended.error}`);
}

const ramet = (...args) => sh(process.execPath, [MAIN, ...args]);

/** Milliseconds that a body takes. */
function timed(body) {
  const start = performance.now();
  body();
  return performance.now() - start;
}

/** An archive of a tree of small files, as that of a package manager is. */
function makeArchive(folder) {
  const [tree, archive] = [join(folder, 'tree'), join(folder, 'tree.tar')];
  const random = randomOf(1);
  for (let d = 0; d < FILES / 100; d++) {
    const directory = join(tree, `d${d % 20}`, `e${d}`);
    mkdirSync(directory, { recursive: true });
    for (let i = 0; i < 100; i++) {
      writeFileSync(join(directory, `file-${i}.js`), Buffer.alloc(random(8000), 32 + random(90)));
    }
  }
  sh('tar', ['cf', archive, '-C', folder, 'tree']);
  rmSync(tree, { recursive: true });
  return archive;
}

/** Milliseconds of each piece of work, by its name. */
function measure(folder, archive) {
  const times = {};
  const tree = join(folder, 'tree');
  const quiet = ['-c', 'gc.auto=0', '-c', 'maintenance.auto=false'];
  const git = (...args) =>
    sh('git', [...quiet, '-c', 'user.name=b', '-c', 'user.email=b@b', ...args], { cwd: tree });
  mkdirSync(folder);
  times[`untar ${FILES} files`] = timed(() => sh('tar', ['xf', archive, '-C', folder]));
  git('init', '-q');
  git('add', '.');
  git('commit', '-qm', 'all');
  git('status');
  times['git status, warm'] = median([1, 2, 3].map(() => timed(() => git('status'))));
  times[`rm -rf ${FILES} files`] = timed(() => sh('rm', ['-rf', tree]));
  times['npm ci'] = npmCi(join(folder, 'project'));
  for (const mode of ['DELETE', 'WAL'])
    times[`SQLite, ${mode}: a transaction`] = sqlite(folder, mode);
  return times;
}

function npmCi(project) {
  mkdirSync(project);
  for (const name of ['package.json', 'package-lock.json']) {
    copyFileSync(join(HERE, name), join(project, name));
  }
  const args = ['ci', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'];
  return timed(() => sh('npm', args, { cwd: project }));
}

function sqlite(folder, mode) {
  const insert = 'INSERT INTO t (text) VALUES (hex(randomblob(100)));\n';
  const begin = `PRAGMA journal_mode=${mode}; PRAGMA synchronous=FULL; CREATE TABLE t (text);\n`;
  const input = begin + insert.repeat(TRANSACTIONS);
  return timed(() => sh('sqlite3', [join(folder, `${mode}.db`)], { input })) / TRANSACTIONS;
}

/** Transactions per second; undefined without PostgreSQL. */
function pgbench(folder) {
  const version = existsSync(POSTGRES) ? readdirSync(POSTGRES).at(-1) : undefined;
  if (version === undefined) return undefined;
  const bin = join(POSTGRES, version, 'bin');
  const data = join(folder, 'pg');
  const [uid, gid] = ['-u', '-g'].map((flag) => Number(sh('id', [flag, 'postgres'])));
  const as = { uid, gid, cwd: '/' };
  const at = ['-h', data];
  mkdirSync(data);
  chownSync(data, uid, gid);
  sh(join(bin, 'initdb'), ['-D', join(data, 'db'), '-A', 'trust'], as);
  const server = ['-D', join(data, 'db'), '-w', '-l', join(data, 'log')];
  const set = `-c listen_addresses='' -c unix_socket_directories=${data}`;
  sh(join(bin, 'pg_ctl'), [...server, '-o', set, 'start'], { ...as, stdio: 'ignore' });
  try {
    sh(join(bin, 'pgbench'), [...at, '-q', '-i', '-s', '5', 'postgres'], as);
    const told = sh(join(bin, 'pgbench'), [...at, '-c', '4', '-T', '10', 'postgres'], as);
    return Number(/tps = ([\d.]+)/u.exec(told)?.[1]);
  } finally {
    sh(join(bin, 'pg_ctl'), [...server, '-m', 'fast', 'stop'], { ...as, stdio: 'ignore' });
  }
}

/** Times over the host's own, at the most. */
const LIMITS = [
  ['untar', 4, true],
  ['git status', 1.2, false],
  ['rm -rf', 3, true],
  ['npm ci', 1.5, true],
  ['SQLite', 1 / 0.7, false],
];

export async function* run({ folder, mounts }) {
  if (process.getuid?.() !== 0 || !existsSync('/dev/fuse')) {
    console.log('Left out: work on a mount, since this needs root and /dev/fuse.');
    return;
  }
  const [image, ours, host, bound] = ['work.img', 'work', 'work-host', 'work-bound'].map((name) =>
    join(folder, name),
  );
  for (const path of [ours, host, bound]) mkdirSync(path);
  // The user of the database has to come through.
  chmodSync(folder, 0o755);
  const archive = makeArchive(folder);
  const hasBindfs = spawnSync('bindfs', ['-o', 'allow_other', host, bound]).error === undefined;
  ramet('create', image, '--size', '8GiB');
  ramet('mount', image, ours, '--background');
  const places = { ours, host, ...(hasBindfs && { bound }) };
  const results = Object.fromEntries(Object.keys(places).map((name) => [name, []]));
  try {
    for (let round = 0; round < ROUNDS; round++) {
      for (const [name, path] of Object.entries(places)) {
        results[name].push(measure(join(path, `${name}-${round}`), archive));
      }
    }
    yield* compared(results);
    yield* transactions(ours, host);
    yield* cloned(folder, mounts.at('xfs'), archive);
  } finally {
    ramet('umount', ours);
    if (hasBindfs) spawnSync('umount', [bound]);
  }
}

function* compared(results) {
  for (const name of Object.keys(results.ours[0])) {
    const [, limit, alsoBound] = LIMITS.find(([start]) => name.startsWith(start));
    const of = (place) => median(results[place].map((times) => times[name]));
    const beside = { name: `mount: ${name}`, unit: 'ms', ours: of('ours') };
    yield row({
      ...beside,
      peer: of('host'),
      peerName: 'the host',
      target: `<= ${limit.toFixed(2)}x`,
      ok: of('ours') <= limit * of('host'),
    });
    if (results.bound === undefined) continue;
    yield row({
      ...beside,
      peer: of('bound'),
      peerName: 'bindfs',
      target: alsoBound ? 'not slower' : 'for information',
      ok: !alsoBound || of('ours') <= of('bound'),
    });
  }
}

function* transactions(ours, host) {
  const [a, b] = [pgbench(ours), pgbench(host)];
  if (a === undefined) {
    console.log('Left out: pgbench, which is not installed.');
    return;
  }
  yield row({
    name: 'mount: pgbench, 4 clients: time of a transaction',
    unit: 'ms',
    ours: 4000 / a,
    peer: 4000 / b,
    peerName: 'the host',
    target: '<= 1.43x',
    ok: a >= 0.7 * b,
  });
}

async function* cloned(folder, xfs, archive) {
  if (xfs === undefined) return;
  const place = join(folder, 'work-clone');
  mkdirSync(place);
  const volume = await Volume.open(join(folder, 'clone.img'), { create: true, size: 4 * 2 ** 30 });
  const mount = await volume.mount(place);
  for (const path of [place, xfs]) sh('tar', ['xf', archive, '-C', path]);
  const copies = [0, 1, 2].map((i) =>
    timed(() => sh('cp', ['-a', '--reflink=always', 'tree', `copy-${i}`], { cwd: xfs })),
  );
  const calls = Array.from({ length: 9 }, (_, i) =>
    timed(() => volume.cloneSync('/tree', `/clone-${i}`)),
  );
  const commands = [];
  for (const i of [0, 1, 2]) {
    const start = performance.now();
    // The volume is this process's: it has to go on.
    await promisify(execFile)(process.execPath, [
      ...[MAIN, 'clone', join(place, 'tree'), join(place, `command-${i}`)],
    ]);
    commands.push(performance.now() - start);
  }
  await mount.unmount();
  await volume.close();
  const beside = { unit: 'ms', peer: median(copies), peerName: 'cp -a --reflink, XFS' };
  yield row({
    ...beside,
    name: `mount: clone of ${FILES} files, by command`,
    ours: median(commands),
    target: 'for information',
    ok: true,
  });
  yield row({
    ...beside,
    name: `mount: clone of ${FILES} files, by a program`,
    ours: median(calls),
    target: '<= 1/500',
    ok: 500 * median(calls) <= beside.peer,
  });
}
