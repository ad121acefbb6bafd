/**
 * Operations, one subject at a time, with a kernel in memory: what real programs seldom ask for.
 */
import { describe, expect, it } from 'vitest';
import { ERRNO, viewOf } from '../../src/base/index.ts';
import { Errno, Fattr, Opcode } from '../../src/fuse/constants.ts';
import { decode } from '../../src/fuse/layout.ts';
import {
  ACCESS_IN,
  ATTR_OUT,
  COPY_FILE_RANGE_IN,
  COPY_FILE_RANGE_OUT,
  CREATE_IN,
  DIRENT,
  ENTRY_OUT,
  FALLOCATE_IN,
  FLUSH_IN,
  GETXATTR_IN,
  INTERRUPT_IN,
  IOCTL_IN,
  LINK_IN,
  LK_IN,
  LK_OUT,
  LSEEK_IN,
  LSEEK_OUT,
  MKDIR_IN,
  MKNOD_IN,
  OPEN_IN,
  READ_IN,
  RELEASE_IN,
  RENAME_IN,
  RENAME2_IN,
  SETXATTR_IN_SHORT,
  STATFS_OUT,
  STATX_IN,
  STATX_OUT,
  WRITE_OUT,
} from '../../src/fuse/wire.ts';
import { ALL_FLAGS, entryOf, NOW, struct, TestKernel } from './kernel.ts';

const ROOT = 1;

/** Entries of a listing: their names, cookies and types. */
function entriesIn(body: Uint8Array, plus: boolean): [name: string, off: number, type: number][] {
  const found: [string, number, number][] = [];
  for (let at = 0; at < body.length; ) {
    if (plus) at += ENTRY_OUT.size;
    const { off, namelen, type } = decode(DIRENT, viewOf(body), at);
    const start = at + DIRENT.size;
    found.push([Buffer.from(body.subarray(start, start + namelen)).toString('latin1'), off, type]);
    at += Math.ceil((DIRENT.size + namelen) / 8) * 8;
  }
  return found;
}

function mkdir(kernel: TestKernel, parent: number, name: string, mode = 0o755): number {
  return entryOf(kernel.ok(Opcode.MKDIR, parent, struct(MKDIR_IN, { mode }), name)).nodeid;
}

describe('READDIR', () => {
  it.each([Opcode.READDIR, Opcode.READDIRPLUS])('%i goes on where a reply has ended', (opcode) => {
    const kernel = TestKernel.start();
    const names = Array.from({ length: 300 }, (_, i) => `name${i}`);
    for (const name of names) kernel.create(ROOT, name);
    const plus = opcode === Opcode.READDIRPLUS;
    for (const size of [plus ? 200 : 48, 1000, 65536]) {
      const seen: string[] = [];
      for (let offset = 0; ; ) {
        const body = kernel.ok(opcode, ROOT, struct(READ_IN, { offset, size }));
        expect(body.length).toBeLessThanOrEqual(size);
        const entries = entriesIn(body, plus);
        if (entries.length === 0) break;
        seen.push(...entries.map(([name]) => name));
        offset = entries.at(-1)?.[1] ?? 0;
      }
      expect(seen.slice(0, 2)).toEqual(['.', '..']);
      expect(seen.slice(2).sort()).toEqual([...names].sort());
    }
  });

  it('tells the type of what a name with several names means, and refuses a file', () => {
    const kernel = TestKernel.start();
    const { nodeid } = kernel.create(ROOT, 'a');
    mkdir(kernel, ROOT, 'd');
    kernel.ok(Opcode.LINK, ROOT, struct(LINK_IN, { oldnodeid: nodeid }), 'b');
    const body = kernel.ok(Opcode.READDIR, ROOT, struct(READ_IN, { size: 4096 }));
    const types = entriesIn(body, false).map(([name, , type]) => [name, type]);
    expect(types.sort()).toEqual([
      ['.', 4],
      ['..', 4],
      ['a', 8],
      ['b', 8],
      ['d', 4],
    ]);
    const { error } = kernel.ask(Opcode.READDIR, nodeid, struct(READ_IN, { size: 4096 }));
    expect(error).toBe(-ERRNO.ENOTDIR[0]);
  });

  it('lists nothing of a directory that is gone', () => {
    const kernel = TestKernel.start();
    const node = mkdir(kernel, ROOT, 'd');
    kernel.ok(Opcode.RMDIR, ROOT, 'd');
    const body = kernel.ok(Opcode.READDIR, node, struct(READ_IN, { size: 4096 }));
    expect(entriesIn(body, false).map(([name]) => name)).toEqual(['.', '..']);
  });
});

describe('OPEN', () => {
  it('is not needed if the kernel says that it can do without', () => {
    const kernel = TestKernel.start();
    const { nodeid } = kernel.create(ROOT, 'a');
    const open = struct(OPEN_IN);
    expect(kernel.ask(Opcode.OPEN, nodeid, open).error).toBe(-ERRNO.ENOSYS[0]);
    expect(kernel.ask(Opcode.OPENDIR, ROOT, open).error).toBe(-ERRNO.ENOSYS[0]);
    const older = TestKernel.start({}, ALL_FLAGS & ~(1 << 24));
    expect(older.ask(Opcode.OPENDIR, ROOT, open).error).toBe(0);
    expect(older.ask(Opcode.OPEN, older.create(ROOT, 'a').nodeid, open).error).toBe(0);
  });

  it('of what is made is no request either, or one with it', () => {
    const kernel = TestKernel.start();
    const plain = struct(CREATE_IN, { flags: 0o102, mode: 0o100644 });
    expect(kernel.ask(Opcode.CREATE, ROOT, plain, 'a').error).toBe(-ERRNO.ENOSYS[0]);
    expect(kernel.lookup(ROOT, 'a').nodeid).toBe(0);
    const older = TestKernel.start({}, ALL_FLAGS & ~(1 << 17));
    const made = entryOf(older.ok(Opcode.CREATE, ROOT, plain, 'a'));
    expect(made).toMatchObject({ mode: 0o100644, nlink: 1 });
    // Somebody else has made it: it is opened, unless it must not be there.
    expect(entryOf(older.ok(Opcode.CREATE, ROOT, plain, 'a')).nodeid).toBe(made.nodeid);
    const exclusive = struct(CREATE_IN, { flags: 0o302, mode: 0o100644 });
    expect(older.ask(Opcode.CREATE, ROOT, exclusive, 'a').error).toBe(-ERRNO.EEXIST[0]);
  });
});

describe('SETATTR', () => {
  it('sets what is asked for, with the times that are given', () => {
    const kernel = TestKernel.start();
    const { nodeid } = kernel.create(ROOT, 'a');
    const valid = Fattr.MODE | Fattr.UID | Fattr.ATIME | Fattr.MTIME | Fattr.CTIME | Fattr.SIZE;
    const times = { atime: -5, atimensec: 1, mtime: 5, mtimensec: 2, ctime: 7, ctimensec: 3 };
    const { body } = kernel.setattr(nodeid, { valid, mode: 0o100600, uid: 5, size: 77, ...times });
    const wanted = { ...times, mode: 0o100600, uid: 5, gid: 0, size: 77 };
    expect(decode(ATTR_OUT, viewOf(body), 0)).toMatchObject(wanted);
    expect(kernel.getattr(nodeid)).toMatchObject(wanted);
  });

  it('takes set-user and set-group bits away with the owner, and with the data', () => {
    const kernel = TestKernel.start();
    const { nodeid } = kernel.create(ROOT, 'a', 0o106755);
    expect(kernel.getattr(nodeid).mode).toBe(0o106755);
    kernel.setattr(nodeid, { valid: Fattr.UID, uid: 3 });
    expect(kernel.getattr(nodeid).mode).toBe(0o100755);
    kernel.setattr(nodeid, { valid: Fattr.MODE, mode: 0o106744 });
    kernel.gid = 9;
    kernel.uid = 9;
    kernel.write(nodeid, 0, 'x');
    expect(kernel.getattr(nodeid).mode).toBe(0o106744);
    kernel.write(nodeid, 0, 'x', 4);
    expect(kernel.getattr(nodeid).mode).toBe(0o100744);
    kernel.setattr(nodeid, { valid: Fattr.MODE, mode: 0o104755 });
    const range = struct(FALLOCATE_IN, { offset: 0, length: 4096, mode: 1 });
    kernel.ok(Opcode.FALLOCATE, nodeid, range);
    expect(kernel.getattr(nodeid).mode).toBe(0o100755);
  });
});

describe('SETATTR of nothing', () => {
  it('is a chown that changes nothing but privileges, for whoever may', () => {
    const kernel = TestKernel.start();
    const { nodeid } = kernel.create(ROOT, 'a', 0o106777);
    const mode = (): number => kernel.getattr(nodeid).mode & 0o7777;
    kernel.uid = 7;
    kernel.gid = 7;
    expect(kernel.setattr(nodeid, { valid: Fattr.CTIME }).error).toBe(-ERRNO.EPERM[0]);
    // It may announce a write.
    expect(kernel.setattr(nodeid, { valid: 0 }).error).toBe(0);
    expect(mode()).toBe(0o6777);
    kernel.uid = 0;
    expect(kernel.setattr(nodeid, { valid: 0 }).error).toBe(0);
    expect(mode()).toBe(0o777);
    kernel.setattr(nodeid, { valid: Fattr.MODE, mode: 0o106777 });
    expect(kernel.setattr(nodeid, { valid: Fattr.CTIME, ctime: 5 }).error).toBe(0);
    expect([mode(), kernel.getattr(nodeid).ctime]).toEqual([0o777, 5]);
  });
});

describe('a directory that was removed while somebody has it', () => {
  it('takes attributes, and nothing of it is told or kept', () => {
    const kernel = TestKernel.start();
    const nodeid = mkdir(kernel, ROOT, 'd');
    kernel.ok(Opcode.RMDIR, ROOT, 'd');
    const sized = struct(GETXATTR_IN, { size: 1000 });
    const values = { valid: Fattr.MODE | Fattr.UID | Fattr.MTIME, mode: 0o700, uid: 7, mtime: 5 };
    expect(kernel.setattr(nodeid, values).error).toBe(0);
    const wanted = { mode: 0o040700, uid: 7, mtime: 5, nlink: 0 };
    expect(kernel.getattr(nodeid)).toMatchObject(wanted);
    const large = Buffer.alloc(5000, 'v');
    const head = new Uint8Array(16);
    viewOf(head).setUint32(0, large.length, true);
    kernel.ok(Opcode.SETXATTR, nodeid, head, 'user.a', large);
    const list = kernel.ok(Opcode.LISTXATTR, nodeid, sized);
    expect(Buffer.from(list).toString()).toBe('user.a\0');
    kernel.ok(Opcode.REMOVEXATTR, nodeid, 'user.a');
    expect(kernel.ok(Opcode.LISTXATTR, nodeid, sized)).toHaveLength(0);
    const mknod = kernel.ask(Opcode.MKNOD, nodeid, struct(MKNOD_IN, { mode: 0o100644 }), 'x');
    expect(mknod.error).toBe(-ERRNO.ENOENT[0]);
    kernel.forget(nodeid, 1);
    const { driver, engine } = kernel.rig;
    driver.run(engine.commit());
    expect(kernel.broken).toEqual([]);
    const { rig } = kernel;
    expect(rig.engine.table.all.length).toBeLessThan(10);
  });
});

describe('times of access', () => {
  it('are left alone by who opens with O_NOATIME', () => {
    const kernel = TestKernel.start({ noatime: false, now: () => NOW + 5000 });
    const { nodeid } = kernel.create(ROOT, 'a');
    kernel.write(nodeid, 0, 'data');
    kernel.setattr(nodeid, { valid: Fattr.ATIME, atime: 1 });
    const [O_RDONLY, O_NOATIME] = [0, 0o1000000];
    for (const flags of [O_NOATIME, O_RDONLY]) {
      kernel.ok(Opcode.READ, nodeid, struct(READ_IN, { size: 10, flags }));
      expect(kernel.getattr(nodeid).atime === 1).toBe(flags === O_NOATIME);
    }
  });

  it('follow reads as relatime has it', () => {
    let now = NOW;
    const kernel = TestKernel.start({ noatime: false, now: () => now });
    const { nodeid } = kernel.create(ROOT, 'a');
    kernel.write(nodeid, 0, 'data');
    const atime = (): number => kernel.getattr(nodeid).atime * 1000 - Math.floor(NOW / 1000) * 1000;
    now += 10_000;
    kernel.read(nodeid, 0, 10);
    expect(atime()).toBe(10_000);
    now += 10_000;
    kernel.read(nodeid, 0, 10);
    expect(atime()).toBe(10_000);
    kernel.write(nodeid, 0, 'more');
    now += 1000;
    kernel.read(nodeid, 0, 10);
    expect(atime()).toBe(21_000);
    now += 86_400_000;
    kernel.read(nodeid, 0, 10);
    expect(atime()).toBe(86_421_000);
    expect(kernel.getattr(nodeid).ctime).toBe(Math.floor((NOW + 20_000) / 1000));
  });

  it('stay as they are with noatime, and nothing is changed by reading', () => {
    let now = NOW;
    const kernel = TestKernel.start({ now: () => now });
    const { nodeid, atime } = kernel.create(ROOT, 'a');
    kernel.rig.driver.run(kernel.rig.engine.commit());
    now += 10_000;
    kernel.read(nodeid, 0, 10);
    kernel.ok(Opcode.READDIR, ROOT, struct(READ_IN, { size: 4096 }));
    expect(kernel.getattr(nodeid).atime).toBe(atime);
    expect(kernel.rig.engine.hasChanges).toBe(false);
  });
});

describe('STATX, STATFS and ACCESS', () => {
  it('have what an inode has', () => {
    const kernel = TestKernel.start();
    const rdev = (5 << 8) | 0x12 | (0x345 << 20);
    const head = struct(MKNOD_IN, { mode: 0o020640, rdev });
    const entry = entryOf(kernel.ok(Opcode.MKNOD, ROOT, head, 'dev'));
    expect(entry).toMatchObject({ mode: 0o020640, rdev });
    const stat = decode(
      STATX_OUT,
      viewOf(kernel.ok(Opcode.STATX, entry.nodeid, struct(STATX_IN))),
      0,
    );
    const seconds = Math.floor(NOW / 1000);
    expect(stat).toMatchObject({ ino: entry.ino, nlink: 1, btime: seconds, mode: 0o020640 });
    expect(stat).toMatchObject({ rdev_major: 5, rdev_minor: 0x34512, mask: 0xfff });
    const space = decode(STATFS_OUT, viewOf(kernel.ok(Opcode.STATFS, ROOT)), 0);
    expect(space).toMatchObject({ bsize: 4096, frsize: 4096, namelen: 255, blocks: 8192 });
    expect(space.bfree).toBe(kernel.rig.engine.store.space.available);
  });

  it('are asked for, but not POLL: the kernel takes every file for ready', () => {
    const kernel = TestKernel.start();
    const { nodeid } = kernel.create(ROOT, 'a');
    expect(-kernel.ask(Opcode.POLL, nodeid, new Uint8Array(24)).error).toBe(ERRNO.ENOSYS[0]);
  });

  it('go by the bits, for whoever asks without default_permissions', () => {
    const kernel = TestKernel.start();
    const { nodeid } = kernel.create(ROOT, 'a', 0o100640);
    kernel.setattr(nodeid, { valid: Fattr.UID | Fattr.GID, uid: 1, gid: 2 });
    const may = (uid: number, gid: number, mask: number): boolean => {
      Object.assign(kernel, { uid, gid });
      return kernel.ask(Opcode.ACCESS, nodeid, struct(ACCESS_IN, { mask })).error === 0;
    };
    expect([may(1, 9, 6), may(1, 9, 1), may(9, 2, 4), may(9, 2, 2), may(9, 9, 4)]).toEqual([
      true,
      false,
      true,
      false,
      false,
    ]);
    expect([may(0, 0, 6), may(0, 0, 1)]).toEqual([true, false]);
  });
});

describe('extended attributes', () => {
  const set = (name: string, value: string): Uint8Array => {
    const head = new Uint8Array(16);
    viewOf(head).setUint32(0, value.length, true);
    return Buffer.concat([head, Buffer.from(`${name}\0${value}`)]);
  };
  const sized = (size: number): Uint8Array => struct(GETXATTR_IN, { size });

  it('are told their length first, and refused if there is less room', () => {
    const kernel = TestKernel.start();
    const { nodeid } = kernel.create(ROOT, 'a');
    kernel.ok(Opcode.SETXATTR, nodeid, set('user.a', 'value'));
    const length = kernel.ok(Opcode.GETXATTR, nodeid, sized(0), 'user.a');
    expect(viewOf(length).getUint32(0, true)).toBe(5);
    const { error } = kernel.ask(Opcode.GETXATTR, nodeid, sized(4), 'user.a');
    expect(error).toBe(-ERRNO.ERANGE[0]);
    const value = kernel.ok(Opcode.GETXATTR, nodeid, sized(5), 'user.a');
    expect(Buffer.from(value).toString()).toBe('value');
    const none = kernel.ask(Opcode.GETXATTR, nodeid, sized(5), 'user.b');
    expect(none.error).toBe(-ERRNO.ENODATA[0]);
  });

  it('are kept although the memory of the request is used again', () => {
    const kernel = TestKernel.start();
    const { nodeid } = kernel.create(ROOT, 'a');
    kernel.ok(Opcode.SETXATTR, nodeid, set('user.a', 'first'));
    kernel.ok(Opcode.SETXATTR, nodeid, set('user.b', 'other'));
    const value = kernel.ok(Opcode.GETXATTR, nodeid, sized(50), 'user.a');
    expect(Buffer.from(value).toString()).toBe('first');
  });

  it('of the superuser are not listed for others, and other spaces are refused', () => {
    const kernel = TestKernel.start();
    const { nodeid } = kernel.create(ROOT, 'a');
    for (const name of ['user.a', 'trusted.b']) kernel.ok(Opcode.SETXATTR, nodeid, set(name, 'x'));
    const list = (): string =>
      Buffer.from(kernel.ok(Opcode.LISTXATTR, nodeid, sized(100))).toString();
    expect(list().split('\0').sort()).toEqual(['', 'trusted.b', 'user.a']);
    kernel.uid = 1;
    expect(list()).toBe('user.a\0');
    const errors = ['system.x', 'x', 'user.'].map(
      (name) => -kernel.ask(Opcode.SETXATTR, nodeid, set(name, 'x')).error,
    );
    const refused = [ERRNO.ENOTSUP[0], ERRNO.ENOTSUP[0], ERRNO.EINVAL[0]];
    expect(errors).toEqual(refused);
    for (const node of [nodeid, kernel.create(ROOT, `bare ${nodeid}`).nodeid]) {
      const got = ['system.x', 'x', 'user.'].map(
        (name) => -kernel.ask(Opcode.GETXATTR, node, sized(5), name).error,
      );
      expect(got).toEqual(refused);
    }
  });

  it('come in the shorter form from a kernel that has no other', () => {
    const kernel = TestKernel.start({}, ALL_FLAGS & ~(1 << 29));
    const { nodeid } = kernel.create(ROOT, 'a');
    const head = new Uint8Array(SETXATTR_IN_SHORT);
    viewOf(head).setUint32(0, 3, true);
    kernel.ok(Opcode.SETXATTR, nodeid, head, 'user.a', Buffer.from('abc'));
    const value = kernel.ok(Opcode.GETXATTR, nodeid, sized(50), 'user.a');
    expect(Buffer.from(value).toString()).toBe('abc');
  });
});

describe('ranges', () => {
  it('are copied by sharing, by the older request and the newer', () => {
    const kernel = TestKernel.start();
    const from = kernel.create(ROOT, 'from').nodeid;
    const to = kernel.create(ROOT, 'to').nodeid;
    const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => i % 251);
    kernel.write(from, 0, bytes);
    const { engine, driver } = kernel.rig;
    driver.run(engine.commit());
    const before = engine.store.space.available;
    const range = { off_in: 4096, nodeid_out: to, off_out: 8192, len: 1 << 20 };
    const copy = (opcode: number): Uint8Array =>
      kernel.ok(opcode, from, struct(COPY_FILE_RANGE_IN, range));
    const older = decode(WRITE_OUT, viewOf(copy(Opcode.COPY_FILE_RANGE)), 0);
    expect(older.size).toBe(95_904);
    const newer = decode(COPY_FILE_RANGE_OUT, viewOf(copy(Opcode.COPY_FILE_RANGE_64)), 0);
    expect(newer.bytes_copied).toBe(95_904);
    expect(kernel.getattr(to).size).toBe(104_096);
    const copied = kernel.read(to, 8192, 200_000);
    expect(Buffer.from(copied).equals(bytes.subarray(4096))).toBe(true);
    driver.run(engine.commit());
    expect(before - engine.store.space.available).toBeLessThan(6);
  });

  it('have a sector, though nothing of them is here, while the kernel may have it', () => {
    for (const writeback of [false, true]) {
      const kernel = TestKernel.start({ writeback });
      kernel.ok(Opcode.MKDIR, ROOT, struct(MKDIR_IN, { mode: 0o755 }), 'd');
      const { nodeid, blocks } = kernel.create(ROOT, 'a');
      const sectors = [blocks, kernel.getattr(nodeid).blocks, kernel.lookup(ROOT, 'd').blocks];
      expect(sectors).toEqual(writeback ? [1, 1, 0] : [0, 0, 0]);
      kernel.write(nodeid, 0, 'x'.repeat(5000));
      expect(kernel.getattr(nodeid).blocks).toBe(16);
    }
  });

  it('are sought for holes, but not while the kernel may have what is not here', () => {
    const seek = (kernel: TestKernel, node: number, offset: number, whence: number): number => {
      const reply = kernel.ask(Opcode.LSEEK, node, struct(LSEEK_IN, { offset, whence }));
      return reply.error !== 0 ? reply.error : decode(LSEEK_OUT, viewOf(reply.body), 0).offset;
    };
    for (const writeback of [false, true]) {
      const kernel = TestKernel.start({ writeback });
      const { nodeid } = kernel.create(ROOT, 'a');
      kernel.write(nodeid, 65_536, 'x'.repeat(5000));
      const found = [seek(kernel, nodeid, 0, 3), seek(kernel, nodeid, 65_536, 4)];
      const sought = [65_536, 70_536];
      expect(found).toEqual(writeback ? [-ERRNO.ENOSYS[0], -ERRNO.ENOSYS[0]] : sought);
      if (writeback) continue;
      expect(seek(kernel, nodeid, 1e6, 3)).toBe(-ERRNO.ENXIO[0]);
      expect(seek(kernel, nodeid, 0, 0)).toBe(-ERRNO.EINVAL[0]);
    }
  });
});

describe('locks', () => {
  const OWNER = { a: [1, 9], b: [2, 9] } as const;
  const END = Number.MAX_SAFE_INTEGER;

  it('are taken, asked for, waited for, given up and released', () => {
    const kernel = TestKernel.start({ locks: true });
    const { nodeid } = kernel.create(ROOT, 'a');
    const lk = (owner: keyof typeof OWNER, type: number): Uint8Array =>
      struct(LK_IN, { owner: OWNER[owner], type, start: 0, end: END, pid: 77 });
    const errno = (opcode: number, owner: keyof typeof OWNER, type: number): number =>
      Math.abs(kernel.ask(opcode, nodeid, lk(owner, type)).error);
    expect(errno(Opcode.SETLK, 'a', 1)).toBe(0);
    expect(errno(Opcode.SETLK, 'b', 0)).toBe(ERRNO.EAGAIN[0]);
    const body = kernel.ok(Opcode.GETLK, nodeid, lk('b', 0));
    expect(decode(LK_OUT, viewOf(body), 0)).toEqual({ type: 1, pid: 77, start: 0, end: END });
    // The end of a file that has none is the kernel's, not ours.
    expect(viewOf(body).getUint32(LK_OUT.at.end + 4, true)).toBe(0x7fffffff);
    kernel.replies.length = 0;
    const waits = [0, 1].map(() => {
      kernel.send(kernel.request(Opcode.SETLKW, nodeid, lk('b', 1)));
      return [kernel.unique, 7] as const;
    });
    expect(kernel.replies).toEqual([]);
    kernel.ok(Opcode.STATFS, ROOT);
    const [first, second] = waits as [readonly [number, number], readonly [number, number]];
    kernel.send(kernel.request(Opcode.INTERRUPT, 0, struct(INTERRUPT_IN, { unique: second })));
    kernel.ok(Opcode.FLUSH, nodeid, struct(FLUSH_IN, { lock_owner: OWNER.a }));
    const later = kernel.replies.filter(({ body: bytes }) => bytes.length === 0);
    expect(later.map(({ unique, error }) => [unique, Math.abs(error)])).toEqual([
      [second, ERRNO.EINTR[0]],
      [first, 0],
      [[kernel.unique, 7], 0],
    ]);
    expect(errno(Opcode.SETLK, 'a', 1)).toBe(ERRNO.EAGAIN[0]);
  });

  it('of flock(2) go with the open file, and belong to the kernel if nobody wants them', () => {
    const kernel = TestKernel.start({ locks: true });
    const { nodeid } = kernel.create(ROOT, 'a');
    const flock = struct(LK_IN, { owner: OWNER.a, type: 1, end: END, lk_flags: 1 });
    kernel.ok(Opcode.SETLK, nodeid, flock);
    const other = struct(LK_IN, { owner: OWNER.b, type: 1, end: END, lk_flags: 1 });
    expect(kernel.ask(Opcode.SETLK, nodeid, other).error).toBe(-ERRNO.EAGAIN[0]);
    const closing = { lock_owner: OWNER.a, release_flags: 2 };
    kernel.ok(Opcode.RELEASE, nodeid, struct(RELEASE_IN, closing));
    expect(kernel.ask(Opcode.SETLK, nodeid, other).error).toBe(0);
    const plain = TestKernel.start();
    const node = plain.create(ROOT, 'a').nodeid;
    expect(plain.ask(Opcode.FLUSH, node, struct(FLUSH_IN)).error).toBe(-ERRNO.ENOSYS[0]);
  });
});

describe('what is not there', () => {
  it('is refused as the kernel expects it', () => {
    const kernel = TestKernel.start();
    const { nodeid } = kernel.create(ROOT, 'a');
    kernel.create(ROOT, 'b');
    const rename = (flags: number): number =>
      -kernel.ask(Opcode.RENAME2, ROOT, struct(RENAME2_IN, { newdir: ROOT, flags }), 'a', 'b')
        .error;
    expect([rename(1), rename(3), rename(6), rename(8)]).toEqual([
      ERRNO.EEXIST[0],
      ERRNO.EINVAL[0],
      ERRNO.EINVAL[0],
      ERRNO.EINVAL[0],
    ]);
    kernel.ok(Opcode.RENAME, ROOT, struct(RENAME_IN, { newdir: ROOT }), 'a', 'b');
    const head = struct(IOCTL_IN, { cmd: 0x5401, out_size: 4 });
    expect(-kernel.ask(Opcode.IOCTL, nodeid, head).error).toBe(Errno.ENOTTY);
    expect(-kernel.ask(Opcode.POLL, nodeid).error).toBe(ERRNO.ENOSYS[0]);
    expect(-kernel.ask(Opcode.BMAP, ROOT).error).toBe(ERRNO.ENOSYS[0]);
  });
});

describe('a directory with a group of its own', () => {
  it('gives it to what is made there', () => {
    const kernel = TestKernel.start();
    const node = mkdir(kernel, ROOT, 'd', 0o2775);
    kernel.setattr(node, { valid: Fattr.GID, gid: 77 });
    kernel.uid = 5;
    kernel.gid = 6;
    expect(kernel.create(node, 'f', 0o100644)).toMatchObject({ uid: 5, gid: 77, mode: 0o100644 });
    const body = kernel.ok(Opcode.MKDIR, node, struct(MKDIR_IN, { mode: 0o755 }), 'sub');
    expect(entryOf(body)).toMatchObject({ uid: 5, gid: 77, mode: 0o042755 });
    expect(kernel.create(ROOT, 'g', 0o100644)).toMatchObject({ uid: 5, gid: 6 });
  });
});

describe('READ', () => {
  it('is the same past the cache as through it: dirty, clean, holes and the end', () => {
    const kernel = TestKernel.start();
    const { nodeid } = kernel.create(ROOT, 'file');
    const wanted = new Uint8Array(600_000);
    const put = (at: number, length: number, value: number): void => {
      const bytes = new Uint8Array(length).fill(value);
      wanted.set(bytes, at);
      expect(kernel.write(nodeid, at, bytes).error).toBe(0);
    };
    put(0, 200_000, 1);
    put(400_000, 200_000, 2);
    kernel.rig.driver.run(kernel.rig.engine.commit());
    kernel.rig.engine.store.blocks.evictAll();
    // A part of it is in memory, a part is dirty.
    kernel.read(nodeid, 8192, 4096);
    put(100_000, 10, 3);
    put(300_000, 5000, 4);
    for (const [at, size] of [
      [0, 600_000],
      [0, 131_072],
      [65_536, 131_072],
      [524_288, 131_072],
      [4_096, 4_096],
      [99_999, 70_000],
    ] as const) {
      const found = kernel.read(nodeid, at, size);
      expect(Buffer.compare(found, wanted.subarray(at, at + size)), `${size} at ${at}`).toBe(0);
    }
  });
});

describe('STATFS', () => {
  it('has the room of what was removed, though that is worked off later', () => {
    const kernel = TestKernel.start();
    const free = (): number => {
      const body = kernel.ok(Opcode.STATFS, ROOT);
      return decode(STATFS_OUT, viewOf(body), 0).bavail;
    };
    const before = free();
    const { nodeid } = kernel.create(ROOT, 'large');
    for (let i = 0; i < 16; i++) kernel.write(nodeid, i * 262_144, new Uint8Array(262_144).fill(1));
    kernel.rig.driver.run(kernel.rig.engine.commit());
    expect(before - free()).toBeGreaterThanOrEqual(1024);
    kernel.ok(Opcode.UNLINK, ROOT, 'large');
    kernel.forget(nodeid, 1);
    expect(kernel.rig.engine.reclaimer.isEmpty).toBe(false);
    expect(before - free()).toBeLessThan(16);
  });
});
