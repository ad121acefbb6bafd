/**
 * A session with a kernel in memory: what INIT settles, what is counted, what is answered.
 */
import { describe, expect, it } from 'vitest';
import { ERRNO, MIB, viewOf } from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { InitFlag, MAJOR, MINOR, Opcode } from '../../src/fuse/constants.ts';
import { decode } from '../../src/fuse/layout.ts';
import { Message } from '../../src/fuse/message.ts';
import { Served } from '../../src/fuse/served.ts';
import { Session } from '../../src/fuse/session.ts';
import {
  BATCH_FORGET_IN,
  FORGET_ONE,
  GETATTR_IN,
  INIT_IN,
  INIT_OUT,
  INTERRUPT_IN,
  LINK_IN,
  MKDIR_IN,
  READ_IN,
} from '../../src/fuse/wire.ts';
import { GatedDevice } from '../iomap/gated-device.ts';
import { makeDriver, mount } from '../volume/rig.ts';
import { entryOf, struct, TestKernel } from './kernel.ts';

const ROOT = 1;

describe('INIT', () => {
  it('takes of what is offered what is wanted', () => {
    const kernel = new TestKernel();
    const out = decode(INIT_OUT, viewOf(kernel.init().body), 0);
    expect(out).toMatchObject({ major: MAJOR, minor: MINOR, max_write: 2 ** 20, max_pages: 256 });
    expect(out.flags & InitFlag.DO_READDIRPLUS).not.toBe(0);
    expect(out.flags & (InitFlag.POSIX_LOCKS | InitFlag.WRITEBACK_CACHE)).toBe(0);
  });

  it('asks for nothing that is not offered', () => {
    const kernel = new TestKernel({ writeback: true });
    const out = decode(INIT_OUT, viewOf(kernel.init(InitFlag.ASYNC_READ, 31).body), 0);
    expect(out).toMatchObject({ minor: 31, flags: InitFlag.ASYNC_READ, flags2: 0 });
  });

  it('takes the writeback cache if that was wanted', () => {
    const kernel = new TestKernel({ writeback: true });
    const { flags } = decode(INIT_OUT, viewOf(kernel.init().body), 0);
    expect(flags & InitFlag.WRITEBACK_CACHE).not.toBe(0);
  });

  it('takes access control lists if they were wanted, and the mask with them', () => {
    const lists = InitFlag.POSIX_ACL | InitFlag.DONT_MASK;
    for (const acl of [true, false]) {
      const kernel = new TestKernel({ acl });
      const { flags } = decode(INIT_OUT, viewOf(kernel.init().body), 0);
      expect(flags & lists).toBe(acl ? lists : 0);
      expect(kernel.session.served.acl).toBe(acl);
    }
    const older = new TestKernel({ acl: true });
    older.init(InitFlag.POSIX_ACL);
    expect(older.session.served.acl).toBe(false);
  });

  it('refuses a kernel that is too old, and speaks the older of two versions', () => {
    expect(new TestKernel().init(0, 30).error).toBe(-ERRNO.ENOSYS[0]);
    expect(new TestKernel().init(0, 45, 6).error).toBe(-ERRNO.ENOSYS[0]);
    const kernel = new TestKernel();
    const newer = decode(INIT_OUT, viewOf(kernel.init(0, 3, 8).body), 0);
    expect(newer).toMatchObject({ major: 7, minor: MINOR });
    // The kernel asks once more, in the version that it was told.
    expect(kernel.init().error).toBe(0);
  });

  it('comes first, and once', () => {
    const kernel = new TestKernel();
    expect(kernel.ask(Opcode.STATFS, ROOT).error).toBe(-ERRNO.EIO[0]);
    kernel.init();
    expect(kernel.ask(Opcode.STATFS, ROOT).error).toBe(0);
    expect(kernel.init().error).toBe(-ERRNO.EIO[0]);
  });
});

describe('a reply that is not taken', () => {
  it('is followed by an error, since somebody waits', () => {
    const { engine, driver } = new TestKernel().rig;
    const options = {
      root: engine.live,
      validSeconds: 1,
      writeback: false,
      acl: false,
      locks: false,
      noatime: true,
      generation: 0,
    };
    const served = new Served({ engine, now: () => 0, ...options });
    const sent: number[] = [];
    const broken: unknown[] = [];
    const session = new Session({
      served,
      driver,
      async: false,
      send: (message, length) => {
        sent.push(message.out.getInt32(4, true));
        if (length > 16) throw new Error('EINVAL');
      },
      onBroken: (error) => broken.push(error),
    });
    const message = new Message();
    const request = new TestKernel().request(
      Opcode.INIT,
      0,
      struct(INIT_IN, { major: 7, minor: 45 }),
    );
    message.bytes.set(request);
    void session.handle(message, request.length);
    expect(sent).toEqual([0, -ERRNO.EIO[0]]);
    expect(broken).toHaveLength(1);
  });
});

describe('lookups', () => {
  it('are counted, and taken back by FORGET and BATCH_FORGET', () => {
    const kernel = TestKernel.start();
    const { nodes } = kernel.session.served;
    const { nodeid } = kernel.create(ROOT, 'a');
    expect(kernel.lookup(ROOT, 'a').nodeid).toBe(nodeid);
    expect(kernel.lookup(ROOT, 'a').nodeid).toBe(nodeid);
    kernel.forget(nodeid, 2);
    expect(kernel.getattr(nodeid)).toMatchObject({ nlink: 1 });
    const one = struct(FORGET_ONE, { nodeid, nlookup: 1 });
    kernel.send(kernel.request(Opcode.BATCH_FORGET, 0, struct(BATCH_FORGET_IN, { count: 1 }), one));
    expect(nodes.size).toBe(0);
    const { error } = kernel.ask(Opcode.GETATTR, nodeid, struct(GETATTR_IN));
    expect(error).toBe(-ERRNO.ENOENT[0]);
    expect(kernel.lookup(ROOT, 'a')).toMatchObject({ mode: 0o100644 });
  });

  it('of an absent name are answered, and count nothing', () => {
    const kernel = TestKernel.start();
    expect(kernel.lookup(ROOT, 'none')).toMatchObject({ nodeid: 0, entry_valid: 10 });
    expect(kernel.session.served.nodes.size).toBe(0);
  });

  it('are counted by READDIRPLUS too, but for the two names that every directory has', () => {
    const kernel = TestKernel.start();
    for (const name of ['a', 'b', 'c']) kernel.forget(kernel.create(ROOT, name).nodeid, 1);
    expect(kernel.session.served.nodes.size).toBe(0);
    const read = struct(READ_IN, { offset: 0, size: 4096 });
    kernel.ok(Opcode.READDIRPLUS, ROOT, read);
    expect(kernel.session.served.nodes.size).toBe(3);
    kernel.ok(Opcode.READDIR, ROOT, read);
    const { nodeid } = kernel.lookup(ROOT, 'a');
    kernel.forget(nodeid, 2);
    expect(kernel.session.served.nodes.size).toBe(2);
  });

  it('keep a file whose last name is gone until they are all taken back', () => {
    const kernel = TestKernel.start();
    const { engine, driver } = kernel.rig;
    driver.run(engine.commit());
    const before = engine.store.space.available;
    const { nodeid } = kernel.create(ROOT, 'a');
    const data = new Uint8Array(100_000).fill(7);
    kernel.write(nodeid, 0, data);
    kernel.ok(Opcode.UNLINK, ROOT, 'a');
    driver.run(engine.commit());
    expect(kernel.getattr(nodeid)).toMatchObject({ nlink: 0, size: 100_000 });
    expect(Buffer.from(kernel.read(nodeid, 0, 200_000)).equals(data)).toBe(true);
    expect(kernel.write(nodeid, 10, 'more').error).toBe(0);
    expect(engine.orphans.size).toBe(1);
    kernel.forget(nodeid, 1);
    expect(engine.orphans.size).toBe(0);
    for (let work = engine.reclaim(); work !== undefined; work = engine.reclaim()) driver.run(work);
    for (let i = 0; i < 3; i++) driver.run(engine.commit());
    expect(engine.store.space.available).toBe(before);
  });

  it('leave nothing in memory of a directory that went while it was known', () => {
    const kernel = TestKernel.start();
    const { table } = kernel.rig.engine;
    const before = table.count;
    const body = kernel.ok(Opcode.MKDIR, ROOT, struct(MKDIR_IN, { mode: 0o755 }), 'd');
    const { nodeid } = entryOf(body);
    kernel.ok(Opcode.RMDIR, ROOT, 'd');
    expect(kernel.getattr(nodeid)).toMatchObject({ nlink: 0 });
    const { error } = kernel.ask(Opcode.MKDIR, nodeid, struct(MKDIR_IN, { mode: 0o755 }), 'x');
    expect(error).toBe(-ERRNO.ENOENT[0]);
    kernel.forget(nodeid, 1);
    expect(table.count).toBe(before);
  });

  it('end with the connection, and so do files without names', () => {
    const kernel = TestKernel.start();
    const { engine } = kernel.rig;
    const first = kernel.create(ROOT, 'a').nodeid;
    kernel.create(ROOT, 'b');
    kernel.ok(Opcode.UNLINK, ROOT, 'a');
    expect(kernel.getattr(first).nlink).toBe(0);
    expect(engine.orphans.size).toBe(1);
    kernel.session.close();
    expect(engine.orphans.size).toBe(0);
    expect(engine.table.all.every(({ opens }) => opens === 0)).toBe(true);
  });

  it('of "." and ".." find what a handle of an inode names', () => {
    const kernel = TestKernel.start();
    const directory = entryOf(kernel.ok(Opcode.MKDIR, ROOT, struct(MKDIR_IN, {}), 'd')).nodeid;
    const file = kernel.create(directory, 'f').nodeid;
    expect(kernel.lookup(file, '.').nodeid).toBe(file);
    expect(kernel.lookup(directory, '..').nodeid).toBe(ROOT);
    expect(kernel.lookup(ROOT, '..').nodeid).toBe(ROOT);
    expect(kernel.lookup(file, '..').nodeid).toBe(directory);
    expect(kernel.lookup(directory, 'f').generation).toBe(0);
    // Those of the volume itself are nobody's.
    for (const node of [2, 3, 4, 5, 999]) {
      expect(kernel.ask(Opcode.LOOKUP, node, '.').error).toBe(-ERRNO.ENOENT[0]);
    }
  });
});

describe('generations', () => {
  it('tell apart numbers of different mounts, and those that came round', () => {
    const kernel = TestKernel.start({ generation: 0xfffffffe });
    const file = kernel.create(ROOT, 'a');
    expect(file.generation).toBe(0xfffffffe);
    expect(kernel.lookup(file.nodeid, '.')).toMatchObject({ generation: 0xfffffffe });
    // Of the root the kernel wants none.
    expect(kernel.lookup(file.nodeid, '..')).toMatchObject({ nodeid: ROOT, generation: 0 });
    const vnode = kernel.session.served.nodes.get(file.nodeid);
    vnode.round = 3;
    expect(kernel.lookup(ROOT, 'a').generation).toBe(1);
    const another = TestKernel.start({ rig: kernel.rig, generation: 7 });
    expect(another.lookup(ROOT, 'a')).toMatchObject({ nodeid: file.nodeid, generation: 10 });
  });
});

describe('inode numbers', () => {
  it('are the same for all names of a file, and differ between clones', () => {
    const kernel = TestKernel.start();
    const { engine, driver } = kernel.rig;
    const { nodeid } = entryOf(kernel.ok(Opcode.MKDIR, ROOT, struct(MKDIR_IN, {}), 'd'));
    const file = kernel.create(nodeid, 'f');
    const body = kernel.ok(Opcode.LINK, nodeid, struct(LINK_IN, { oldnodeid: file.nodeid }), 'g');
    expect(entryOf(body)).toMatchObject({ ino: file.ino, nlink: 2, nodeid: file.nodeid });
    const source = engine.live.children?.get('d')?.id ?? 0;
    const target = { parent: engine.live.id, name: 'clone', readOnly: false };
    const time = { sec: 0, nsec: 0 };
    const numbers = { ino: 0, realm: 0, handle: 0 };
    driver.run(engine.apply({ type: 'clone', source, ...target, time, ...numbers }));
    const clone = kernel.lookup(ROOT, 'clone');
    const copy = kernel.lookup(clone.nodeid, 'f');
    expect(copy.ino[0]).toBe(file.ino[0]);
    expect(copy.ino[1]).not.toBe(file.ino[1]);
    expect(file.ino[1]).toBe(0);
  });
});

describe('requests in flight', () => {
  it('are answered as they come to an end, and INTERRUPT ends one of them', async () => {
    const { kernel, gate, nodes } = await gatedKernel();
    gate.shut();
    kernel.replies.length = 0;
    const read = struct(READ_IN, { offset: FAR, size: 8192 });
    const requests = nodes.map((node) => kernel.request(Opcode.READ, node, read));
    for (const request of requests) kernel.send(request);
    kernel.send(kernel.request(Opcode.STATFS, ROOT));
    expect(kernel.session.inFlight).toBe(3);
    const [a = 0, b = 0, c = 0] = requests.map((request) => viewOf(request).getUint32(8, true));
    expect(kernel.replies.map(({ unique }) => unique)).toEqual([[kernel.unique, 7]]);
    const unique = [b, 7] as const;
    kernel.send(kernel.request(Opcode.INTERRUPT, 0, struct(INTERRUPT_IN, { unique })));
    // Half of a number is another one.
    const wrong = [c, 8] as const;
    kernel.send(kernel.request(Opcode.INTERRUPT, 0, struct(INTERRUPT_IN, { unique: wrong })));
    await gate.open();
    await Promise.all(kernel.flights);
    expect(kernel.session.inFlight).toBe(0);
    const answers = new Map(kernel.replies.map((reply) => [reply.unique[0], reply]));
    expect(answers.size).toBe(kernel.replies.length);
    expect(answers.get(b)).toMatchObject({ error: -ERRNO.EINTR[0] });
    expect(answers.get(a)?.body).toEqual(new Uint8Array(8192).fill(1));
    expect(answers.get(c)?.body).toEqual(new Uint8Array(8192).fill(3));
  });
});

/** Where a read waits twice: for the map of the file, then for its data. */
const FAR = 8 * MIB;

/** A kernel before a volume on a device that answers when told, with three files not in memory. */
async function gatedKernel(): Promise<{
  kernel: TestKernel;
  gate: GatedDevice;
  nodes: number[];
}> {
  const memory = new MemoryDevice({ size: 32 * MIB });
  const first = TestKernel.start({ device: memory });
  for (const i of [1, 2, 3]) {
    first.write(first.create(ROOT, `file${i}`).nodeid, FAR, new Uint8Array(8192).fill(i));
  }
  first.rig.driver.run(first.rig.engine.commit());
  const { engine } = mount(memory);
  const gate = new GatedDevice(memory);
  const kernel = TestKernel.start({ rig: { engine, driver: makeDriver(gate) }, async: true });
  const nodes: number[] = [];
  for (const i of [1, 2, 3]) {
    const reply = await kernel.flown(kernel.request(Opcode.LOOKUP, ROOT, `file${i}`));
    nodes.push(entryOf(reply.body).nodeid);
  }
  return { kernel, gate, nodes };
}
