/**
 * Operations on names and flags, with a kernel in memory: exchange, whiteout, TMPFILE and IOCTL.
 */
import { describe, expect, it } from 'vitest';
import { ERRNO, FilesystemError, viewOf } from '../../src/base/index.ts';
import { Fattr, FlagBit, Ioctl, Opcode, RenameBit, XflagBit } from '../../src/fuse/constants.ts';
import { decode, layout } from '../../src/fuse/layout.ts';
import {
  CREATE_IN,
  ENTRY_OUT,
  FSXATTR,
  IOCTL_IN,
  IOCTL_OUT,
  LINK_IN,
  MKDIR_IN,
  OPEN_IN,
  OPEN_OUT,
  RENAME2_IN,
  STATX_IN,
  STATX_OUT,
} from '../../src/fuse/wire.ts';
import type { Vnode } from '../../src/volume/index.ts';
import { entryOf, type Reply, struct, TestKernel } from './kernel.ts';

const ROOT = 1;

function mkdir(kernel: TestKernel, parent: number, name: string, mode = 0o755): number {
  return entryOf(kernel.ok(Opcode.MKDIR, parent, struct(MKDIR_IN, { mode }), name)).nodeid;
}

describe('rename2', () => {
  const rename = (kernel: TestKernel, node: number, flags: number): void => {
    kernel.ok(Opcode.RENAME2, node, struct(RENAME2_IN, { newdir: ROOT, flags }), 'a', 'b');
  };

  it('lets two names change places', () => {
    const kernel = TestKernel.start();
    const [a, b] = [kernel.create(ROOT, 'a').nodeid, mkdir(kernel, ROOT, 'b', 0o755)];
    rename(kernel, ROOT, RenameBit.EXCHANGE);
    expect([kernel.lookup(ROOT, 'a').nodeid, kernel.lookup(ROOT, 'b').nodeid]).toEqual([b, a]);
  });

  it('leaves a device 0/0 of whoever asks, in the group that a new file would get', () => {
    const kernel = TestKernel.start();
    const node = mkdir(kernel, ROOT, 'd', 0o2775);
    kernel.setattr(node, { valid: Fattr.GID, gid: 77 });
    kernel.create(node, 'a');
    kernel.uid = 5;
    kernel.gid = 6;
    rename(kernel, node, RenameBit.WHITEOUT);
    const left = kernel.lookup(node, 'a');
    expect(left).toMatchObject({ uid: 5, gid: 77, mode: 0o020000, rdev: 0, nlink: 1 });
    expect(kernel.ask(Opcode.LOOKUP, ROOT, 'b').error).toBe(0);
  });
});

describe('a file without a name', () => {
  const orphans = ({ rig }: TestKernel): number => rig.engine.orphans.size;
  const make = (kernel: TestKernel): number => {
    const body = kernel.ok(Opcode.TMPFILE, ROOT, struct(CREATE_IN, { mode: 0o100640 }), '/');
    expect(body.length).toBe(ENTRY_OUT.size + OPEN_OUT.size);
    expect(entryOf(body)).toMatchObject({ mode: 0o100640, nlink: 0, size: 0 });
    return entryOf(body).nodeid;
  };

  it('goes when the kernel forgets it', () => {
    const kernel = TestKernel.start();
    const node = make(kernel);
    expect(kernel.write(node, 0, 'some').error).toBe(0);
    expect(orphans(kernel)).toBe(1);
    kernel.forget(node, 1);
    expect(orphans(kernel)).toBe(0);
  });

  it('gets a name by a link', () => {
    const kernel = TestKernel.start();
    const node = make(kernel);
    kernel.write(node, 0, 'some');
    const body = kernel.ok(Opcode.LINK, ROOT, struct(LINK_IN, { oldnodeid: node }), 'name');
    expect(entryOf(body)).toMatchObject({ nodeid: node, nlink: 1, size: 4 });
    kernel.forget(node, 2);
    expect(kernel.lookup(ROOT, 'name').size).toBe(4);
    expect(orphans(kernel)).toBe(0);
  });

  it('is no orphan without a user if its access control list finds no room', () => {
    const kernel = TestKernel.start({ acl: true });
    const list = new Uint8Array(4 + 5 * 8);
    const view = viewOf(list);
    view.setUint32(0, 2, true);
    [1, 2, 4, 16, 32].forEach((tag, i) => {
      view.setUint16(4 + i * 8, tag, true);
      view.setUint16(6 + i * 8, 7, true);
      view.setUint32(8 + i * 8, tag === 2 ? 1000 : 0xffffffff, true);
    });
    const { engine, driver } = kernel.rig;
    const value = { name: 'system.posix_acl_default', value: list, flags: 0 };
    const time = { sec: 1, nsec: 0 };
    driver.run(engine.apply({ type: 'setxattr', target: engine.live.id, ...value, time }));
    const apply = engine.apply.bind(engine);
    engine.apply = (record) => {
      if (record.type !== 'setxattr') return apply(record);
      throw new FilesystemError('ENOSPC', 'Cannot find room');
    };
    const head = struct(CREATE_IN, { mode: 0o100640 });
    expect(-kernel.ask(Opcode.TMPFILE, ROOT, head, '/').error).toBe(ERRNO.ENOSPC[0]);
    engine.apply = apply;
    for (let work = engine.reclaim(); work !== undefined; work = engine.reclaim()) driver.run(work);
    expect(orphans(kernel)).toBe(0);
  });
});

describe('guarded files', () => {
  /** A kernel before a volume that has an immutable and an append-only file. */
  function guarded(): TestKernel {
    const kernel = TestKernel.start();
    for (const [name, bit] of [
      ['i', FlagBit.IMMUTABLE],
      ['a', FlagBit.APPEND],
    ] as const) {
      const { nodeid } = kernel.create(ROOT, name);
      const data = new Uint8Array(4);
      viewOf(data).setUint32(0, bit, true);
      const head = struct(IOCTL_IN, { cmd: Ioctl.SETFLAGS, in_size: 4 });
      kernel.ok(Opcode.IOCTL, nodeid, head, data);
    }
    kernel.create(ROOT, 'plain');
    return kernel;
  }

  it('have opening be a request from the next mount on', () => {
    const kernel = guarded();
    const open = struct(OPEN_IN, { flags: 1 });
    const { nodeid } = kernel.lookup(ROOT, 'i');
    expect(-kernel.ask(Opcode.OPEN, nodeid, open).error).toBe(ERRNO.ENOSYS[0]);
    const next = TestKernel.start({ rig: kernel.rig });
    const errno = (name: string, flags: number): number =>
      Math.abs(
        next.ask(Opcode.OPEN, next.lookup(ROOT, name).nodeid, struct(OPEN_IN, { flags })).error,
      );
    const [EPERM] = ERRNO.EPERM;
    const [read, write, append] = [0, 1, 0o2001];
    expect([read, write, append].map((flags) => errno('i', flags))).toEqual([0, EPERM, EPERM]);
    expect([read, write, append].map((flags) => errno('a', flags))).toEqual([0, EPERM, 0]);
    expect([read, write, append, 0o1001].map((flags) => errno('plain', flags))).toEqual([
      0, 0, 0, 0,
    ]);
    expect(errno('a', 0o3001)).toBe(EPERM);
    // Directories are not asked for, and what is opened keeps what the kernel has of it.
    expect(-next.ask(Opcode.OPENDIR, ROOT, struct(OPEN_IN)).error).toBe(ERRNO.ENOSYS[0]);
    const body = next.ok(Opcode.OPEN, next.lookup(ROOT, 'plain').nodeid, struct(OPEN_IN));
    expect(decode(OPEN_OUT, viewOf(body), 0).open_flags).toBe(2);
  });

  it('are not opened by CREATE either, if somebody has made them meanwhile', () => {
    const kernel = TestKernel.start({ rig: guarded().rig });
    const vnode = kernel.rig.engine.live.children?.get('i') as Vnode;
    const { holds } = vnode;
    const create = (name: string): Reply =>
      kernel.ask(Opcode.CREATE, ROOT, struct(CREATE_IN, { flags: 1, mode: 0o100600 }), name);
    expect(-create('i').error).toBe(ERRNO.EPERM[0]);
    expect(vnode.holds).toBe(holds);
    expect(create('plain').error).toBe(0);
    expect(create('fresh').error).toBe(0);
  });
});

describe('ioctl', () => {
  interface Asked {
    readonly data?: Uint8Array;
    readonly out?: number;
  }

  function ioctl(kernel: TestKernel, node: number, cmd: number, { data, out = 0 }: Asked): Reply {
    const bytes = data ?? new Uint8Array(0);
    const head = struct(IOCTL_IN, { cmd, in_size: bytes.length, out_size: out });
    return kernel.ask(Opcode.IOCTL, node, head, bytes);
  }

  const word = (flags: number): Uint8Array => struct(layout({ flags: 'u32' }), { flags });
  const FULL = { xflags: 0, extsize: 0, nextents: 0, projid: 0, cowextsize: 0 };

  /** What comes out, behind the reply's own structure. */
  function outOf({ error, body }: Reply): DataView {
    expect(error).toBe(0);
    return viewOf(body.subarray(IOCTL_OUT.size));
  }

  function flagsOf(kernel: TestKernel, node: number): number {
    const view = outOf(ioctl(kernel, node, Ioctl.GETFLAGS, { out: 8 }));
    expect(view.byteLength).toBe(4);
    return view.getUint32(0, true);
  }

  it('sets flags and project in either form', () => {
    const kernel = TestKernel.start();
    const { nodeid } = kernel.create(ROOT, 'a');
    const all = FlagBit.APPEND | FlagBit.NODUMP | FlagBit.NOATIME;
    expect(ioctl(kernel, nodeid, Ioctl.SETFLAGS, { data: word(all) }).error).toBe(0);
    expect(flagsOf(kernel, nodeid)).toBe(all);
    const xflags = XflagBit.IMMUTABLE | XflagBit.NODUMP;
    const data = struct(FSXATTR, { ...FULL, xflags, projid: 77 });
    expect(ioctl(kernel, nodeid, Ioctl.FSSETXATTR, { data }).error).toBe(0);
    expect(flagsOf(kernel, nodeid)).toBe(FlagBit.IMMUTABLE | FlagBit.NODUMP);
    const stat = decode(STATX_OUT, viewOf(kernel.ok(Opcode.STATX, nodeid, struct(STATX_IN))), 0);
    expect(stat).toMatchObject({
      attributes: FlagBit.IMMUTABLE | FlagBit.NODUMP,
      attributes_mask: FlagBit.IMMUTABLE | FlagBit.APPEND | FlagBit.NODUMP,
    });
    const view = outOf(ioctl(kernel, nodeid, Ioctl.FSGETXATTR, { out: 28 }));
    expect(decode(FSXATTR, view, 0)).toEqual({ ...FULL, xflags, projid: 77 });
    expect(-kernel.write(nodeid, 0, 'x').error).toBe(ERRNO.EPERM[0]);
  });

  it('refuses flags that are not kept, data that is cut short, and who may not', () => {
    const kernel = TestKernel.start();
    const { nodeid } = kernel.create(ROOT, 'a');
    const refused = (cmd: number, data: Uint8Array): number =>
      -ioctl(kernel, nodeid, cmd, { data }).error;
    const [set, setx] = [Ioctl.SETFLAGS, Ioctl.FSSETXATTR];
    expect(refused(set, word(4))).toBe(ERRNO.ENOTSUP[0]);
    expect(refused(set, new Uint8Array(3))).toBe(ERRNO.EINVAL[0]);
    expect(refused(setx, new Uint8Array(27))).toBe(ERRNO.EINVAL[0]);
    expect(refused(setx, struct(FSXATTR, { ...FULL, extsize: 8192 }))).toBe(ERRNO.ENOTSUP[0]);
    expect(refused(Ioctl.TRIM, new Uint8Array(8))).toBe(ERRNO.EINVAL[0]);
    kernel.uid = 5;
    expect(refused(set, word(FlagBit.NODUMP))).toBe(ERRNO.EPERM[0]);
    expect(refused(Ioctl.TRIM, new Uint8Array(24))).toBe(ERRNO.EPERM[0]);
    const own = kernel.create(ROOT, 'own').nodeid;
    const given = (flags: number): number =>
      Math.abs(ioctl(kernel, own, set, { data: word(flags) }).error);
    expect([given(FlagBit.NODUMP), given(FlagBit.APPEND)]).toEqual([0, ERRNO.EPERM[0]]);
  });

  it('lets the times of an append-only file be set to what a kernel says is the present', () => {
    const kernel = TestKernel.start({ writeback: true });
    const { nodeid } = kernel.create(ROOT, 'a');
    ioctl(kernel, nodeid, Ioctl.SETFLAGS, { data: word(FlagBit.APPEND) });
    const now = { ctime: 7, ctimensec: 3, mtime: 7, mtimensec: 3 };
    const valid = Fattr.ATIME | Fattr.ATIME_NOW | Fattr.MTIME | Fattr.CTIME;
    expect(kernel.setattr(nodeid, { valid, ...now }).error).toBe(0);
    expect(kernel.getattr(nodeid)).toMatchObject({ ...now, atime: 7, atimensec: 3 });
    const other = kernel.setattr(nodeid, { valid: valid & ~Fattr.ATIME_NOW, ...now, atime: 6 });
    expect(other.error).toBe(-ERRNO.EPERM[0]);
  });

  it('tells the label, and gives as many bytes as were asked for at the most', () => {
    const kernel = TestKernel.start();
    const label = outOf(ioctl(kernel, ROOT, Ioctl.GETFSLABEL, { out: 256 }));
    expect(label.byteLength).toBe(256);
    expect(outOf(ioctl(kernel, ROOT, Ioctl.GETFSLABEL, { out: 9 })).byteLength).toBe(9);
    expect(outOf(ioctl(kernel, ROOT, Ioctl.GETVERSION, { out: 8 })).byteLength).toBe(4);
  });
});
