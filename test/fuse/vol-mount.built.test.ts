/**
 * Volumes of this process, mounted while they are in use: the engine of an image moves to another
 * thread and back, that of any other device stays here. On the kernel that is running.
 */
import { exec, execSync, spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import { MIB } from '../../src/base/index.ts';
import { type Device, MemoryDevice } from '../../src/device/index.ts';
import { MountableVolume as Volume } from '../../src/fuse/index.ts';
import { ModelVolume, Random, Schedule, SlowDevice } from '../../src/testing/index.ts';
import { draw } from '../api/draw.ts';
import { ModelRunner, type Step, show, VolumeRunner } from '../api/steps.ts';
import { describeMounts, ramet } from './mounted.ts';

const SLOW = { timeout: 120_000 };
const run = promisify(exec);

/** A folder with a place for an image and one to mount at. */
class Place {
  readonly folder = mkdtempSync(join(tmpdir(), 'ramet-vol-'));
  readonly image = join(this.folder, 'a.img');
  readonly path = join(this.folder, 'mnt');

  constructor() {
    mkdirSync(this.path);
  }

  open(): Promise<Volume> {
    return Volume.open(this.image, { create: true, size: 256 * MIB, label: 'here' });
  }

  /** Runs a script in the mount, and blocks this thread. */
  sh(script: string): string {
    return execSync(script, { cwd: this.path, encoding: 'utf8', timeout: 60_000 }).trimEnd();
  }

  /** The same, while this thread goes on. Only the shell goes to the mount. */
  async shLater(script: string): Promise<string> {
    const all = `cd ${this.path} && ${script}`;
    const { stdout } = await run(all, { timeout: 60_000, maxBuffer: 64 * MIB });
    return stdout.trimEnd();
  }

  [Symbol.dispose](): void {
    try {
      execSync(`umount -l ${this.path}`, { stdio: 'ignore' });
    } catch {
      // It is not mounted.
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A device that takes its time, in an order that is drawn, and goes on by itself. */
function slowDevice(seed: number): { device: Device; stop: () => void } {
  const schedule = new Schedule(new Random(seed));
  const memory = new MemoryDevice({ size: 256 * MIB });
  const device = new SlowDevice(memory, { schedule });
  const timer = setInterval(() => schedule.drain(), 1);
  return { device, stop: () => clearInterval(timer) };
}

const code = (error: { code?: string }): string | undefined => error.code;

describeMounts('a volume of an image that is mounted', () => {
  it('goes on by its own calls while this thread blocks on a program', SLOW, async () => {
    using place = new Place();
    const vol = await place.open();
    const { readFileSync } = vol.fs;
    vol.fs.writeFileSync('/before', 'old');
    const mount = await vol.mount(place.path);
    expect(place.sh('cat before; printf new > made; ls')).toBe('oldbefore\nmade');
    expect(readFileSync('/made', 'utf8')).toBe('new');
    vol.fs.writeFileSync('/before', 'other');
    vol.cloneSync('/made', '/clone');
    expect(place.sh('cat before clone')).toBe('othernew');
    const file = await vol.fs.promises.open('/before', 'r+');
    await file.write('X', 1);
    expect((await file.read(Buffer.alloc(9), 0, 9, 0)).bytesRead).toBe(5);
    await expect(mount.unmount()).rejects.toMatchObject({ code: 'EBUSY' });
    await file.close();
    expect([vol.label, vol.readOnly, place.sh('cat before')]).toEqual(['here', false, 'oXher']);
    await mount.unmount();
    expect(readdirSync(place.path)).toEqual([]);
    expect(readFileSync('/before', 'utf8')).toBe('oXher');
    await vol.close();
    expect(ramet('check', place.image).status).toBe(0);
  });

  it('takes commands that name its image, this thread blocked or not', SLOW, async () => {
    using place = new Place();
    const vol = await place.open();
    await vol.mount(place.path);
    vol.fs.mkdirSync('/d');
    expect(ramet('clone', `${place.image}:/d`, '/e').stderr).toBe('');
    expect(place.sh('ls')).toBe('d\ne');
    await vol.close();
  });

  it('makes what functions, buffers and objects of its caller are part of', SLOW, async () => {
    using place = new Place();
    const vol = await place.open();
    const mount = await vol.mount(place.path);
    const { fs } = vol;
    fs.mkdirSync('/a');
    for (const name of ['x', 'y', 'z']) fs.writeFileSync(`/a/${name}`, name);
    fs.cpSync('/a', '/b', { recursive: true, filter: (from) => !from.endsWith('y') });
    expect(place.sh('ls b')).toBe('x\nz');
    const thrown = new Error('of the caller');
    const filter = (): never => {
      throw thrown;
    };
    expect(() => fs.cpSync('/a', '/c', { recursive: true, filter })).toThrow(thrown);
    await fs.promises.writeFile('/pieces', ['a', 'b', 'c']);
    const fd = fs.openSync('/pieces', 'r');
    const [one, two] = [Buffer.alloc(1), new Uint8Array(5)];
    expect([fs.readvSync(fd, [one, two], 0), `${one}`, `${Buffer.from(two)}`]).toEqual([
      3,
      'a',
      'bc\0\0\0',
    ]);
    fs.closeSync(fd);
    const seen: string[] = [];
    for await (const entry of await fs.promises.opendir('/a')) seen.push(entry.name);
    expect(seen.sort()).toEqual(['x', 'y', 'z']);
    vol.snapshotSync('s');
    fs.rmSync('/a/x');
    using view = vol.openSnapshotSync('s');
    expect(view.fs.readFileSync('/a/x', 'utf8')).toBe('x');
    const changes = [...vol.diffSync({ snapshot: 's' }, '/')].map(({ path }) => `${path}`);
    expect(changes).toEqual(['a', 'a/x']);
    view.close();
    await expect(vol.map(3, 0, 1)).rejects.toMatchObject({ code: 'ENOTSUP' });
    const controller = new AbortController();
    controller.abort(thrown);
    await expect(vol.space('/', { signal: controller.signal })).rejects.toBe(thrown);
    expect(() => fs.readFileSync('/none')).toThrow(
      "ENOENT: no such file or directory, open '/none'",
    );
    expect(() => fs.readFileSync(Symbol('s') as never)).toThrow(TypeError);
    await mount.unmount();
    await vol.close();
  });

  it('makes many calls at once, and one that cannot wait among them', SLOW, async () => {
    using place = new Place();
    const vol = await place.open();
    const mounting = vol.mount(place.path);
    expect(() => vol.fs.readdirSync('/')).toThrow('EBUSY');
    expect(await vol.close().catch(code)).toBe('EBUSY');
    // It waits until the mount answers.
    const early = vol.fs.promises.writeFile('/early', 'x');
    const mount = await mounting;
    const names = Array.from({ length: 100 }, (_, i) => `/f${i}`);
    const writing = names.map((name) => vol.fs.promises.writeFile(name, name.repeat(2000)));
    const progress: number[] = [];
    const scrub = vol.scrub({ progress: ({ done }) => progress.push(done) });
    expect(vol.fs.existsSync('/none')).toBe(false);
    await Promise.all([...writing, scrub, early]);
    expect(progress.length).toBeGreaterThan(0);
    const reading = names.map((name) => vol.fs.promises.readFile(name, 'utf8'));
    expect(await Promise.all(reading)).toEqual(names.map((name) => name.repeat(2000)));
    expect(place.sh('ls | wc -l')).toBe('101');
    await mount.unmount();
    expect(vol.fs.readdirSync('/').length).toBe(101);
    await vol.close();
  });

  it('is refused while something is open, and is what it was then', SLOW, async () => {
    using place = new Place();
    const vol = await place.open();
    const { fs } = vol;
    fs.writeFileSync('/f', 'data');
    const refused = () => vol.mount(place.path).catch(code);
    const fd = fs.openSync('/f', 'r');
    expect(await refused()).toBe('EBUSY');
    fs.closeSync(fd);
    const directory = fs.opendirSync('/');
    expect(await refused()).toBe('EBUSY');
    directory.closeSync();
    vol.snapshotSync('s');
    const view = vol.openSnapshotSync('s');
    expect(await refused()).toBe('EBUSY');
    view.close();
    const reading = fs.promises.readFile('/f');
    expect(await refused()).toBe('EBUSY');
    await reading;
    expect(await vol.mount(`${place.path}/none`).catch(code)).toBe('ENOENT');
    expect(await vol.mount(place.path, { path: '/none' }).catch(code)).toBe('ENOENT');
    expect(fs.readFileSync('/f', 'utf8')).toBe('data');
    const mount = await vol.mount(place.path);
    expect(await refused()).toBe('EBUSY');
    expect(() => vol.closeSync()).toThrow('it is mounted');
    const held = openSync(join(place.path, 'f'), 'r');
    expect(await vol.close().catch(code)).toBe('EBUSY');
    expect(fs.readFileSync('/f', 'utf8')).toBe('data');
    await mount.unmount({ lazy: true });
    closeSync(held);
    await mount.ended;
    await vol.close();
  });

  it('comes back when somebody else unmounts it, also to whoever cannot wait', SLOW, async () => {
    using place = new Place();
    const vol = await place.open();
    vol.fs.writeFileSync('/f', 'data');
    const first = await vol.mount(place.path);
    const fd = vol.fs.openSync('/f', 'r');
    execSync(`umount ${place.path}`);
    expect(vol.fs.readFileSync('/f', 'utf8')).toBe('data');
    expect(() => vol.fs.fstatSync(fd)).toThrow('EBADF');
    const other = vol.fs.openSync('/f', 'r');
    expect(other).not.toBe(fd);
    vol.fs.closeSync(other);
    await first.ended;
    await vol.close();
    const again = await place.open();
    const second = await again.mount(place.path);
    execSync(`umount ${place.path}`);
    expect(await again.fs.promises.readFile('/f', 'utf8')).toBe('data');
    await second.ended;
    await second.unmount();
    await again.close();
  });

  it('fails with EIO once its threads are dead, and lets go of its image', SLOW, async () => {
    using place = new Place();
    const vol = await place.open();
    vol.fs.writeFileSync('/f', 'data');
    await vol.sync();
    let thread: Worker | undefined;
    process.once('worker', (worker) => {
      thread = worker;
    });
    const mount = await vol.mount(place.path);
    const scrub = vol.scrub({ bytesPerSecond: 4096 }).catch(code);
    void thread?.terminate();
    await new Promise((resolve) => void setImmediate(resolve));
    try {
      execSync(`timeout 5 ls ${place.path}`, { stdio: 'ignore' });
    } catch {
      // Nobody answers.
    }
    await expect(mount.ended).rejects.toMatchObject({ code: 'EIO' });
    // The thread that had it may have ended it before its own end was known.
    expect(['EIO', 'ECANCELED']).toContain(await scrub);
    expect(() => vol.fs.readFileSync('/f')).toThrow('EIO');
    expect(() => vol.diff('/', '/')).toThrow('Cannot use the volume');
    expect(await vol.mount(place.path).catch(code)).toBe('EIO');
    await expect(vol.clone('/f', '/g')).rejects.toMatchObject({ code: 'EIO' });
    await vol.close();
    const again = await place.open();
    expect(again.fs.readFileSync('/f', 'utf8')).toBe('data');
    await again.close();
  });

  it('ends with its process, and keeps what was done', SLOW, async () => {
    using place = new Place();
    const open = JSON.stringify(new URL('../../dist/index.js', import.meta.url).href);
    const device = 'new MemoryDevice({ size: 2 ** 26 })';
    for (const [what, end] of [
      [JSON.stringify(place.image), 'process.exit(5)'],
      [JSON.stringify(place.image), 'throw new Error()'],
      [device, 'process.exit(5)'],
    ]) {
      const program = `
        const { Volume, MemoryDevice } = await import(${open});
        const vol = await Volume.open(${what}, { create: true, size: 2 ** 26 });
        await vol.mount(${JSON.stringify(place.path)});
        await vol.fs.promises.writeFile('/last', 'kept');
        ${end};`;
      const options = { stdio: 'ignore', timeout: 20_000, killSignal: 'SIGKILL' } as const;
      const args = ['--input-type=module', '-e', program];
      const { status } = spawnSync(process.execPath, args, options);
      expect(status).toBe(end === 'process.exit(5)' ? 5 : 1);
      expect(readdirSync(place.path)).toEqual([]);
    }
    const vol = await place.open();
    expect(vol.fs.readFileSync('/last', 'utf8')).toBe('kept');
    await vol.close();
  });

  it('twenty times leaves neither threads nor descriptors', SLOW, async () => {
    using place = new Place();
    const vol = await place.open();
    vol.fs.writeFileSync('/f', '');
    const count = () => ['fd', 'task'].map((name) => readdirSync(`/proc/self/${name}`).length);
    let before: number[] = [];
    for (let i = 0; i <= 20; i++) {
      await using _mount = await vol.mount(place.path);
      place.sh('printf x >> f');
      vol.fs.appendFileSync('/f', 'y');
      if (i === 1) before = count();
    }
    const [files = 0, threads = 0] = count();
    expect(files).toBeLessThanOrEqual(before[0] as number);
    expect(threads).toBeLessThanOrEqual(before[1] as number);
    expect(vol.fs.readFileSync('/f', 'utf8')).toBe('xy'.repeat(21));
    await vol.close();
  });
});

/** What a mounted volume has no part in: its clock of creation, and reports of places. */
const KINDS: readonly Step['call'][] = [
  ...(['appendFile', 'chmod', 'clone', 'close', 'copyFile', 'cp', 'exchange', 'fstat'] as const),
  ...(['ftruncate', 'link', 'linkFile', 'lstat', 'mkdir', 'open', 'range', 'read'] as const),
  ...(['readFile', 'readdir', 'readlink', 'rename', 'rm', 'rmdir', 'snapshot', 'stat'] as const),
  ...(['deleteSnapshot', 'symlink', 'sync', 'tmpfile', 'truncate', 'unlink', 'utimes'] as const),
  ...(['write', 'writeFile', 'writeFile', 'write', 'mkdir', 'clone'] as const),
];

describeMounts('a drawn history', () => {
  const seeds = process.env['RAMET_SEED'];
  const [from, to] = (seeds ?? '1..2').split('..').map(Number) as [number, number?];

  for (const face of ['sync', 'promises'] as const) {
    it(`comes to the same on a mounted volume, by ${face}`, SLOW, async () => {
      for (let seed = from; seed <= (to ?? from); seed++) await history(face, seed);
    });
  }
});

/** Steps on a model and on a volume that is mounted and unmounted now and then. */
async function history(face: 'sync' | 'promises', seed: number): Promise<void> {
  using place = new Place();
  let ms = 1_000_000_000_000;
  const now = (): number => ms;
  const random = new Random(seed);
  const model = new ModelRunner(new ModelVolume(now));
  const settings = { uid: 0, gid: 0, umask: 0o022, now };
  const options = { create: true, size: 64 * MIB, cacheBytes: 8 * MIB, ...settings };
  const vol = await Volume.open(place.image, options);
  const runner = new VolumeRunner(vol, face);
  let mount = await vol.mount(place.path);
  for (let i = 0; i < 400; i++) {
    ms += 1000;
    if (random.chance(0.01)) {
      // What is open keeps it where it is.
      for (const slot of [...runner.open.keys()]) {
        const step: Step = { call: 'close', args: [slot] };
        expect(await runner.run(step), show(step)).toBe(model.run(step));
      }
      await mount.unmount();
      if (random.chance(0.5)) place.sh('true');
      mount = await vol.mount(place.path);
      continue;
    }
    const step = draw(random.pick(KINDS), random.fork(), model);
    const wanted = model.run(step);
    expect(await runner.run(step), `step ${i} of seed ${seed}: ${show(step)}`).toBe(wanted);
  }
  await vol.close();
  expect(ramet('check', place.image).stdout).toContain(': clean;');
}

describeMounts('a volume on another device that is mounted', () => {
  for (const kind of ['memory', 'slow'] as const) {
    it(`serves cp, tar and git beside this thread, on ${kind}`, SLOW, async () => {
      using place = new Place();
      const slow = kind === 'slow' ? slowDevice(7) : undefined;
      const device = slow?.device ?? new MemoryDevice({ size: 256 * MIB });
      const vol = await Volume.open(device, { create: true });
      const { promises } = vol.fs;
      await promises.writeFile('/mine', 'one');
      const mount = await vol.mount(place.path);
      expect(await place.shLater('cat mine; ls; cat new 2> /dev/null; true')).toBe('onemine');
      await promises.writeFile('/mine', 'two');
      await promises.writeFile('/new', 'three');
      await mount.caughtUp();
      expect(await place.shLater('cat mine new')).toBe('twothree');
      const source = process.cwd();
      await place.shLater(`cp -r ${source}/src copy && diff -r ${source}/src copy`);
      await place.shLater('tar cf t.tar copy && mkdir x && tar xf t.tar -C x');
      await place.shLater('diff -r copy x/copy');
      const git = 'git -c user.email=a@b -c user.name=n';
      await place.shLater(`cd x && git init -q . && git add -A && ${git} commit -qm one`);
      expect(await place.shLater('cd x && git status --short | wc -l && git fsck')).toBe('0');
      await vol.clone('/copy', '/clone');
      await mount.caughtUp();
      await place.shLater('diff -r copy clone && rm -r copy x t.tar');
      await promises.rm('/clone', { recursive: true });
      await mount.caughtUp();
      expect(await place.shLater('ls')).toBe('mine\nnew');
      const held = run(`exec 3< ${place.path}/mine; sleep 1`);
      await place.shLater('true');
      expect(await mount.unmount().catch(code)).toBe('EBUSY');
      await held;
      await vol.close();
      expect(readdirSync(place.path)).toEqual([]);
      slow?.stop();
    });
  }

  it('takes a thread of the pool for each, and leaves two', SLOW, async () => {
    const places = [new Place(), new Place(), new Place()] as const;
    const open = () => Volume.open(new MemoryDevice({ size: 32 * MIB }), { create: true });
    const volumes = [await open(), await open(), await open()] as const;
    await volumes[0].mount(places[0].path);
    await volumes[1].mount(places[1].path);
    expect(await volumes[2].mount(places[2].path).catch(code)).toBe('EAGAIN');
    for (const vol of volumes) await vol.close();
    for (const place of places) place[Symbol.dispose]();
  });
});
