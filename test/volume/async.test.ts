/**
 * Many operations in flight: on a slow device that answers in any order, what was acknowledged is
 * there, a snapshot holds one moment of everything, and no block is lost.
 */
import { expect } from 'vitest';
import { errorCode, MIB, type Operation } from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import type { Driver } from '../../src/drive/index.ts';
import { type Mutation, RenameFlag, UnlinkWhat } from '../../src/format/index.ts';
import { type Random, Schedule, SlowDevice } from '../../src/testing/index.ts';
import { type Engine, lookup, type Vnode } from '../../src/volume/index.ts';
import { compareInode } from './compare.ts';
import { Model, ModelInode, type Place, type Verdict } from './model.ts';
import { imageOf, recount } from './recount.ts';
import { create, makeDriver, mount } from './rig.ts';
import { seeded } from './seeds.ts';
import { KINDS, World } from './world.ts';

const OPTIONS = { groupBlocks: 1024, logBlocks: 8, vnodeLimit: 16 } as const;
const NAMES = [...'abcdef'];
const WORKERS = 6;

/** Somebody with a directory of his own, who does one thing after the other. */
class Worker {
  readonly home: ModelInode;
  /** What his directory was like after each thing he did. */
  readonly states: Model[] = [];
  readonly #bench: Bench;
  readonly #vnode: Vnode;

  constructor(bench: Bench, home: ModelInode, vnode: Vnode) {
    this.#bench = bench;
    this.home = home;
    this.#vnode = vnode;
    this.remember();
  }

  remember(): void {
    this.states.push(this.#bench.model.copy());
  }

  async work(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      await this.#step();
      this.remember();
    }
  }

  async #step(): Promise<void> {
    const { random, model } = this.#bench;
    const directory = this.home;
    const place = { directory, name: random.pick(NAMES) };
    const other = { directory, name: random.pick(NAMES) };
    const inode = model.at(place);
    if (inode === undefined) {
      return random.chance(0.3) ? this.#makeUnnamed(place) : this.#create(place);
    }
    switch (random.below(7)) {
      case 0:
        return this.#unlink(place);
      case 1:
        return this.#rename(place, other);
      case 2:
        return this.#clone(inode, place, other);
      case 3:
        return this.#exchange(place, other);
      case 4:
        return this.#change(inode, place, (id, time) => {
          const size = random.below(50000);
          const record: Mutation = { type: 'truncate', target: id, size, time };
          return [model.truncate(inode, size, time.sec), record];
        });
      default:
        return this.#change(inode, place, (id, time) => {
          const offset = random.below(40000);
          const data = random.bytes(random.between(1, 20000));
          const record: Mutation = { type: 'write-inline', target: id, offset, data, time };
          return [model.write(inode, offset, data, time.sec), record];
        });
    }
  }

  async #create(place: Place): Promise<void> {
    const { model } = this.#bench;
    const time = this.#bench.tick();
    const verdict = model.create(place, 'file', { mode: 0o600, target: '' }, time.sec);
    const vnode = await this.#bench.apply(verdict, {
      type: 'create',
      parent: this.#vnode.id,
      name: place.name,
      kind: KINDS.file,
      mode: 0o600,
      uid: 0,
      gid: 0,
      rdev: 0,
      target: '',
      time,
      ino: 0,
      handle: 0,
    });
    (vnode as Vnode).holds--;
  }

  /** A file that nobody sees before it is whole. */
  async #makeUnnamed(place: Place): Promise<void> {
    const { model, random, engine } = this.#bench;
    const parent = this.#vnode.id;
    const made = new ModelInode('file');
    const time = this.#bench.tick();
    const owner = { mode: 0, uid: 0, gid: 0, time, ino: 0, handle: 0 };
    const unnamed = model.tmpfile(place.directory, made, time.sec);
    const vnode = (await this.#bench.apply(unnamed, {
      type: 'tmpfile',
      parent,
      ...owner,
    })) as Vnode;
    vnode.opens++;
    const [target, data] = [vnode.id, random.bytes(random.between(1, 20_000))];
    const written = model.write(made, 0, data, time.sec);
    await this.#bench.apply(written, { type: 'write-inline', target, offset: 0, data, time });
    const named = this.#bench.tick();
    const link = { target, parent, name: place.name, time: named };
    await this.#bench.apply(model.link(made, place, named.sec), { type: 'link', ...link });
    model.close(made);
    vnode.opens--;
    vnode.holds--;
    expect(engine.closed(vnode)).toBeUndefined();
  }

  async #exchange(place: Place, other: Place): Promise<void> {
    const time = this.#bench.tick();
    await this.#bench.apply(this.#bench.model.exchange(place, other, time.sec), {
      type: 'rename',
      parent: this.#vnode.id,
      name: place.name,
      newParent: this.#vnode.id,
      newName: other.name,
      flags: RenameFlag.EXCHANGE,
      time,
    });
  }

  async #unlink(place: Place): Promise<void> {
    const time = this.#bench.tick();
    await this.#bench.apply(this.#bench.model.unlink(place, 'file', time.sec), {
      type: 'unlink',
      parent: this.#vnode.id,
      name: place.name,
      what: UnlinkWhat.FILE,
      time,
    });
  }

  async #rename(from: Place, to: Place): Promise<void> {
    const time = this.#bench.tick();
    await this.#bench.apply(this.#bench.model.rename(from, to, false, time.sec), {
      type: 'rename',
      parent: this.#vnode.id,
      name: from.name,
      newParent: this.#vnode.id,
      newName: to.name,
      flags: 0,
      time,
    });
  }

  async #clone(source: ModelInode, from: Place, to: Place): Promise<void> {
    await this.#change(source, from, (id, time) => [
      this.#bench.model.clone(source, to, false, time.sec),
      {
        type: 'clone',
        source: id,
        parent: this.#vnode.id,
        name: to.name,
        readOnly: false,
        time,
        ino: 0,
        realm: 0,
        handle: 0,
      },
    ]);
  }

  /** Does something to an inode of the directory. */
  async #change(
    _inode: ModelInode,
    { name }: Place,
    make: (id: number, time: { sec: number; nsec: number }) => [Verdict, Mutation],
  ): Promise<void> {
    const { engine, driver } = this.#bench;
    const vnode = await driver.start(lookup(engine, this.#vnode, name));
    const result = await this.#bench.apply(...make(vnode.id, this.#bench.tick()));
    if (result !== undefined && typeof result === 'object') (result as Vnode).holds--;
    vnode.holds--;
  }
}

/** A volume on a slow device. */
class Bench {
  readonly random: Random;
  readonly memory: MemoryDevice;
  readonly schedule: Schedule;
  readonly driver: Driver;
  readonly engine: Engine;
  readonly model = new Model();
  #clock = 0;

  constructor(random: Random) {
    this.random = random;
    this.memory = new MemoryDevice({ size: 24 * MIB });
    create(this.memory, OPTIONS);
    this.schedule = new Schedule(random.fork());
    const { schedule } = this;
    const device = new SlowDevice(this.memory, { schedule });
    this.driver = makeDriver(device, { concurrency: 24, schedule });
    this.engine = mount(this.memory, OPTIONS).engine;
    for (const [inode, { btime }] of [
      [this.model.root, this.engine.live],
      [this.model.snapshots, this.engine.snapshots],
    ] as const) {
      inode.atime = inode.mtime = inode.ctime = inode.btime = btime.sec;
    }
  }

  tick(): { sec: number; nsec: number } {
    return { sec: ++this.#clock, nsec: 0 };
  }

  /** Runs a mutation; once it is acknowledged it is in the model too. */
  async apply(verdict: Verdict, record: Mutation): Promise<unknown> {
    try {
      const result = await this.driver.start(this.engine.apply(record));
      if (typeof verdict === 'string') throw new Error(`${record.type} should fail: ${verdict}`);
      verdict();
      return result;
    } catch (error) {
      if (errorCode(error) !== verdict) throw error;
      return undefined;
    }
  }

  /** Makes durable and gives back, again and again, until `working` is over. */
  async housekeeping(working: () => boolean): Promise<void> {
    while (working()) {
      const work: Operation<unknown> | undefined = this.engine.reclaim();
      if (work !== undefined && this.random.chance(0.5)) await this.driver.start(work);
      else await this.driver.start(this.engine.commit());
      this.engine.store.blocks.evictAll();
      await this.schedule.submit(() => {});
    }
  }
}

/** Which states of each worker a snapshot may show. */
interface Shot {
  readonly name: string;
  readonly from: readonly number[];
  readonly to: readonly number[];
}

async function shoot(bench: Bench, workers: readonly Worker[], name: string): Promise<Shot> {
  const { model, engine } = bench;
  const count = () => workers.map(({ states }) => states.length - 1);
  const from = count();
  const place = { directory: model.snapshots, name };
  const time = bench.tick();
  // In the model it is a snapshot of what was acknowledged; what it shows is looked at later.
  const vnode = await bench.apply(model.clone(model.root, place, true, time.sec), {
    type: 'clone',
    source: engine.live.id,
    parent: engine.snapshots.id,
    name,
    readOnly: true,
    time,
    ino: 0,
    realm: 0,
    handle: 0,
  });
  (vnode as Vnode).holds--;
  // What was in flight when it was made may be in it, though it is acknowledged later.
  return { name, from, to: count().map((states) => states + 1) };
}

async function history(bench: Bench): Promise<{ workers: Worker[]; shots: Shot[] }> {
  const { model, engine, driver, random } = bench;
  const workers: Worker[] = [];
  for (let i = 0; i < WORKERS; i++) {
    const place = { directory: model.root, name: `worker ${i}` };
    const time = bench.tick();
    const made = await bench.apply(
      model.create(place, 'directory', { mode: 0o700, target: '' }, time.sec),
      {
        type: 'create',
        parent: engine.live.id,
        name: place.name,
        kind: KINDS.directory,
        mode: 0o700,
        uid: 0,
        gid: 0,
        rdev: 0,
        target: '',
        time,
        ino: 0,
        handle: 0,
      },
    );
    workers.push(new Worker(bench, model.at(place) as ModelInode, made as Vnode));
  }
  let working = true;
  const shots: Shot[] = [];
  const shooting = async () => {
    for (let i = 0; i < 4; i++) {
      for (let pause = random.between(1, 20); pause > 0; pause--)
        await bench.schedule.submit(() => {});
      shots.push(await shoot(bench, workers, `shot ${i}`));
    }
  };
  const house = bench.housekeeping(() => working);
  await Promise.all([...workers.map((worker) => worker.work(40)), shooting()]);
  working = false;
  await house;
  await driver.start(engine.commit());
  return { workers, shots };
}

/** Each worker's directory in a snapshot is as it was at some moment while it was made. */
function compareShot(world: World, shot: Shot, workers: readonly Worker[]): void {
  const { engine } = world.rig;
  const top = world.run(lookup(engine, engine.snapshots, shot.name));
  workers.forEach(({ states, home }, w) => {
    const vnode = world.run(lookup(engine, top, home.name));
    const [from, to] = [shot.from[w] as number, shot.to[w] as number];
    const possible = states.slice(from, to + 1).filter((state) => {
      const then = state.copy().root.entries.get(home.name) as ModelInode;
      try {
        compareInode(world, then, vnode, `/${home.name}`);
        return true;
      } catch {
        return false;
      }
    });
    expect(
      possible.length,
      `${shot.name} of ${home.name}: states ${from} to ${to}`,
    ).toBeGreaterThan(0);
  });
}

seeded('many operations in flight', { count: 6 }, async (random) => {
  const bench = new Bench(random);
  const { workers, shots } = await bench.schedule.run(history(bench));
  expect(bench.driver.idle).toBe(true);
  expect(bench.engine.store.space.reserved).toBe(0);
  expect(recount(imageOf(bench.memory))).toEqual([]);
  const snapshots = [...bench.model.snapshots.entries];
  bench.model.snapshots.entries.clear();
  bench.model.snapshots.nlink = 2;
  const world = new World(bench.memory, OPTIONS, bench.model);
  const { root } = bench.model;
  compareInode(world, root, world.hold(root), '');
  expect(snapshots).toHaveLength(shots.length);
  for (const shot of shots) compareShot(world, shot, workers);
});
