/** Data that frames of the log name: damage of it is found, and a torn last frame is none. */
import { expect, it } from 'vitest';
import { Volume } from '../../src/api/index.ts';
import { checkSync } from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { COMMON } from '../api/bench.ts';
import { volumeOn } from '../crash/tape-volume.ts';

/** More than the log takes itself. */
const SIZE = 40_000;

/** Two frames, each with the data of a file, and where that is. */
function pending(): { image: Uint8Array; addresses: number[] } {
  const { tape, volume } = volumeOn();
  const addresses = ['a', 'b'].map((name) => {
    volume.fs.writeFileSync(`/${name}`, new Uint8Array(SIZE).fill(7));
    const fd = volume.fs.openSync(`/${name}`, 'r+');
    volume.fs.fsyncSync(fd);
    volume.fs.closeSync(fd);
    return volume.extentsSync(`/${name}`)[0]?.address as number;
  });
  return { image: tape.image(), addresses };
}

function damaged(which: number): Uint8Array {
  const { image, addresses } = pending();
  image[(addresses[which] as number) + 10] = 1;
  return image;
}

it('is whole', () => {
  const { issues } = checkSync(MemoryDevice.from(pending().image));
  expect(issues).toMatchObject([{ code: 'log-pending', frames: 2 }]);
});

it('is damaged in an older frame: the file that a mount gives it cannot be read', () => {
  const image = damaged(0);
  const { issues, verdict } = checkSync(MemoryDevice.from(image));
  expect(verdict).toBe('errors');
  expect(issues).toMatchObject([
    { code: 'checksum', what: 'data block of the log' },
    { code: 'log-pending', frames: 2 },
  ]);
  const without = checkSync(MemoryDevice.from(image), { data: false });
  expect(without.verdict).toBe('warnings');
  const volume = Volume.openSync(MemoryDevice.from(image), COMMON);
  expect(() => volume.fs.readFileSync('/a')).toThrow(/EIO/u);
  expect(volume.fs.readFileSync('/b')).toHaveLength(SIZE);
  volume.closeSync();
});

it('is damaged in the last frame, which then was torn', () => {
  const image = damaged(1);
  const { issues } = checkSync(MemoryDevice.from(image));
  expect(issues).toMatchObject([{ code: 'log-pending', frames: 1 }]);
  const volume = Volume.openSync(MemoryDevice.from(image), COMMON);
  expect(volume.fs.readdirSync('/')).toEqual(['a']);
  volume.closeSync();
});
