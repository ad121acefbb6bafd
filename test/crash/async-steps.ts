/** Steps of actors: what they do with names, with files and with the volume. */
import { constants } from '../../src/api/flags.ts';
import { BLOCK_SIZE } from '../../src/base/index.ts';
import type { ModelNode } from '../../src/testing/model-node.ts';
import type { Actor, OpenFile, Step } from './async-actor.ts';
import type { Stored } from './async-stores.ts';

const { O_RDWR, O_CREAT, O_TRUNC, O_APPEND, O_DIRECT, O_SYNC, O_DSYNC } = constants;

/** Few paths, so that actors meet. */
const DIRECTORIES = ['', '/d', '/e', '/d/e'];
const NAMES = ['a', 'b', 'c', 'd', 'e'];
const SNAPSHOTS = ['s', 't'];
/** Inodes of the live tree beyond which clones give way to removals. */
const NODES_MAX = 40;
/** Blocks of a file, about. */
const BLOCKS = 24;
const OPEN_MAX = 3;
/** Views that an open file may have. */
const VIEWS_MAX = 2;

const FLAGS = [
  O_RDWR,
  O_RDWR,
  O_RDWR | O_DIRECT,
  O_RDWR | O_SYNC,
  O_RDWR | O_DSYNC,
  O_RDWR | O_DSYNC | O_DIRECT,
  O_RDWR | O_APPEND,
  O_RDWR | O_APPEND | O_SYNC,
  O_RDWR | O_TRUNC,
];

type Kind = ModelNode['kind'];

/** Any path, there or not. */
function path({ random }: Actor): string {
  return `${random.pick(DIRECTORIES)}/${random.pick(NAMES)}`;
}

/** Mostly one that is there now. Others may be faster. */
function existing(actor: Actor, ...kinds: Kind[]): string {
  const { random, stage } = actor;
  const paths = [...pathsOf(stage.model.root, '', kinds)];
  return paths.length === 0 || random.chance(1 / 16) ? path(actor) : random.pick(paths);
}

/** Where a name may be made. */
function place(actor: Actor): string {
  const { random } = actor;
  const above = random.chance(1 / 2) ? '' : existing(actor, 'directory');
  return `${above}/${random.pick(NAMES)}`;
}

function* pathsOf(above: ModelNode, at: string, kinds: readonly Kind[]): Generator<string> {
  for (const [name, node] of above.entries) {
    if (kinds.includes(node.kind)) yield `${at}/${name}`;
    yield* pathsOf(node, `${at}/${name}`, kinds);
  }
}

// --- Names --------------------------------------------------------------------------------------

async function mkdir(actor: Actor): Promise<void> {
  const at = place(actor);
  await actor.wait(`mkdir ${at}`, ({ fs }) => fs.promises.mkdir(at));
}

async function rmdir(actor: Actor): Promise<void> {
  const at = existing(actor, 'directory');
  await actor.wait(`rmdir ${at}`, ({ fs }) => fs.promises.rmdir(at));
}

async function unlink(actor: Actor): Promise<void> {
  const at = existing(actor, 'file');
  await actor.wait(`unlink ${at}`, ({ fs }) => fs.promises.unlink(at));
}

async function remove(actor: Actor): Promise<void> {
  const at = existing(actor, 'directory');
  await actor.wait(`rm -r ${at}`, ({ fs }) => fs.promises.rm(at, { recursive: true }));
}

async function rename(actor: Actor): Promise<void> {
  const from = existing(actor, 'file', 'file', 'directory');
  const to = actor.random.chance(1 / 2) ? existing(actor, 'file') : place(actor);
  await actor.wait(`rename ${from} ${to}`, ({ fs }) => fs.promises.rename(from, to));
}

async function link(actor: Actor): Promise<void> {
  const [from, to] = [existing(actor, 'file'), place(actor)];
  await actor.wait(`link ${from} ${to}`, ({ fs }) => fs.promises.link(from, to));
}

async function exchange(actor: Actor): Promise<void> {
  const kinds = ['file', 'directory'] as const;
  const [left, right] = [existing(actor, ...kinds), existing(actor, ...kinds)];
  await actor.wait(`exchange ${left} ${right}`, (volume) => volume.exchange(left, right));
}

async function clone(actor: Actor): Promise<void> {
  if ([...actor.stage.model.root.all()].length > NODES_MAX) return await remove(actor);
  const from = existing(actor, 'file', 'directory');
  const to = place(actor);
  await actor.wait(`clone ${from} ${to}`, (volume) => volume.clone(from, to));
}

async function snapshot(actor: Actor): Promise<void> {
  const name = actor.random.pick(SNAPSHOTS);
  await actor.wait(`snapshot ${name}`, (volume) => volume.snapshot(name));
}

async function deleteSnapshot(actor: Actor): Promise<void> {
  const name = actor.random.pick(SNAPSHOTS);
  await actor.wait(`delete snapshot ${name}`, (volume) => volume.deleteSnapshot(name));
}

// --- Durability ---------------------------------------------------------------------------------

async function sync(actor: Actor): Promise<void> {
  const { stage } = actor;
  const { state } = stage;
  const stored = stage.stores.of();
  await actor.wait('sync', (volume) => volume.sync());
  stage.acknowledge(Math.max(state, stage.stores.landed(stored)), undefined);
}

async function fsync(actor: Actor): Promise<void> {
  const { file, stage } = actor;
  if (file === undefined) return await open(actor);
  const { state } = stage;
  const stored = stage.stores.of(file.node);
  const call = actor.random.pick(['sync', 'datasync'] as const);
  await actor.wait(`${call} ${file.path}`, () => file.handle[call]());
  stage.acknowledge(Math.max(state, stage.stores.landed(stored)), file.node);
}

async function fsyncDirectory(actor: Actor): Promise<void> {
  const at = actor.random.chance(1 / 3) ? '/' : existing(actor, 'directory');
  const handle = await actor.wait(`open ${at}`, ({ fs }) => fs.promises.open(at, 'r'));
  const { state } = actor.stage;
  await actor.wait(`fsync ${at}`, () => handle.sync());
  actor.stage.acknowledge(state, actor.stage.nodeOf(handle.fd));
  await handle.close();
}

async function reclaim(actor: Actor): Promise<void> {
  await actor.wait('reclaim', (volume) => volume.reclaim());
}

// --- Files --------------------------------------------------------------------------------------

async function open(actor: Actor): Promise<void> {
  const { files, habits, random, stage } = actor;
  if (files.length >= OPEN_MAX) await close(actor);
  const crowds = random.chance(habits.crowd);
  const makes = crowds || random.chance(1 / 4);
  const at = crowds ? '/a' : makes ? place(actor) : existing(actor, 'file');
  const flags = random.pick(FLAGS) | (makes ? O_CREAT : 0);
  const doing = `open ${at} 0${flags.toString(8)}`;
  const handle = await actor.wait(doing, ({ fs }) => fs.promises.open(at, flags));
  const node = stage.nodeOf(handle.fd);
  files.push({ handle, path: at, node, synchronous: (flags & O_DSYNC) !== 0, views: [] });
}

async function close(actor: Actor): Promise<void> {
  const { files, random } = actor;
  if (files.length === 0) return;
  const [file] = files.splice(random.below(files.length), 1) as [OpenFile];
  await actor.wait(`close ${file.path}`, () => file.handle.close());
}

/** Where a change begins, and how long it is: whole blocks, parts of one, or anything. */
function range({ random, habits }: Actor): { offset: number; length: number } {
  const block = random.below(BLOCKS);
  const count = random.chance(habits.large) ? random.between(8, 20) : random.between(1, 3);
  const all = { offset: block * BLOCK_SIZE, length: count * BLOCK_SIZE };
  if (random.chance(1 / 2)) return all;
  const offset = all.offset + random.below(BLOCK_SIZE);
  return { offset, length: random.between(4, random.pick([200, BLOCK_SIZE, all.length])) };
}

/** Bytes that no other write has. */
function bytesFor({ stage }: Actor, length: number): { bytes: Uint8Array; stamp: number } {
  const stamp = stage.nextStamp();
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  for (let at = 0; at + 4 <= length; at += 4) view.setUint32(at, stamp);
  return { bytes, stamp };
}

async function write(actor: Actor): Promise<void> {
  const { file, stage } = actor;
  if (file === undefined) return await open(actor);
  const { offset, length } = range(actor);
  const { bytes, stamp } = bytesFor(actor, length);
  const before = stage.state;
  await actor.wait(`write ${stamp} ${file.path} ${offset} ${length}`, () =>
    file.handle.write(bytes, 0, length, offset),
  );
  const landed = stage.landed(bytes);
  if (landed === undefined) throw new Error(`write ${stamp} has ended, and was not told`);
  if (file.synchronous) stage.acknowledge(Math.max(before, landed), file.node);
}

async function read(actor: Actor): Promise<void> {
  const { file } = actor;
  if (file === undefined) return;
  const { offset, length } = range(actor);
  await actor.wait(`read ${file.path} ${offset} ${length}`, () =>
    file.handle.read(new Uint8Array(length), 0, length, offset),
  );
}

async function truncate(actor: Actor): Promise<void> {
  const { file, random } = actor;
  if (file === undefined) return;
  const size = random.below(BLOCKS) * BLOCK_SIZE + random.pick([0, 0, 100, 4000]);
  await actor.wait(`truncate ${file.path} ${size}`, () => file.handle.truncate(size));
}

async function punch(actor: Actor): Promise<void> {
  const { file, random } = actor;
  if (file === undefined) return;
  const { offset, length } = range(actor);
  const call = random.pick(['punch', 'punch', 'zeroRange'] as const);
  await actor.wait(`${call} ${file.path} ${offset} ${length}`, (volume) =>
    volume[call](file.handle, offset, length),
  );
}

async function cloneRange(actor: Actor): Promise<void> {
  const { file, random } = actor;
  const other = actor.file;
  if (file === undefined || other === undefined) return;
  const [from, to] = [random.below(BLOCKS), random.below(BLOCKS)];
  const whole = random.chance(1 / 3);
  const length = whole ? 0 : random.between(1, 8) * BLOCK_SIZE;
  const at = { sourceOffset: from * BLOCK_SIZE, targetOffset: to * BLOCK_SIZE, length };
  await actor.wait(`clone range ${file.path} ${from} ${other.path} ${to} ${length}`, (volume) =>
    volume.cloneRange(file.handle, other.handle, whole ? {} : at),
  );
}

/** What there is at first: two directories and two files. */
export async function settle(actor: Actor): Promise<void> {
  for (const at of ['/d', '/d/e']) {
    await actor.wait(`mkdir ${at}`, ({ fs }) => fs.promises.mkdir(at));
  }
  for (const at of ['/a', '/d/a']) {
    const { bytes } = bytesFor(actor, 12 * BLOCK_SIZE);
    await actor.wait(`write ${at}`, ({ fs }) => fs.promises.writeFile(at, bytes));
  }
}

// --- Views --------------------------------------------------------------------------------------

/** A range of a file as memory, or one that there is. */
async function map(actor: Actor): Promise<void> {
  const { file, random } = actor;
  if (file === undefined || file.views.length >= VIEWS_MAX) return;
  const offset = random.below(4) * BLOCK_SIZE;
  const length = random.between(1, 4) * BLOCK_SIZE;
  const view = await actor.wait(`map ${file.path} ${offset} ${length}`, (volume) =>
    volume.map(file.handle, offset, length, { write: true }),
  );
  file.views.push(view);
}

/** Stores are calls of nobody: they take no time. */
async function store(actor: Actor): Promise<void> {
  const { file, random, stage } = actor;
  const view = file?.views.find(({ valid }) => valid);
  if (file === undefined || view === undefined) return await map(actor);
  const { bytes } = bytesFor(actor, random.pick([8, 64, 5000]));
  const at = random.below(Math.max(1, view.length - bytes.length));
  const part = bytes.subarray(0, view.length - at);
  view.bytes.set(part, at);
  stage.note(`${actor.name} stores ${file.path} ${view.offset + at} ${part.length}`);
  stage.stores.add(file.node, view.offset + at, part);
}

async function viewSync(actor: Actor): Promise<void> {
  const { file, random, stage } = actor;
  if (file === undefined || file.views.length === 0) return;
  const view = random.pick(file.views);
  const isIn = ({ from }: Stored): boolean =>
    from >= view.offset && from < view.offset + view.length;
  const stored = stage.stores.of(file.node).filter(isIn);
  const call = random.pick(['sync', 'release'] as const);
  if (call === 'release') file.views.splice(file.views.indexOf(view), 1);
  await actor.wait(`view ${call} ${file.path} ${view.offset}`, () => view[call]());
  if (file.views.length === 0) stage.stores.landed(stored);
}

export const STEPS: readonly Step[] = [
  { weight: 3, run: clone },
  { weight: 3, run: cloneRange },
  { weight: 4, run: close },
  { weight: 1, run: deleteSnapshot },
  { weight: 3, run: exchange },
  { weight: 12, run: fsync },
  { weight: 4, run: fsyncDirectory },
  { weight: 3, run: link },
  { weight: 2, run: map },
  { weight: 3, run: mkdir },
  { weight: 12, run: open },
  { weight: 3, run: punch },
  { weight: 3, run: read },
  { weight: 1, run: reclaim },
  { weight: 1, run: remove },
  { weight: 5, run: rename },
  { weight: 1, run: rmdir },
  { weight: 1, run: snapshot },
  { weight: 5, run: store },
  { weight: 2, run: sync },
  { weight: 4, run: truncate },
  { weight: 4, run: unlink },
  { weight: 2, run: viewSync },
  { weight: 24, run: write },
];
