import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { KIB, MIB } from '../base/index.ts';
import { FileDevice } from './file.ts';
import { deviceNumbers } from './image-file.ts';

let directory: string;
let image: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ramet-file-'));
  image = join(directory, 'x.img');
});

afterEach(() => rmSync(directory, { recursive: true }));

/** True if the host has a longest file; some file systems go as far as JavaScript can count. */
const limited = (() => {
  const path = join(tmpdir(), `ramet-limit-${process.pid}`);
  try {
    writeFileSync(path, '');
    truncateSync(path, Number.MAX_SAFE_INTEGER);
    return false;
  } catch {
    return true;
  } finally {
    rmSync(path);
  }
})();

function create(size = MIB): FileDevice {
  return FileDevice.open(image, { create: true, size });
}

/** Bytes that the host has allocated for the image. */
function allocated(): number {
  return statSync(image).blocks * 512;
}

function bytesAt(device: FileDevice, position: number, length: number): number[] {
  const buffer = new Uint8Array(length).fill(0xee);
  device.read(position, buffer);
  return [...buffer];
}

describe('FileDevice.open()', () => {
  it('creates a sparse file of the size asked for', () => {
    const device = create(64 * MIB);
    expect(device.size).toBe(64 * MIB);
    expect(statSync(image).size).toBe(64 * MIB);
    expect(allocated()).toBeLessThan(MIB);
    device.close();
  });

  it('finds again what was written', () => {
    const device = create();
    device.write(4095, Uint8Array.of(1, 2));
    device.flush();
    device.close();
    const again = FileDevice.open(image, { readOnly: true });
    expect(bytesAt(again, 4094, 4)).toEqual([0, 1, 2, 0]);
    expect(again.readOnly).toBe(true);
    again.close();
  });

  it.each([undefined, 4095, 4096.5, -1])('refuses to create an image of size %s', (size) => {
    const options = { create: true, ...(size === undefined ? {} : { size }) };
    expect(() => FileDevice.open(image, options)).toThrow(RangeError);
    expect(existsSync(image)).toBe(false);
  });

  it('refuses to create a read-only image', () => {
    const options = { create: true, size: 4096, readOnly: true };
    expect(() => FileDevice.open(image, options)).toThrow(RangeError);
  });

  it('refuses to create over an existing file', () => {
    writeFileSync(image, 'mine');
    expect(() => create()).toThrow(
      expect.objectContaining({
        code: 'EEXIST',
        message: `Cannot open: ${image} exists already`,
      }),
    );
    expect(readFileSync(image, 'utf8')).toBe('mine');
  });

  it.skipIf(!limited)('leaves no file behind when creation fails', () => {
    expect(() => create(Number.MAX_SAFE_INTEGER)).toThrow(
      expect.objectContaining({ name: 'DeviceError', code: 'EFBIG' }),
    );
    expect(existsSync(image)).toBe(false);
    expect(existsSync(`${image}.owner`)).toBe(false);
    create().close();
  });

  it('says that a file is missing', () => {
    expect(() => FileDevice.open(image)).toThrow(
      expect.objectContaining({
        name: 'DeviceError',
        code: 'ENOENT',
        message: `Cannot open: ${image} does not exist`,
      }),
    );
  });

  it('says that the folder of a new image is missing', () => {
    const path = join(directory, 'none', 'x.img');
    expect(() => FileDevice.open(path, { create: true, size: MIB })).toThrow(
      `Cannot open: ${join(directory, 'none')} does not exist`,
    );
  });

  it('says that a part of the path is a file', () => {
    writeFileSync(image, '');
    expect(() => FileDevice.open(join(image, 'y'))).toThrow(
      expect.objectContaining({ code: 'ENOTDIR' }),
    );
  });

  it('says that it is a directory', () => {
    mkdirSync(image);
    expect(() => FileDevice.open(image)).toThrow(
      expect.objectContaining({
        code: 'EISDIR',
        message: `Cannot open: ${image} is a directory`,
      }),
    );
  });

  it('refuses a character device without opening it', () => {
    expect(() => FileDevice.open('/dev/null')).toThrow(
      'Cannot open: /dev/null is neither a regular file nor a block device',
    );
  });

  it.each([0, 1, 4095])('refuses a file of %d bytes', (size) => {
    writeFileSync(image, new Uint8Array(size));
    expect(() => FileDevice.open(image)).toThrow(
      expect.objectContaining({
        code: 'EINVAL',
        message: `Cannot open: ${image} has ${size} bytes, an image at least 4096`,
      }),
    );
    expect(existsSync(`${image}.owner`)).toBe(false);
  });

  it('closes everything when it fails', () => {
    writeFileSync(image, new Uint8Array(10));
    // Were the lock still held, the second error would be EBUSY.
    expect(() => FileDevice.open(image)).toThrow('has 10 bytes');
    expect(() => FileDevice.open(image)).toThrow('has 10 bytes');
  });

  it('follows a symbolic link, to one owner file', () => {
    create().close();
    const link = join(directory, 'link.img');
    symlinkSync(image, link);
    const device = FileDevice.open(link);
    expect(device.name).toBe(link);
    expect(existsSync(`${image}.owner`)).toBe(true);
    expect(() => FileDevice.open(image)).toThrow('is in use by this process');
    device.close();
    expect(existsSync(`${image}.owner`)).toBe(false);
  });
});

describe('FileDevice', () => {
  it('prepare() has the host allocate the range and nothing else', () => {
    const device = create(16 * MIB);
    device.prepare(4 * MIB + 100, MIB);
    device.flush();
    expect(allocated()).toBeGreaterThanOrEqual(MIB);
    expect(allocated()).toBeLessThan(2 * MIB);
    device.close();
  });

  it('prepare() writes nothing where this session has written', () => {
    const device = create(MIB);
    device.write(8192, new Uint8Array(4096).fill(7));
    device.prepare(4096, 16 * KIB);
    expect(bytesAt(device, 8191, 2)).toEqual([0, 7]);
    expect(bytesAt(device, 12287, 2)).toEqual([7, 0]);
    device.write(5000, Uint8Array.of(9));
    device.prepare(4096, 16 * KIB);
    expect(bytesAt(device, 5000, 1)).toEqual([9]);
    device.close();
  });

  it('prepare() replaces what an earlier session wrote', () => {
    writeFileSync(image, new Uint8Array(MIB).fill(5));
    const device = FileDevice.open(image);
    device.prepare(4096, 4096);
    expect(bytesAt(device, 4095, 2)).toEqual([5, 0]);
    expect(bytesAt(device, 8191, 2)).toEqual([0, 5]);
    device.close();
  });

  it('discard() gives the whole blocks of its range back to the host', () => {
    const device = create(16 * MIB);
    device.write(0, new Uint8Array(8 * MIB).fill(7));
    device.flush();
    expect(allocated()).toBeGreaterThanOrEqual(8 * MIB);
    device.discard(MIB - 100, 6 * MIB + 200);
    expect(allocated()).toBeLessThan(3 * MIB);
    expect(statSync(image).size).toBe(16 * MIB);
    expect(bytesAt(device, MIB - 1, 2)).toEqual([7, 0]);
    expect(bytesAt(device, 7 * MIB - 1, 2)).toEqual([0, 7]);
    // What was given back is not taken for allocated any more.
    device.prepare(2 * MIB, MIB);
    device.flush();
    expect(allocated()).toBeGreaterThanOrEqual(3 * MIB);
    device.close();
  });

  it.each([
    ['is not installed', 'exit 127', 'ENOTSUP'],
    ['is one that cannot', 'echo "unrecognized option" >&2; exit 1', 'ENOTSUP'],
    [
      'meets a file system without holes',
      'echo "x: Operation not supported" >&2; exit 1',
      'ENOTSUP',
    ],
    ['fails', 'echo "x: Input/output error" >&2; exit 1', 'EIO'],
  ])('discard() says so if the program for it %s', (what, script, code) => {
    const device = create();
    device.write(0, new Uint8Array(MIB).fill(7));
    const bin = join(directory, 'bin');
    mkdirSync(bin);
    const path = join(bin, 'fallocate');
    if (what !== 'is not installed') writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    const { PATH } = process.env;
    process.env['PATH'] = bin;
    try {
      const wanted = { name: 'DeviceError', code, operation: 'discard', position: 4096 };
      expect(() => device.discard(4096, 8192)).toThrow(expect.objectContaining(wanted));
      expect(() => device.discard(5000, 100)).not.toThrow();
    } finally {
      process.env['PATH'] = PATH;
    }
    expect(bytesAt(device, 4096, 2)).toEqual([7, 7]);
    device.close();
  });

  it('grow() makes the file longer and sparse', () => {
    const device = create();
    device.grow(64 * MIB);
    expect(statSync(image).size).toBe(64 * MIB);
    expect(allocated()).toBeLessThan(MIB);
    device.close();
  });

  it.skipIf(!limited)('grow() that the host refuses changes nothing', () => {
    const device = create();
    expect(() => device.grow(Number.MAX_SAFE_INTEGER)).toThrow(
      expect.objectContaining({ name: 'DeviceError', code: 'EFBIG' }),
    );
    expect(device.size).toBe(MIB);
    device.close();
  });

  it('read() of a file that was cut short behind our back is EIO', () => {
    const device = create();
    truncateSync(image, 5000);
    expect(() => device.read(4096, new Uint8Array(4096))).toThrow(
      expect.objectContaining({
        code: 'EIO',
        message: 'Cannot read 4096 bytes at 0x1000: the host stopped after 904 bytes',
      }),
    );
    device.close();
  });
});

describe('deviceNumbers()', () => {
  it.each([
    [0x0801, 8, 1],
    [0xfe00, 254, 0],
    [0x10_0305, 3, 0x105],
    [2 ** 32 * 0x1000 + 0x0123, 0x1001, 0x23],
  ])('takes %d apart', (device, major, minor) => {
    expect(deviceNumbers(device)).toEqual({ major, minor });
  });
});
