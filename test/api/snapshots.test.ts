/** Snapshots, clones and what differs between them. */
import { describe, expect, it } from 'vitest';
import { MIB } from '../../src/base/index.ts';
import { ExtentFlag, MemoryDevice, Volume } from '../../src/browser.ts';

async function open(): Promise<Volume> {
  const vol = await Volume.open(new MemoryDevice({ size: 16 * MIB }), { create: true });
  vol.fs.mkdirSync('/a/b', { recursive: true });
  vol.fs.writeFileSync('/a/b/hello', 'hello');
  vol.fs.writeFileSync('/a/big', Buffer.alloc(100_000, 1));
  return vol;
}

describe('clone()', () => {
  it('makes two that know nothing of each other', async () => {
    await using vol = await open();
    const { fs } = vol;
    await vol.clone('/a', '/z');
    fs.appendFileSync('/z/b/hello', ' world');
    fs.truncateSync('/a/big', 10);
    expect(fs.readFileSync('/a/b/hello', 'utf8')).toBe('hello');
    expect(fs.readFileSync('/z/b/hello', 'utf8')).toBe('hello world');
    expect(fs.statSync('/z/big').size).toBe(100_000);
  });

  it('gives a cloned directory a device number of its own', async () => {
    await using vol = await open();
    vol.cloneSync('/a', '/z');
    const [left, right] = ['/a/big', '/z/big'].map((path) => vol.fs.statSync(path));
    expect(left?.ino).toBe(right?.ino);
    expect(left?.dev).not.toBe(right?.dev);
  });

  it('fails as a call of node:fs does', async () => {
    await using vol = await open();
    expect(() => vol.cloneSync('/nothing', '/z')).toThrow(
      "ENOENT: no such file or directory, clone '/nothing' -> '/z'",
    );
    await expect(vol.clone('/a/big', '/a/b')).rejects.toMatchObject({
      code: 'EEXIST',
      errno: -17,
      syscall: 'clone',
      path: '/a/big',
      dest: '/a/b',
      message: "EEXIST: file already exists, clone '/a/big' -> '/a/b'",
    });
  });

  it('takes no room for what it shares', async () => {
    await using vol = await open();
    const before = vol.fs.statfsSync('/').bfree;
    for (let i = 0; i < 20; i++) vol.cloneSync('/a', `/clone ${i}`);
    expect(before - vol.fs.statfsSync('/').bfree).toBeLessThan(8);
  });
});

describe('cp()', () => {
  it('of a directory with a clone asked for is one clone, links and times included', async () => {
    await using vol = await open();
    const { fs } = vol;
    fs.symlinkSync('b/hello', '/a/link');
    fs.utimesSync('/a/big', 5, 6);
    const mode = fs.constants['COPYFILE_FICLONE'] as number;
    fs.cpSync('/a', '/copy', { recursive: true, mode });
    expect(fs.readlinkSync('/copy/link')).toBe('b/hello');
    expect(fs.statSync('/copy/big').mtimeMs).toBe(6000);
    expect(fs.statSync('/copy').dev).not.toBe(fs.statSync('/a').dev);
    expect([...vol.diffSync('/a', '/copy')]).toEqual([]);
  });

  it('of a directory copies file by file otherwise, each a clone', async () => {
    await using vol = await open();
    await vol.fs.promises.cp('/a', '/copy', { recursive: true });
    expect(vol.fs.readFileSync('/copy/b/hello', 'utf8')).toBe('hello');
    expect(vol.fs.statSync('/copy').dev).toBe(vol.fs.statSync('/a').dev);
    vol.syncSync();
    expect(vol.extentsSync('/copy/big')).toEqual(vol.extentsSync('/a/big'));
  });
});

describe('snapshots', () => {
  it('keep what was there, and cannot be written', async () => {
    await using vol = await open();
    await vol.snapshot('first');
    vol.fs.rmSync('/a', { recursive: true });
    using view = await vol.openSnapshot('first');
    expect(view.fs.readdirSync('/', { recursive: true }).sort()).toEqual([
      'a',
      'a/b',
      'a/b/hello',
      'a/big',
    ]);
    expect(await view.promises.readFile('/a/b/hello', 'utf8')).toBe('hello');
    expect(() => view.fs.writeFileSync('/a/b/hello', 'x')).toThrow('EROFS');
  });

  it('are told oldest first, with what they are', async () => {
    let ms = 1e12;
    const device = new MemoryDevice({ size: 16 * MIB });
    await using vol = await Volume.open(device, { create: true, now: () => ms });
    vol.snapshotSync('z');
    ms += 1000;
    vol.snapshotSync('a', { writable: true });
    expect(await vol.snapshots()).toEqual([
      { name: 'z', readOnly: true, created: new Date(1e12) },
      { name: 'a', readOnly: false, created: new Date(1e12 + 1000) },
    ]);
  });

  it('that are writable change by themselves', async () => {
    await using vol = await open();
    vol.snapshotSync('scratch', { writable: true });
    using view = vol.openSnapshotSync('scratch');
    view.fs.writeFileSync('/a/b/hello', 'changed');
    expect(view.fs.readFileSync('/a/b/hello', 'utf8')).toBe('changed');
    expect(vol.fs.readFileSync('/a/b/hello', 'utf8')).toBe('hello');
  });

  it('bring back what was removed, by a clone', async () => {
    await using vol = await open();
    vol.snapshotSync('s');
    vol.fs.rmSync('/a', { recursive: true });
    await vol.clone({ snapshot: 's', path: '/a' }, '/a');
    expect(vol.fs.readFileSync('/a/b/hello', 'utf8')).toBe('hello');
  });

  it('are refused by names that are taken, missing or none', async () => {
    await using vol = await open();
    vol.snapshotSync('s');
    expect(() => vol.snapshotSync('s')).toThrow("EEXIST: file already exists, snapshot 's'");
    expect(() => vol.openSnapshotSync('t')).toThrow('ENOENT: no such file or directory, snapshot');
    await expect(vol.deleteSnapshot('t')).rejects.toMatchObject({ code: 'ENOENT' });
    for (const name of ['', '.', 'a/b']) {
      expect(() => vol.snapshotSync(name)).toThrow('EINVAL');
    }
    expect(vol.snapshotsSync().map(({ name }) => name)).toEqual(['s']);
  });

  it('give their room back when they are deleted', async () => {
    await using vol = await open();
    for (let i = 0; i < 4; i++) vol.syncSync();
    const free = vol.fs.statfsSync('/').bfree;
    vol.snapshotSync('s');
    vol.fs.writeFileSync('/a/big', Buffer.alloc(100_000, 2));
    expect(vol.fs.statfsSync('/').bfree).toBeLessThan(free - 20);
    vol.deleteSnapshotSync('s');
    vol.reclaimSync();
    for (let i = 0; i < 4; i++) vol.syncSync();
    expect(vol.fs.statfsSync('/').bfree).toBe(free);
  });

  it('end with their view: what comes later is EBADF', async () => {
    await using vol = await open();
    vol.snapshotSync('s');
    const view = vol.openSnapshotSync('s');
    view.close();
    view.close();
    expect(() => view.fs.readdirSync('/')).toThrow('EBADF');
    await expect(view.promises.readdir('/')).rejects.toThrow('EBADF');
  });
});

describe('diff()', () => {
  it('tells what was added, removed and modified, and nothing else', async () => {
    await using vol = await open();
    const { fs } = vol;
    for (let i = 0; i < 300; i++) fs.writeFileSync(`/a/b/${i}`, `${i}`);
    vol.snapshotSync('before');
    fs.writeFileSync('/a/b/new', 'new');
    fs.rmSync('/a/b/7');
    fs.appendFileSync('/a/b/8', '!');
    fs.chmodSync('/a/b/9', 0o600);
    const changes: string[] = [];
    for await (const change of vol.diff({ snapshot: 'before' }, '/')) {
      const { type, path, data, attributes } = change;
      changes.push(`${type} ${path}${data ? ' data' : ''}${attributes ? ' attributes' : ''}`);
    }
    expect(changes.sort()).toEqual([
      'added a/b/new',
      'modified a/b attributes',
      'modified a/b/8 data attributes',
      'modified a/b/9 attributes',
      'removed a/b/7',
    ]);
  });

  it('may be left early, and ends with its signal', async () => {
    await using vol = await open();
    vol.cloneSync('/a', '/z');
    vol.fs.rmSync('/z/big');
    vol.fs.rmSync('/z/b/hello');
    for await (const { type } of vol.diff('/a', '/z')) {
      expect(['removed', 'modified']).toContain(type);
      break;
    }
    const diff = vol.diff('/a', '/z', { signal: AbortSignal.abort(new Error('enough')) });
    await expect(diff.next()).rejects.toThrow('enough');
  });
});

describe('space() and extents()', () => {
  it('tell what would come back', async () => {
    await using vol = await open();
    vol.syncSync();
    const alone = await vol.space('/a');
    expect(alone).toMatchObject({ logical: 100_005, files: 2, directories: 2 });
    expect(alone.exclusive).toBe(alone.allocated);
    vol.cloneSync('/a', '/z');
    expect(vol.spaceSync('/a').exclusive).toBeLessThan(alone.exclusive - 90_000);
    vol.fs.rmSync('/z', { recursive: true });
    vol.reclaimSync();
    vol.syncSync();
    expect(vol.spaceSync('/a')).toEqual(alone);
  });

  it('tell where the data is, leave holes out, and say what is shared', async () => {
    await using vol = await open();
    const { fs } = vol;
    fs.truncateSync('/a/big', 0);
    const fd = fs.openSync('/a/big', 'r+');
    fs.writeSync(fd, Buffer.alloc(4096, 1), 0, 4096, 40_960);
    fs.closeSync(fd);
    expect(await vol.extents('/a/big')).toMatchObject([
      { offset: 40_960, length: 4096, type: 'delalloc', address: undefined, shared: false },
    ]);
    vol.syncSync();
    const [before] = vol.extentsSync('/a/big');
    expect(before).toMatchObject({ offset: 40_960, type: 'data', shared: false });
    vol.cloneSync('/a/big', '/a/clone');
    expect(vol.extentsSync('/a/clone')).toEqual([
      { ...before, shared: true, flags: ExtentFlag.LAST | ExtentFlag.SHARED },
    ]);
    expect(vol.extentsSync('/a/b/hello')).toMatchObject([{ offset: 0, type: 'inline' }]);
  });
});
