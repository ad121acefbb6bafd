/** The pin of a scrub: what it writes again is nobody else's meanwhile. */
import { expect, it } from 'vitest';
import { BLOCK_SIZE, errorCode, MIB } from '../../src/base/index.ts';
import { checkSync } from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { Driver } from '../../src/drive/index.ts';
import { Pin, Space } from '../../src/store/space.ts';
import { COMMON, OpenVolume } from './bench.ts';

/** A device on which something else happens after a read. */
class Interrupted extends MemoryDevice {
  interrupt: (() => void) | undefined;

  override read(position: number, bytes: Uint8Array): undefined {
    super.read(position, bytes);
    const { interrupt } = this;
    this.interrupt = undefined;
    interrupt?.();
  }

  override readv(position: number, buffers: readonly Uint8Array[]): undefined {
    let at = position;
    for (const bytes of buffers) {
      this.read(at, bytes);
      at += bytes.length;
    }
  }
}

/** Second copies of nodes: blocks that are the same as the one before. */
function copiesIn(image: Uint8Array): number[] {
  const found: number[] = [];
  const block = (i: number): Buffer => Buffer.from(image.buffer, i * BLOCK_SIZE, BLOCK_SIZE);
  for (let i = 100; i < image.length / BLOCK_SIZE - 8; i++) {
    const filled = block(i).every((byte) => byte === block(i)[0]);
    if (!filled && block(i).equals(block(i - 1))) found.push(i);
  }
  return found;
}

function fill({ fs }: OpenVolume): void {
  const fd = fs.openSync('/full', 'w');
  try {
    for (;;) fs.writeSync(fd, Buffer.alloc(BLOCK_SIZE, 7));
  } catch (error) {
    expect(errorCode(error)).toBe('ENOSPC');
  }
  fs.closeSync(fd);
}

/** A pin during whose next use, once it was found to be there, space runs out. */
function interruptedAtEnd(pin: Pin, device: Interrupted, volume: OpenVolume): Pin {
  const { space } = volume.inside.store;
  const isHeld = Object.getOwnPropertyDescriptor(Pin.prototype, 'held')?.get as () => boolean;
  const get = (): boolean => {
    Object.defineProperty(pin, 'held', { get: isHeld });
    space.pin = Space.prototype.pin;
    device.interrupt = () => {
      volume.fs.rmSync('/d', { recursive: true });
      volume.reclaimSync();
      // Twice, so that it goes around: what is kept for deleting lies elsewhere then.
      for (let i = 0; i < 2; i++) {
        fill(volume);
        for (let k = 0; k < 3; k++) volume.syncSync();
      }
    };
    return isHeld.call(pin);
  };
  return Object.defineProperty(pin, 'held', { get, configurable: true });
}

// A copy was written over data that had its place: the pin was gone since the end of the walk.
it('a copy is written again only as long as its block is pinned', async () => {
  const image = new Uint8Array(4 * MIB);
  const device = new Interrupted({ buffer: image.buffer });
  const driver = new Driver(device, { pause: async () => {} });
  const volume = await OpenVolume.on(device, driver, { ...COMMON, create: true });
  volume.fs.mkdirSync('/d');
  for (let i = 0; i < 40; i++) volume.fs.writeFileSync(`/d/${i}`, Buffer.alloc(6 * BLOCK_SIZE, i));
  for (let i = 0; i < 4; i++) volume.syncSync();
  const copies = copiesIn(image);
  expect(copies.length).toBeGreaterThan(4);
  for (const copy of copies) image.fill(0xff, copy * BLOCK_SIZE, copy * BLOCK_SIZE + 16);
  const { space } = volume.inside.store;
  const makePin = space.pin.bind(space);
  // The first walk finds what is suspected, the second one decides.
  space.pin = () => {
    const first = makePin();
    space.pin = () => interruptedAtEnd(makePin(), device, volume);
    return first;
  };
  const report = await volume.scrub();
  for (let i = 0; i < 3; i++) volume.syncSync();
  expect(report.issues.length + report.repaired.length).toBeGreaterThan(0);
  const bytes = volume.fs.readFileSync('/full') as Uint8Array;
  expect(bytes.every((byte) => byte === 7)).toBe(true);
  volume.closeSync();
  const { issues } = checkSync(MemoryDevice.from(image));
  expect(issues.filter(({ code }) => code !== 'copy-damaged')).toEqual([]);
});

// Each walk that begins takes a pin, and a writer's three commits could all fall under one.
it('walks that begin again and again leave room to a writer', async () => {
  const device = new MemoryDevice({ size: 4 * MIB });
  const driver = new Driver(device, { pause: async () => {} });
  const volume = await OpenVolume.on(device, driver, { ...COMMON, create: true });
  volume.fs.writeFileSync('/old', Buffer.alloc(2 * MIB, 1));
  for (let i = 0; i < 3; i++) volume.syncSync();
  volume.fs.rmSync('/old');
  volume.reclaimSync();
  const { space } = volume.inside.store;
  const committed = space.committed.bind(space);
  let walks = 5;
  space.committed = (closed) => {
    if (walks-- > 0) space.pin();
    committed(closed);
  };
  volume.fs.writeFileSync('/new', Buffer.alloc(2.4 * MIB, 2));
  expect(walks).toBeLessThan(2);
  volume.closeSync();
});
