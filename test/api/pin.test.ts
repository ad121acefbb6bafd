/** Pinned files: their blocks stay what they are, and what would not let them is refused. */
import { describe, expect, it } from 'vitest';
import { Volume } from '../../src/api/index.ts';
import { BLOCK_SIZE as B, MIB } from '../../src/base/index.ts';
import { checkSync } from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { Random } from '../../src/testing/index.ts';
import { COMMON } from './bench.ts';

const noise = (length: number, seed: number): Buffer => Buffer.from(new Random(seed).bytes(length));

interface Made {
  readonly device: MemoryDevice;
  readonly volume: Volume;
  readonly fd: number;
  readonly bytes: Buffer;
}

/** A volume with `/d/swap`, which can be pinned, and `/other`, each of so many blocks. */
function made(blocks = 300): Made {
  const device = new MemoryDevice({ size: 16 * MIB });
  const volume = Volume.openSync(device, { ...COMMON, create: true, cacheBytes: 4 * MIB });
  volume.fs.mkdirSync('/d');
  volume.setInplaceSync('/d', true);
  const bytes = noise(blocks * B, 1);
  volume.fs.writeFileSync('/d/swap', bytes);
  volume.fs.writeFileSync('/other', bytes);
  const fd = volume.fs.openSync('/d/swap', 'r+');
  return { device, volume, fd, bytes };
}

function codeOf(call: () => unknown): unknown {
  try {
    call();
    return 'ok';
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
}

type Refused = (made: Made) => unknown;

const REFUSED: readonly (readonly [string, Refused])[] = [
  ['a clone of it', ({ volume }) => volume.cloneSync('/d/swap', '/x')],
  ['a clone of what is above it', ({ volume }) => volume.cloneSync('/d', '/x')],
  ['a snapshot', ({ volume }) => volume.snapshotSync('s')],
  ['a copy, which would share', ({ volume }) => volume.fs.copyFileSync('/d/swap', '/x')],
  ['ranges from it', ({ volume }) => volume.cloneRangeSync('/d/swap', '/other')],
  ['ranges to it', ({ volume }) => volume.cloneRangeSync('/other', '/d/swap')],
  ['a dedupe of it', ({ volume }) => volume.dedupeRangeSync('/d/swap', '/other')],
  ['a dedupe with it', ({ volume }) => volume.dedupeRangeSync('/other', '/d/swap')],
  ['another length', ({ volume, fd }) => volume.fs.ftruncateSync(fd, B)],
  ['a longer one', ({ volume, fd }) => volume.fs.ftruncateSync(fd, 400 * B)],
  ['data behind its end', ({ volume, fd }) => volume.fs.writeSync(fd, 'x', 300 * B)],
  ['a hole', ({ volume, fd }) => volume.punchSync(fd, 0, B)],
  ['zeros', ({ volume, fd }) => volume.zeroRangeSync(fd, 0, B)],
  ['space', ({ volume, fd }) => volume.allocateSync(fd, 0, 400 * B)],
  ['a shorter order', ({ volume, fd }) => volume.collapseRangeSync(fd, 0, B)],
  ['a longer order', ({ volume, fd }) => volume.insertRangeSync(fd, 0, B)],
  ['copying again', ({ volume, fd }) => volume.setInplaceSync(fd, false)],
];

describe('a file that is pinned', () => {
  it.each(REFUSED)('refuses %s, until it is released', (_, call) => {
    const file = made();
    const { volume, fd, bytes } = file;
    const pinned = volume.pinSync(fd);
    expect(codeOf(() => call(file))).toBe('ETXTBSY');
    expect(bytes.equals(volume.fs.readFileSync('/d/swap') as Buffer)).toBe(true);
    expect(volume.extentsSync('/d/swap')).toEqual(pinned.extents);
    pinned.releaseSync();
    expect(codeOf(() => call(file))).toBe('ok');
  });

  it('has its blocks where it says, and keeps them through writes and commits', () => {
    const { device, volume, fd, bytes } = made();
    using pinned = volume.pinSync(fd);
    const image = new Uint8Array(device.size);
    const expectThere = (): void => {
      device.read(0, image);
      for (const { offset, length, address } of pinned.extents) {
        const there = Buffer.from(image.subarray(address, (address as number) + length));
        expect(there.equals(bytes.subarray(offset, offset + length))).toBe(true);
      }
    };
    expectThere();
    const random = new Random(3);
    for (let i = 0; i < 30; i++) {
      const at = random.below(299 * B);
      const data = noise(random.between(1, B), i);
      data.copy(bytes, at);
      volume.fs.writeSync(fd, data, 0, data.length, at);
      if (i % 5 === 0) volume.fs.fdatasyncSync(fd);
      if (i % 7 === 0) volume.syncSync();
    }
    volume.cloneSync('/other', '/another');
    volume.defragSync('/');
    volume.fs.renameSync('/d/swap', '/d/renamed');
    volume.syncSync();
    expectThere();
    expect(volume.extentsSync('/d/renamed')).toEqual(pinned.extents);
    expect(checkSync(device).issues).toEqual([]);
  });

  it('is copied out byte by byte', () => {
    const { volume, fd, bytes } = made(20);
    using _ = volume.pinSync(fd);
    volume.fs.writeFileSync('/x', '');
    expect(volume.copyRangeSync('/d/swap', '/x')).toBe(20 * B);
    expect(bytes.equals(volume.fs.readFileSync('/x') as Buffer)).toBe(true);
  });

  it('shows what others have written to its blocks once it is released', () => {
    const { device, volume, fd, bytes } = made(8);
    const pinned = volume.pinSync(fd);
    volume.fs.readFileSync('/d/swap');
    const page = noise(B, 9);
    page.copy(bytes, 3 * B);
    const extent = pinned.extents.find(
      ({ offset, length }) => 3 * B >= offset && 3 * B < offset + length,
    );
    device.write((extent?.address as number) + 3 * B - (extent?.offset as number), page);
    pinned.releaseSync();
    expect(bytes.equals(volume.fs.readFileSync('/d/swap') as Buffer)).toBe(true);
  });

  it('stays so when it loses its name and is closed, and is gone when it is released', () => {
    const { device, volume, fd } = made(8);
    const free = volume.fs.statfsSync('/').bfree;
    const pinned = volume.pinSync(fd);
    volume.fs.closeSync(fd);
    volume.fs.rmSync('/d', { recursive: true });
    expect(codeOf(() => volume.snapshotSync('s'))).toBe('ok');
    expect(pinned.valid).toBe(true);
    pinned.releaseSync();
    pinned.releaseSync();
    volume.deleteSnapshotSync('s');
    volume.reclaimSync();
    volume.syncSync();
    expect(volume.fs.statfsSync('/').bfree).toBeGreaterThan(free);
    expect(checkSync(device).issues).toEqual([]);
  });

  it('can be pinned by promises, and ends with the volume', async () => {
    const { device, volume, fd } = made(8);
    await using pinned = await volume.pin(fd);
    expect(pinned.extents.length).toBeGreaterThan(0);
    volume.closeSync();
    using later = Volume.openSync(device, COMMON);
    later.snapshotSync('s');
  });
});

describe('pin() refuses', () => {
  it.each<readonly [string, string, Refused]>([
    ['a file that is copied on write', 'EINVAL', ({ volume }) => volume.pinSync('/other')],
    ['a directory', 'EISDIR', ({ volume }) => volume.pinSync('/d')],
    ['nothing', 'ENOENT', ({ volume }) => volume.pinSync('/nothing')],
    [
      'a file in its inode',
      'EINVAL',
      ({ volume }) => {
        volume.fs.writeFileSync('/d/small', 'x');
        volume.pinSync('/d/small');
      },
    ],
    [
      'a hole',
      'EINVAL',
      ({ volume, fd }) => {
        volume.punchSync(fd, 5 * B, B);
        volume.pinSync(fd);
      },
    ],
    [
      'a block with a checksum',
      'EINVAL',
      ({ volume }) => {
        volume.syncSync();
        volume.setInplaceSync('/other', true);
        volume.pinSync('/other');
      },
    ],
    [
      'a file that a clone shares',
      'ETXTBSY',
      ({ volume, fd }) => {
        volume.cloneSync('/d/swap', '/x');
        volume.pinSync(fd);
      },
    ],
    [
      'a file of which a clone shares a block',
      'ETXTBSY',
      ({ volume, fd }) => {
        volume.cloneRangeSync('/d/swap', '/other', { sourceOffset: B, offset: 0, length: B });
        volume.pinSync(fd);
      },
    ],
    [
      'a file in a snapshot that is kept',
      'ETXTBSY',
      ({ volume, fd }) => {
        volume.snapshotSync('s');
        volume.pinSync(fd);
      },
    ],
    [
      'a file twice',
      'EBUSY',
      ({ volume, fd }) => {
        volume.pinSync(fd);
        volume.pinSync(fd);
      },
    ],
  ])('%s', (_, code, call) => {
    const file = made(8);
    expect(codeOf(() => call(file))).toBe(code);
    if (code === 'EBUSY') return;
    // What was refused has left nothing behind.
    file.volume.snapshotSync('later');
    file.volume.fs.ftruncateSync(file.fd, 0);
  });
});
