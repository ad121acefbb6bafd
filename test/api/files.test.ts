/** Open files, directories and attributes, where the model does not look. */
import { describe, expect, it } from 'vitest';
import { MIB } from '../../src/base/index.ts';
import { MemoryDevice, Volume } from '../../src/browser.ts';

const open = (): Volume =>
  Volume.openSync(new MemoryDevice({ size: 16 * MIB }), { create: true, uid: 3, gid: 4, umask: 2 });

describe('numbers of open files', () => {
  it('begin above those of the process, and are used again', () => {
    using vol = open();
    const { fs } = vol;
    const first = fs.openSync('/f', 'w');
    expect(first).toBe(3);
    expect(fs.openSync('/f', 'r')).toBe(4);
    fs.closeSync(first);
    expect(fs.openSync('/f', 'r')).toBe(3);
    expect(() => fs.readSync(77, Buffer.alloc(1))).toThrow('EBADF: bad file descriptor, read');
  });

  it('have a position each, which calls with one of their own leave alone', () => {
    using vol = open();
    const { fs } = vol;
    fs.writeFileSync('/f', '0123456789');
    const [a, b] = [fs.openSync('/f', 'r'), fs.openSync('/f', 'r+')];
    const read = (fd: number, position: number | null): string => {
      const buffer = Buffer.alloc(3);
      return buffer.toString('utf8', 0, fs.readSync(fd, buffer, 0, 3, position));
    };
    expect([read(a, null), read(a, 7), read(a, null), read(b, null)]).toEqual([
      '012',
      '789',
      '345',
      '012',
    ]);
    fs.writeSync(b, 'XY');
    fs.writeSync(b, 'Z', 9);
    expect(fs.readFileSync('/f', 'utf8')).toBe('012XY5678Z');
  });

  it('outlive the name', () => {
    using vol = open();
    const { fs } = vol;
    fs.writeFileSync('/f', 'kept');
    const fd = fs.openSync('/f', 'r');
    fs.unlinkSync('/f');
    expect(fs.fstatSync(fd).nlink).toBe(0);
    expect(fs.readFileSync(fd, 'utf8')).toBe('kept');
    fs.closeSync(fd);
  });

  it('append wherever the end is', () => {
    using vol = open();
    const { fs } = vol;
    const fd = fs.openSync('/f', 'a');
    fs.writeSync(fd, 'one ');
    fs.appendFileSync('/f', 'two ');
    fs.writeSync(fd, Buffer.from('three'), 0, 5, 0);
    expect(fs.readFileSync('/f', 'utf8')).toBe('one two three');
    fs.closeSync(fd);
  });

  it('take several buffers at once', () => {
    using vol = open();
    const { fs } = vol;
    const fd = fs.openSync('/f', 'w+');
    expect(fs.writevSync(fd, [Buffer.from('abc'), Buffer.from('defg')])).toBe(7);
    const parts = [Buffer.alloc(2), Buffer.alloc(9)];
    expect(fs.readvSync(fd, parts, 1)).toBe(6);
    expect(Buffer.concat(parts).toString('latin1', 0, 6)).toBe('bcdefg');
    fs.closeSync(fd);
  });
});

describe('FileHandle', () => {
  it('reads, writes, and closes with its block', async () => {
    await using vol = open();
    let fd = 0;
    {
      await using handle = await vol.fs.promises.open('/f', 'w+');
      ({ fd } = handle);
      await handle.write('hello');
      const { bytesRead, buffer } = await handle.read(Buffer.alloc(9), 0, 9, 1);
      expect(buffer.toString('utf8', 0, bytesRead)).toBe('ello');
      await handle.truncate(2);
      await handle.chmod(0o640);
      const stat = await handle.stat();
      expect([stat.size, stat.mode & 0o777, stat.uid, stat.gid]).toEqual([2, 0o640, 3, 4]);
      await handle.sync();
    }
    expect(() => vol.fs.fstatSync(fd)).toThrow('EBADF');
  });

  it('keeps writes without a position in their order', async () => {
    await using vol = open();
    await using handle = await vol.fs.promises.open('/f', 'w');
    await Promise.all(['a', 'b', 'c', 'd'].map((text) => handle.write(text.repeat(5000))));
    const found = vol.fs.readFileSync('/f', 'latin1');
    expect(found).toBe(['a', 'b', 'c', 'd'].map((text) => text.repeat(5000)).join(''));
  });
});

describe('whole files', () => {
  it('end with their signal, before anything is done', async () => {
    await using vol = open();
    const { promises } = vol.fs;
    const signal = AbortSignal.abort();
    for (const call of [
      promises.writeFile('/f', 'x', { signal }),
      promises.readFile('/f', { signal }),
    ]) {
      await expect(call).rejects.toMatchObject({ name: 'AbortError', code: 'ABORT_ERR' });
    }
    expect(vol.fs.existsSync('/f')).toBe(false);
  });

  it('are written piece by piece, and stop in between at their signal', async () => {
    await using vol = open();
    const controller = new AbortController();
    async function* pieces(): AsyncGenerator<string> {
      yield 'one ';
      yield 'two';
      controller.abort();
      yield 'three';
    }
    const { signal } = controller;
    const writing = vol.fs.promises.writeFile('/f', pieces(), { signal });
    await expect(writing).rejects.toMatchObject({ name: 'AbortError' });
    expect(vol.fs.readFileSync('/f', 'utf8')).toBe('one two');
  });

  it('come in encodings', () => {
    using vol = open();
    vol.fs.writeFileSync('/f', '68690a', 'hex');
    expect(vol.fs.readFileSync('/f', 'base64')).toBe('aGkK');
    expect(vol.fs.readFileSync('/f')).toEqual(Buffer.from('hi\n'));
  });
});

describe('directories', () => {
  it('tell what their entries are, and those below', async () => {
    await using vol = open();
    const { fs } = vol;
    fs.mkdirSync('/d/e', { recursive: true });
    fs.writeFileSync('/d/e/f', '');
    fs.symlinkSync('e', '/d/l');
    const entries = await fs.promises.readdir('/d', { withFileTypes: true, recursive: true });
    const told = entries.map((entry) => {
      const kind = entry.isDirectory() ? 'directory' : entry.isFile() ? 'file' : 'other';
      return `${entry.parentPath} ${entry.name} ${entry.isSymbolicLink() ? 'link' : kind}`;
    });
    expect(told.sort()).toEqual(['/d e directory', '/d l link', '/d/e f file']);
    expect(fs.readdirSync('/d', { recursive: true }).sort()).toEqual(['e', 'e/f', 'l']);
    expect(fs.readdirSync('/d/e', 'buffer')).toEqual([Buffer.from('f')]);
  });

  it('are read entry by entry, while names come and go', async () => {
    await using vol = open();
    const { fs } = vol;
    fs.mkdirSync('/d');
    for (let i = 0; i < 400; i++) fs.writeFileSync(`/d/${i}`, '');
    const seen = new Set<string>();
    for await (const { name } of await fs.promises.opendir('/d')) {
      expect(seen.has(name)).toBe(false);
      seen.add(name);
      fs.rmSync(`/d/${name}`);
      fs.writeFileSync(`/d/new ${name}`, '');
      if (seen.size > 2000) break;
    }
    for (let i = 0; i < 400; i++) expect(seen.has(String(i))).toBe(true);
  });

  it('have names of any bytes', () => {
    using vol = open();
    const { fs } = vol;
    const name = Buffer.from([0x2f, 0xff, 0xfe]);
    fs.writeFileSync(name, 'x');
    expect(fs.readdirSync('/', 'buffer')).toEqual([name.subarray(1)]);
    expect(fs.readFileSync(name, 'utf8')).toBe('x');
  });
});

describe('attributes', () => {
  it('come as bigints, exact to the nanosecond', () => {
    using vol = open();
    const { fs } = vol;
    fs.writeFileSync('/f', 'x'.repeat(5000));
    vol.syncSync();
    fs.utimesSync('/f', '1.000000001', '1234567890.123456789');
    const stat = fs.statSync('/f', { bigint: true });
    expect([stat.atimeNs, stat.mtimeNs]).toEqual([1_000_000_001n, 1_234_567_890_123_456_789n]);
    expect([stat.size, stat.blocks, stat.mtimeMs]).toEqual([5000n, 16n, 1_234_567_890_123n]);
    expect(fs.statSync('/nothing', { throwIfNoEntry: false })).toBeUndefined();
  });

  it('count the sectors of dirty data, and of inline data, which has no blocks', () => {
    using vol = open();
    const { fs } = vol;
    const sectors = (): number => fs.statSync('/f').blocks;
    fs.writeFileSync('/f', 'x'.repeat(600));
    for (const save of [() => {}, () => vol.syncSync()]) {
      save();
      expect(sectors()).toBeGreaterThan(1);
    }
    const fd = fs.openSync('/f', 'r+');
    for (const [position, found] of [
      [65536, 16],
      [2 ** 20, 24],
      [2 ** 20 + 4096, 32],
      [65536, 32],
    ] as const) {
      fs.writeSync(fd, Buffer.alloc(4096, 'x'), 0, 4096, position);
      expect(sectors()).toBe(found);
    }
    vol.syncSync();
    expect(sectors()).toBe(32);
    // Over what is there, and then behind the end.
    fs.writeSync(fd, Buffer.alloc(4096, 'y'), 0, 4096, 2 ** 20);
    fs.ftruncateSync(fd, 4096);
    expect(sectors()).toBe(8);
    fs.writeSync(fd, Buffer.alloc(8192, 'y'), 0, 8192, 0);
    expect(sectors()).toBe(16);
    fs.closeSync(fd);
  });

  it('of the volume count its room', () => {
    using vol = open();
    const { fs } = vol;
    const before = fs.statfsSync('/');
    expect(before.bsize * before.blocks).toBeLessThanOrEqual(16 * MIB);
    fs.writeFileSync('/f', Buffer.alloc(400_000, 1));
    const after = fs.statfsSync('/', { bigint: true });
    expect(Number(after.bfree)).toBeLessThan(before.bfree - 97);
    expect(after.bfree).toBe(after.bavail);
  });

  it('follow the umask and the owner of the volume', () => {
    using vol = open();
    vol.fs.mkdirSync('/d', 0o777);
    const { mode, uid, gid } = vol.fs.statSync('/d');
    expect([mode, uid, gid]).toEqual([0o040775, 3, 4]);
  });
});

describe('close()', () => {
  it('makes durable, ends every call, and can be said twice', async () => {
    const device = new MemoryDevice({ size: 16 * MIB });
    const vol = await Volume.open(device, { create: true });
    const writing = vol.fs.promises.writeFile('/f', 'x');
    await expect(Volume.open(device)).rejects.toMatchObject({ code: 'EBUSY' });
    await vol.close();
    await writing;
    await vol.close();
    vol.closeSync();
    expect(() => vol.fs.readFileSync('/f')).toThrow("EBADF: bad file descriptor, open '/f'");
    await expect(vol.fs.promises.stat('/f')).rejects.toMatchObject({ code: 'EBADF' });
    await using again = await Volume.open(device);
    expect(again.fs.readFileSync('/f', 'utf8')).toBe('x');
  });
});
