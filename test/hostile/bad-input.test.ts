/**
 * Bad input of every kind gets one error with its errno, and the image is what it was.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BLOCK_SIZE, MIB } from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { Volume } from '../../src/index.ts';
import { ImageEditor, SuperblockAt } from '../check/image-editor.ts';
import { goldenImage } from '../format/golden.ts';
import { errnoOf, openImage } from './use.ts';

/** The errno of what `body` throws; it must throw. */
function errno(body: () => unknown): string {
  try {
    body();
  } catch (error) {
    return errnoOf(error, 'bad input');
  }
  throw new Error('Nothing was thrown');
}

describe('what is no image', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'ramet-bad-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const IMAGE = goldenImage();

  /** The errno of opening a file with these bytes, which it leaves as they are. */
  function opening(bytes: Uint8Array): string {
    const path = join(folder, 'image');
    writeFileSync(path, bytes);
    const codes = [true, false].map((readOnly) => errno(() => Volume.openSync(path, { readOnly })));
    expect(Buffer.compare(readFileSync(path), bytes)).toBe(0);
    expect(codes[1]).toBe(codes[0]);
    return codes[0] as string;
  }

  it('is not there', () => {
    expect(errno(() => Volume.openSync(join(folder, 'nothing')))).toBe('ENOENT');
    expect(errno(() => Volume.openSync(folder))).toBe('EISDIR');
  });

  it.each([0, 1, 100, BLOCK_SIZE, 8 * BLOCK_SIZE, MIB])('is %i zeros', (length) => {
    expect(opening(new Uint8Array(length))).toBe('EINVAL');
  });

  it('is cut off anywhere', () => {
    for (let length = 5000; length < IMAGE.length; length += 37_777) {
      expect(opening(IMAGE.slice(0, length)), `${length} bytes`).toMatch(/^(?:EIO|EINVAL)$/u);
    }
  });

  it('is of a newer format', () => {
    const editor = new ImageEditor(IMAGE);
    for (let ring = 0; ring < 4; ring++) {
      editor.view.setUint16(ring * BLOCK_SIZE + SuperblockAt.MAJOR, 9, true);
      editor.sealSuperblock(ring);
    }
    expect(opening(editor.bytes)).toBe('EINVAL');
  });

  it('has nothing but damaged superblocks', () => {
    const editor = new ImageEditor(IMAGE);
    for (const block of editor.superblocks) editor.block(block)[200] = 77;
    expect(opening(editor.bytes)).toBe('EIO');
  });
});

describe('calls that cannot be', () => {
  const device = MemoryDevice.from(goldenImage());
  const { fs } = openImage(device, false);

  const CALLS: readonly (readonly [string, string, () => unknown])[] = [
    ['a name too long', 'ENAMETOOLONG', () => fs.writeFileSync(`/${'x'.repeat(256)}`, '')],
    ['a path too long', 'ENAMETOOLONG', () => fs.statSync('/x'.repeat(2100))],
    ['a file as a directory', 'ENOTDIR', () => fs.readdirSync('/empty')],
    ['what is below a file', 'ENOTDIR', () => fs.statSync('/empty/below')],
    ['reading a directory', 'EISDIR', () => fs.readFileSync('/directory')],
    ['a directory that is not empty', 'ENOTEMPTY', () => fs.rmdirSync('/directory')],
    ['a directory below itself', 'EINVAL', () => fs.renameSync('/directory', '/directory/x')],
    ['a descriptor that is not open', 'EBADF', () => fs.fstatSync(99)],
    ['writing to a snapshot', 'EROFS', () => snapshot().fs.writeFileSync('/new', '')],
    ['a size beyond the largest', 'EFBIG', () => fs.truncateSync('/empty', 2 ** 53 - 1)],
  ];

  function snapshot(): { fs: typeof fs } {
    return openImage(MemoryDevice.from(goldenImage()), true).openSnapshotSync('before');
  }

  it.each(CALLS)('%s: %s', (_what, code, call) => {
    expect(errno(call)).toBe(code);
  });

  it('a loop of symbolic links: ELOOP', () => {
    fs.symlinkSync('loop-b', '/loop-a');
    fs.symlinkSync('loop-a', '/loop-b');
    expect(errno(() => fs.readFileSync('/loop-a'))).toBe('ELOOP');
    expect(errno(() => fs.statSync('/loop-a/x'))).toBe('ELOOP');
    expect(fs.lstatSync('/loop-a').isSymbolicLink()).toBe(true);
  });

  it.each([
    ['NUL in a name', () => fs.statSync('/a\0b'), 'ERR_INVALID_ARG_VALUE'],
    ['a negative size', () => fs.ftruncateSync(fs.openSync('/empty', 'r+'), Number.NaN), 'ERR_'],
    ['a negative length', () => fs.readSync(3, Buffer.alloc(4), 0, -1, 0), 'ERR_OUT_OF_RANGE'],
    ['an offset beyond', () => fs.readSync(3, Buffer.alloc(4), 9, 1, 0), 'ERR_OUT_OF_RANGE'],
  ] as const)('%s is what it is for node:fs', (_what, call, code) => {
    expect(call).toThrow(expect.objectContaining({ code: expect.stringContaining(code) }));
  });

  it('changes nothing on a device that is read-only', () => {
    const bytes = goldenImage();
    const volume = openImage(MemoryDevice.from(bytes), true);
    expect(errno(() => volume.fs.writeFileSync('/new', ''))).toBe('EROFS');
    expect(errno(() => volume.fs.rmSync('/empty'))).toBe('EROFS');
    expect(errno(() => volume.cloneSync('/directory', '/again'))).toBe('EROFS');
    expect(errno(() => volume.snapshotSync('late'))).toBe('EROFS');
    volume.closeSync();
    expect(Buffer.compare(bytes, goldenImage())).toBe(0);
  });
});

describe('a full volume', () => {
  it('says ENOSPC, and deleting always works', () => {
    const device = new MemoryDevice({ size: MIB });
    const volume = Volume.openSync(device, { create: true, commitIntervalMs: 0 }) as Volume;
    const { fs } = volume;
    const fill = (): number => {
      for (let i = 0; ; i++) {
        try {
          fs.writeFileSync(`/file ${i}`, Buffer.alloc(20_000, i));
          volume.syncSync();
        } catch (error) {
          expect(errnoOf(error, 'fill')).toBe('ENOSPC');
          return i;
        }
      }
    };
    const first = fill();
    expect(first).toBeGreaterThan(10);
    for (const name of fs.readdirSync('/')) fs.rmSync(`/${name}`);
    volume.syncSync();
    expect(fill()).toBe(first);
    for (const name of fs.readdirSync('/')) fs.rmSync(`/${name}`);
    volume.closeSync();
  });
});
