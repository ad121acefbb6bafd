/**
 * Clients of the socket who say what no client of ours would, or do not listen, or go; and what the
 * kernel is told of what they change.
 */
import { existsSync, lstatSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { checkSync } from '../../src/check/index.ts';
import { FileDevice } from '../../src/device/node.ts';
import { LONG_CALLS, SHORT_CALLS } from '../../src/fuse/control/calls.ts';
import { encodeFrame, FrameFlag } from '../../src/fuse/control/frame.ts';
import { RemoteVolume } from '../../src/fuse/control/remote.ts';
import { SocketPlace } from '../../src/fuse/control/socket-path.ts';
import { lookup, type Vnode } from '../../src/volume/index.ts';
import { seeded } from '../volume/seeds.ts';
import { DeskRig } from './desk.ts';

const USER = { uid: 0, gid: 0, umask: 0o022 };

/** The errno of what a call came to. */
async function codeOf(call: Promise<unknown>): Promise<unknown> {
  try {
    return await call;
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
}

describe('the socket', () => {
  it('is for its owner alone, and goes when the server does', async () => {
    let image: string;
    {
      await using rig = await DeskRig.start();
      ({ image } = rig);
      expect(lstatSync(`${image}.sock`).mode & 0o777).toBe(0o600);
    }
    expect(existsSync(`${image}.sock`)).toBe(false);
  });

  it('takes the place of one that was left, but of nothing else', async () => {
    await using rig = new DeskRig();
    const place = new SocketPlace(rig.image);
    writeFileSync(place.path, 'mine');
    expect(() => place.clear()).toThrow('there is something else');
    expect(await RemoteVolume.open(rig.image, USER)).toBeUndefined();
    place.remove();
    const other = createServer().listen(place.address);
    expect(place.isOurs).toBe(true);
    place.clear();
    expect(existsSync(place.path)).toBe(false);
    expect(await RemoteVolume.open(rig.image, USER)).toBeUndefined();
    other.close();
    place.close();
  });

  it('has a short address, however long the path of the image is', async () => {
    await using rig = new DeskRig();
    const long = `${rig.folder}/${'n'.repeat(240)}.img`;
    writeFileSync(long, '');
    const place = new SocketPlace(long);
    expect(Buffer.byteLength(place.address)).toBeLessThan(108);
    const server = createServer();
    await new Promise<void>((listening) => void server.listen(place.address, listening));
    expect(place.isOurs).toBe(true);
    server.close();
    place.close();
  });
});

describe('a client', () => {
  it('that sends no messages is cut off, and nobody else notices', async () => {
    await using rig = await DeskRig.start();
    const good = rig.connect();
    await good.hello();
    const frame = encodeFrame({ id: 1, call: 'hello', args: [] });
    const wrong = [
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
      Buffer.alloc(64, 0xff),
      Buffer.alloc(64),
      Buffer.from('\x7f\xff\xff\xff'),
    ];
    for (const bytes of wrong) {
      const client = rig.connect();
      client.socket.write(bytes);
      expect(await client.next()).toBeUndefined();
    }
    // Cut short, it is waited for; then it goes.
    const half = rig.connect();
    half.socket.write(frame.subarray(0, 20));
    await setTimeout(20);
    half.socket.destroy();
    expect(await good.call(2, 'snapshotsSync')).toEqual([]);
    expect(rig.broken).toEqual([]);
  });

  it('that asks for what there is not is answered', async () => {
    await using rig = await DeskRig.start();
    const client = rig.connect();
    expect(await codeOf(client.call(1, 'snapshotsSync'))).toBe('EINVAL');
    expect(await codeOf(client.call(1, 'hello', { protocol: 99 }))).toBe('ENOTSUP');
    expect(await codeOf(client.call(1, 'hello', null))).toBe('ENOTSUP');
    expect(await codeOf(client.call(1, 'hello', { protocol: 1, uid: -1 }))).toBe('EINVAL');
    await client.hello();
    for (const value of [1, null, 'x', [], {}, { id: 'x' }, { id: 4, call: 5 }, { id: 1.5 }]) {
      client.send(value);
      expect((await client.next())?.error).toMatchObject({ code: 'EINVAL' });
    }
    const calls = ['constructor', '__proto__', 'closeSync', 'close', 'engine', 'toString'];
    for (const call of calls) expect(await codeOf(client.call(2, call))).toBe('ENOSYS');
    for (const name of ['constructor', 'promises', 'opendirSync', '__proto__', 'x', 'hasOwnSync']) {
      expect(await codeOf(client.call(3, 'fs', undefined, name))).toBe('ENOSYS');
    }
    expect(await codeOf(client.call(4, 'fs', 77, 'statSync', '/'))).toBe('EINVAL');
    expect(await codeOf(client.call(5, 'fs', undefined, 'closeSync', 3))).toBe('EBADF');
    expect(await codeOf(client.call(6, 'fs', undefined, 'statSync', '/none'))).toBe('ENOENT');
    expect(await codeOf(client.call(7, 'openView', 'none'))).toBe('ENOENT');
    expect(await client.call(8, 'nextChanges', 5)).toEqual({ changes: [], done: true });
  });

  it('that goes leaves no open file, and its calls end', async () => {
    await using rig = await DeskRig.start();
    const client = rig.connect();
    await client.hello();
    const fd = (await client.call(2, 'fs', undefined, 'openSync', '/gone', 'w')) as number;
    await client.call(3, 'fs', undefined, 'writeSync', fd, new Uint8Array(9000), 0, 9000, 0);
    await client.call(4, 'fs', undefined, 'unlinkSync', '/gone');
    await client.call(5, 'snapshotSync', 's');
    await client.call(6, 'openView', 's');
    const { engine } = rig.volume.parts;
    expect(engine.orphans.size).toBe(1);
    client.send({ id: 7, call: 'scrub', args: [{ bytesPerSecond: 1000 }] });
    expect(await client.next()).toHaveProperty('progress');
    expect(rig.desk.isBusy).toBe(true);
    client.socket.destroy();
    for (let i = 0; i < 200 && (rig.desk.isBusy || engine.orphans.size > 0); i++) {
      await setTimeout(10);
    }
    expect([rig.desk.isBusy, engine.orphans.size]).toEqual([false, 0]);
  });

  it('may end a call, which says so', async () => {
    await using rig = await DeskRig.start();
    const client = rig.connect();
    await client.hello();
    client.send({ id: 2, call: 'scrub', args: [{ bytesPerSecond: 1000 }] });
    expect(await client.next()).toHaveProperty('progress');
    client.send({ id: 2, cancel: true });
    let answer = await client.next();
    while (answer !== undefined && 'progress' in answer) answer = await client.next();
    expect(answer?.error).toMatchObject({ code: 'ECANCELED' });
    expect(await client.call(3, 'snapshotsSync')).toEqual([]);
  });

  it('that does not read is not read from, and others are served', async () => {
    await using rig = await DeskRig.start();
    const [lazy, other] = [rig.connect(), rig.connect()];
    await lazy.hello();
    await other.hello();
    rig.volume.fs.writeFileSync('/f', new Uint8Array(1 << 20));
    const fd = await lazy.call(2, 'fs', undefined, 'openSync', '/f', 'r');
    lazy.socket.pause();
    const ballast = 'x'.repeat(64 << 10);
    for (let id = 3; id < 200; id++) {
      lazy.send({ id, call: 'fs', args: [undefined, 'readSync', fd, 1 << 20, 0], ballast });
    }
    for (let last = -1; last !== lazy.socket.writableLength; await setTimeout(300)) {
      last = lazy.socket.writableLength;
    }
    expect(lazy.socket.writableLength).toBeGreaterThan(1 << 20);
    expect(await other.call(2, 'snapshotsSync')).toEqual([]);
    // It may think better of it.
    lazy.socket.resume();
    for (let id = 3; id < 200; id++) expect((await lazy.next())?.id).toBe(id);
  });

  it('is answered in order, also while the kernel is waited for', async () => {
    await using rig = await DeskRig.start();
    const client = rig.connect();
    await client.hello();
    rig.settle = async () => void (await setTimeout(30));
    client.send({ id: 2, call: 'cloneSync', args: ['/none', '/x'] }, FrameFlag.SETTLE);
    client.send({ id: 3, call: 'snapshotsSync', args: [] });
    expect((await client.next())?.id).toBe(2);
    expect((await client.next())?.id).toBe(3);
    rig.settle = () => Promise.reject(new Error('no kernel'));
    client.send({ id: 4, call: 'snapshotSync', args: ['s'] }, FrameFlag.SETTLE);
    client.send({ id: 5, call: 'snapshotsSync', args: [] });
    expect((await client.next())?.error).toMatchObject({ message: 'no kernel' });
    expect((await client.next())?.value).toEqual([]);
  });
});

const ODD = [undefined, null, -1, 0, 1.5, 3, '/', '/a', 's', '', '\0', {}, [], true, 2n ** 70n];

seeded(
  'calls with wrong arguments are answered, and leave a volume',
  { count: 2 },
  async (random) => {
    let image: string;
    {
      await using rig = await DeskRig.start();
      ({ image } = rig);
      const client = rig.connect();
      await client.hello();
      // What gives space back takes a program.
      const long = Object.keys(LONG_CALLS).filter((name) => name !== 'trim');
      const fs = Object.keys(rig.volume.fs).filter((name) => name.endsWith('Sync'));
      const others = ['openView', 'closeView', 'diff', 'nextChanges', 'endDiff', 'superblocks'];
      const calls = [...long, ...SHORT_CALLS, ...others, ...fs];
      for (let id = 2; id < 600; id++) {
        const name = random.pick(calls);
        const args: unknown[] = Array.from({ length: random.below(5) }, () => random.pick(ODD));
        if (fs.includes(name)) client.send({ id, call: 'fs', args: [undefined, name, ...args] });
        else client.send({ id, call: name, args });
        let answer = await client.next();
        while (answer !== undefined && 'progress' in answer) answer = await client.next();
        expect(answer?.id).toBe(id);
      }
      expect(rig.volume.parts.engine.store.failure).toBeUndefined();
      client.socket.destroy();
      await rig.desk.end();
      await rig.volume.close();
      const device = FileDevice.open(image, { readOnly: true });
      expect(checkSync(device).issues).toEqual([]);
      await device.close();
    }
  },
);

describe('the kernel', () => {
  /** A rig with a client, and what the kernel knows: `/d`, `/d/f` and its second name `/g`. */
  async function known(): Promise<{ rig: DeskRig; numbers: Record<string, number> }> {
    const rig = await DeskRig.start();
    const { engine, driver } = rig.volume.parts;
    rig.volume.fs.mkdirSync('/d');
    rig.volume.fs.writeFileSync('/d/f', 'x'.repeat(9000));
    rig.volume.fs.linkSync('/d/f', '/g');
    rig.volume.fs.mkdirSync('/unknown');
    const d = driver.run(lookup(engine, engine.live, 'd'));
    const f = driver.run(lookup(engine, d, 'f'));
    return { rig, numbers: { root: 1, d: rig.nodes.remember(d), f: rig.nodes.remember(f) } };
  }

  it.each<[string, unknown[], string[], string[]]>([
    ['a new name', ['mkdirSync', '/d/new'], ['d/new'], ['d']],
    ['a new file', ['writeFileSync', '/d/new', 'x'], ['d/new'], ['d']],
    ['a new name where it knows nothing', ['mkdirSync', '/unknown/new'], [], []],
    // What has two names has its record at the root.
    ['new data', ['writeFileSync', '/d/f', 'new'], [], ['f', 'root']],
    ['another size', ['truncateSync', '/d/f', 5], [], ['f', 'root']],
    ['new attributes', ['chmodSync', '/d/f', 0o600], [], ['f']],
    ['a name that goes', ['unlinkSync', '/d/f'], ['d/f'], ['d', 'f']],
    ['another name that goes', ['unlinkSync', '/g'], ['root/g'], ['f', 'root']],
    ['a rename', ['renameSync', '/d/f', '/h'], ['d/f', 'root/h'], ['d', 'f', 'root']],
    [
      'a tree that goes',
      ['rmSync', '/d', { recursive: true }],
      ['d/f', 'root/d'],
      ['d', 'f', 'root'],
    ],
    ['nothing, if it is only looked at', ['statSync', '/d/f'], [], []],
    ['nothing of what has failed', ['mkdirSync', '/d'], [], []],
  ])('is told of %s', async (_, args, names, nodes) => {
    const { rig, numbers } = await known();
    await using _rig = rig;
    const client = rig.connect();
    await client.hello();
    await codeOf(client.call(2, 'fs', undefined, ...args));
    const text = (number: number): string =>
      Object.keys(numbers).find((name) => numbers[name] === number) ?? String(number);
    const found = rig.stale.flatMap((stale) => stale.names);
    expect(found.map(({ parent, name }) => `${text(parent)}/${name}`).sort()).toEqual(names);
    expect([...new Set(rig.stale.flatMap((stale) => stale.nodes))].map(text).sort()).toEqual(nodes);
  });

  it('is told which inode went with its last name', async () => {
    const { rig, numbers } = await known();
    await using _rig = rig;
    const { engine, driver } = rig.volume.parts;
    const files = ['one', 'two', 'unseen'];
    for (const name of files) rig.volume.fs.writeFileSync(`/d/${name}`, name);
    const d = engine.live.children?.get('d') as Vnode;
    const [one, two] = files.slice(0, 2).map((name) => {
      return rig.nodes.remember(driver.run(lookup(engine, d, name)));
    });
    const client = rig.connect();
    await client.hello();
    const lost = async (...args: unknown[]) => {
      rig.stale.length = 0;
      await client.call(2, 'fs', undefined, ...args);
      return rig.stale.flatMap(({ names }) => names).filter(({ gone }) => gone !== undefined);
    };
    expect(await lost('unlinkSync', '/d/f')).toEqual([]);
    expect(await lost('unlinkSync', '/d/one')).toEqual([
      { parent: numbers['d'], name: 'one', gone: one },
    ]);
    expect(await lost('renameSync', '/d/unseen', '/d/two')).toEqual([
      { parent: numbers['d'], name: 'two', gone: two },
    ]);
    expect(await lost('unlinkSync', '/d/two')).toEqual([]);
    expect(await lost('rmSync', '/d', { recursive: true })).toEqual([
      { parent: 1, name: 'd', gone: numbers['d'] },
    ]);
  });

  it('is told of writes to an open file, and of a clone', async () => {
    const { rig, numbers } = await known();
    await using _rig = rig;
    const client = rig.connect();
    await client.hello();
    const fd = await client.call(2, 'fs', undefined, 'openSync', '/d/f', 'r+');
    rig.stale.length = 0;
    for (let id = 3; id < 6; id++) {
      await client.call(id, 'fs', undefined, 'writeSync', fd, new Uint8Array(10), 0, 10, 5000);
    }
    // Each time: it may have read the file again in between.
    expect(rig.stale).toEqual(Array(3).fill({ names: [], nodes: [numbers['f']] }));
    rig.stale.length = 0;
    await client.call(6, 'cloneSync', '/unknown', '/d/copy');
    expect(rig.stale.flatMap(({ names }) => names)).toEqual([
      { parent: numbers['d'], name: 'copy' },
    ]);
  });
});
