/**
 * Requests of ioctl(2) that end a mount as a crash does, and ours, with a kernel in memory.
 */
import { describe, expect, it } from 'vitest';
import { binaryBytes, ERRNO, MIB, viewOf } from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { Ioctl, Opcode, ShutDownFlag } from '../../src/fuse/constants.ts';
import { decode } from '../../src/fuse/layout.ts';
import {
  FSYNC_IN,
  GETATTR_IN,
  IOCTL_IN,
  IOCTL_OUT,
  MKDIR_IN,
  OWN_CLONE,
  OWN_SPACE,
  READ_IN,
  SETATTR_IN,
} from '../../src/fuse/wire.ts';
import { mount } from '../volume/rig.ts';
import { entryOf, type KernelOptions, type Reply, struct, TestKernel } from './kernel.ts';

const ROOT = 1;

interface Asked {
  readonly data?: Uint8Array;
  readonly out?: number;
  readonly arg?: number;
}

function ioctl(kernel: TestKernel, node: number, cmd: number, asked: Asked = {}): Reply {
  const { data = new Uint8Array(0), out = 0, arg = 0 } = asked;
  const head = { cmd, in_size: data.length, out_size: out, arg: [arg, 0] as const };
  return kernel.ask(Opcode.IOCTL, node, struct(IOCTL_IN, head), data);
}

function word(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  viewOf(bytes).setUint32(0, value, true);
  return bytes;
}

describe('FS_IOC_SHUTDOWN', () => {
  /** What is durable: a file that was synced, and what came after, then an end with a flag. */
  function durableAfter(flag: number, options: KernelOptions, asked: Asked): [string[], number[]] {
    const device = new MemoryDevice({ size: 32 * MIB });
    const kernel = TestKernel.start({ ...options, device });
    const { driver, engine } = kernel.rig;
    driver.run(engine.commit());
    const synced = kernel.create(ROOT, 'synced').nodeid;
    kernel.write(synced, 0, new Uint8Array(9000).fill(1));
    kernel.ok(Opcode.FSYNC, synced, struct(FSYNC_IN));
    const later = kernel.create(ROOT, 'later').nodeid;
    kernel.write(later, 0, new Uint8Array(9000).fill(2));
    expect(ioctl(kernel, ROOT, flag, asked).error).toBe(0);
    kernel.session.close();
    expect(kernel.broken).toEqual([]);
    const { engine: next, driver: nextDriver } = mount(device);
    const again = TestKernel.start({ rig: { engine: next, driver: nextDriver } });
    const found = ['synced', 'later'].flatMap((name) => {
      const { nodeid, size } = again.lookup(ROOT, name);
      return nodeid === 0 ? [] : [{ name, size }];
    });
    return [found.map(({ name }) => name), found.map(({ size }) => size)];
  }

  it('keeps what it is told to, and what was durable before', () => {
    const outcomes = [ShutDownFlag.DEFAULT, ShutDownFlag.LOG_FLUSH, ShutDownFlag.NO_LOG_FLUSH].map(
      (flag) => durableAfter(Ioctl.SHUTDOWN_IN, {}, { data: word(flag) }),
    );
    expect(outcomes).toEqual([
      [
        ['synced', 'later'],
        [9000, 9000],
      ],
      [
        ['synced', 'later'],
        [9000, 0],
      ],
      [['synced'], [9000]],
    ]);
  });

  it('is told what by the memory of whoever asks, else everything is kept', () => {
    const asked = { out: 4, arg: 0x1000 };
    const seen: number[][] = [];
    const wordOf = (pid: number, address: number): number => {
      seen.push([pid, address]);
      return 2;
    };
    expect(durableAfter(Ioctl.SHUTDOWN, { wordOf }, asked)[0]).toEqual(['synced']);
    expect(seen).toEqual([[1, 0x1000]]);
    expect(durableAfter(Ioctl.SHUTDOWN, {}, asked)[0]).toEqual(['synced', 'later']);
    expect(durableAfter(Ioctl.SHUTDOWN, { wordOf: () => undefined }, asked)[0]).toHaveLength(2);
  });

  it('is for the superuser, and has three flags', () => {
    const kernel = TestKernel.start();
    expect(ioctl(kernel, ROOT, Ioctl.SHUTDOWN_IN, { data: word(3) }).error).toBe(-ERRNO.EINVAL[0]);
    kernel.uid = 1000;
    expect(ioctl(kernel, ROOT, Ioctl.SHUTDOWN_IN, { data: word(2) }).error).toBe(-ERRNO.EPERM[0]);
    expect(kernel.create(ROOT, 'a').nodeid).not.toBe(0);
  });

  it('has every request fail, and the kernel told before it is answered', () => {
    const kernel = TestKernel.start();
    const { served } = kernel.session;
    const { nodeid } = kernel.create(ROOT, 'a');
    const told: unknown[] = [];
    served.tellFirst = (stale, reply) => told.push(stale, viewOf(reply).getInt32(4, true));
    const request = struct(IOCTL_IN, { cmd: Ioctl.SHUTDOWN_IN, in_size: 4 });
    kernel.replies.length = 0;
    kernel.send(kernel.request(Opcode.IOCTL, ROOT, request, word(0)));
    expect(kernel.replies).toEqual([]);
    expect(told).toEqual([{ names: [], nodes: [ROOT, nodeid] }, 0]);
    const requests: [number, ...(Uint8Array | string)[]][] = [
      [Opcode.GETATTR, struct(GETATTR_IN)],
      [Opcode.LOOKUP, 'a'],
      [Opcode.READ, struct(READ_IN, { size: 10 })],
      [Opcode.SETATTR, struct(SETATTR_IN)],
      [Opcode.FSYNC, struct(FSYNC_IN)],
      [Opcode.IOCTL, request, word(0)],
    ];
    for (const [opcode, ...parts] of requests) {
      expect([opcode, kernel.ask(opcode, nodeid, ...parts).error]).toEqual([opcode, -ERRNO.EIO[0]]);
    }
    expect(kernel.ask(Opcode.STATFS, ROOT).error).toBe(0);
    expect(kernel.ask(Opcode.DESTROY, 0).error).toBe(0);
  });

  it('ends a mount that is read-only, too', () => {
    const device = new MemoryDevice({ size: 32 * MIB });
    TestKernel.start({ device });
    const kernel = TestKernel.start({ rig: mount(device, { readOnly: true }) });
    expect(ioctl(kernel, ROOT, Ioctl.SHUTDOWN_IN, { data: word(0) }).error).toBe(0);
    expect(kernel.ask(Opcode.LOOKUP, ROOT, 'a').error).toBe(-ERRNO.EIO[0]);
  });
});

function cloneOf(source: string, name: string, flags = 0): Asked {
  const data = struct(OWN_CLONE, { flags });
  data.set(binaryBytes(source), OWN_CLONE.at.source);
  data.set(binaryBytes(name), OWN_CLONE.at.name);
  return { data };
}

function mkdir(kernel: TestKernel, parent: number, name: string): number {
  return entryOf(kernel.ok(Opcode.MKDIR, parent, struct(MKDIR_IN, { mode: 0o755 }), name)).nodeid;
}

describe('a clone by ioctl', () => {
  it('has what the server was given, and the kernel is told of its name', () => {
    const kernel = TestKernel.start();
    const d = mkdir(kernel, ROOT, 'd');
    kernel.write(kernel.create(d, 'f').nodeid, 0, 'old');
    const told: unknown[] = [];
    kernel.session.served.tellFirst = (stale) => told.push(stale);
    const { data = new Uint8Array(0) } = cloneOf('d', 'e');
    const head = struct(IOCTL_IN, { cmd: Ioctl.CLONE, in_size: data.length });
    kernel.send(kernel.request(Opcode.IOCTL, ROOT, head, data));
    expect(told).toEqual([{ names: [{ parent: ROOT, name: 'e' }], nodes: [ROOT] }]);
    const copy = kernel.lookup(kernel.lookup(ROOT, 'e').nodeid, 'f').nodeid;
    kernel.write(copy, 0, 'new');
    const { nodeid } = kernel.lookup(d, 'f');
    const [old, changed] = [nodeid, copy].map((node) => kernel.read(node, 0, 10));
    expect(Buffer.from(old ?? []).toString()).toBe('old');
    expect(Buffer.from(changed ?? []).toString()).toBe('new');
  });

  it('is refused where it makes no sense', () => {
    const kernel = TestKernel.start();
    const d = mkdir(kernel, ROOT, 'd');
    const file = kernel.create(ROOT, 'f').nodeid;
    const holds = () => kernel.rig.engine.table.all.reduce((sum, vnode) => sum + vnode.holds, 0);
    const before = holds();
    const errno = (node: number, asked: Asked): number =>
      Math.abs(ioctl(kernel, node, Ioctl.CLONE, asked).error);
    expect(errno(ROOT, cloneOf('none', 'e'))).toBe(ERRNO.ENOENT[0]);
    expect(errno(ROOT, cloneOf('d', 'f'))).toBe(ERRNO.EEXIST[0]);
    expect(errno(file, cloneOf('d', 'e'))).toBe(ERRNO.ENOTDIR[0]);
    expect(errno(ROOT, cloneOf('d', 'e', 1))).toBe(ERRNO.EINVAL[0]);
    expect(errno(ROOT, { data: new Uint8Array(100) })).toBe(ERRNO.EINVAL[0]);
    const wrong = ['', '.', '..', 'd/e', 'x'.repeat(256)];
    expect(wrong.map((name) => errno(ROOT, cloneOf('d', name)))).toEqual(
      wrong.map(() => ERRNO.EINVAL[0]),
    );
    expect(errno(d, cloneOf('..', 'x'))).toBe(ERRNO.EINVAL[0]);
    expect(holds()).toBe(before);
    const cached = TestKernel.start({ writeback: true });
    mkdir(cached, ROOT, 'd');
    expect(-ioctl(cached, ROOT, Ioctl.CLONE, cloneOf('d', 'e')).error).toBe(ERRNO.ENOTSUP[0]);
  });

  it('is for who owns both', () => {
    const kernel = TestKernel.start();
    kernel.uid = 1000;
    const home = mkdir(kernel, ROOT, 'home');
    mkdir(kernel, home, 'mine');
    kernel.uid = 0;
    mkdir(kernel, home, 'other');
    const errno = (uid: number, node: number, source: string): number => {
      kernel.uid = uid;
      const { error } = ioctl(kernel, node, Ioctl.CLONE, cloneOf(source, `${source}-${uid}`));
      return Math.abs(error);
    };
    expect(errno(1000, home, 'mine')).toBe(0);
    expect(errno(0, home, 'mine')).toBe(0);
    expect(errno(1001, home, 'mine')).toBe(ERRNO.EACCES[0]);
    expect(errno(1000, home, 'other')).toBe(ERRNO.EACCES[0]);
    expect(errno(1000, ROOT, 'home')).toBe(ERRNO.EACCES[0]);
  });
});

describe('space by ioctl', () => {
  it('tells what is shared and what is not', () => {
    const kernel = TestKernel.start();
    const d = mkdir(kernel, ROOT, 'd');
    kernel.write(kernel.create(d, 'f').nodeid, 0, new Uint8Array(100 * 4096).fill(1));
    const measure = (node: number) => {
      const { body } = ioctl(kernel, node, Ioctl.SPACE, { out: OWN_SPACE.size });
      return decode(OWN_SPACE, viewOf(body), IOCTL_OUT.size);
    };
    const alone = measure(d);
    expect(alone.exclusive).toBeGreaterThan(100 * 4096);
    expect(alone).toEqual({ allocated: alone.exclusive, exclusive: alone.exclusive, shared: 0 });
    expect(ioctl(kernel, ROOT, Ioctl.CLONE, cloneOf('d', 'e')).error).toBe(0);
    const both = measure(d);
    expect(both).toMatchObject({ allocated: alone.allocated, exclusive: 0 });
    expect(both.shared).toBe(both.allocated);
    kernel.write(kernel.lookup(d, 'f').nodeid, 0, new Uint8Array(4096).fill(2));
    expect(measure(d).exclusive).toBeGreaterThanOrEqual(4096);
    kernel.uid = 1000;
    const refused = ioctl(kernel, d, Ioctl.SPACE, { out: OWN_SPACE.size });
    expect(refused.error).toBe(-ERRNO.EACCES[0]);
  });
});
