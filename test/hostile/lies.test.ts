/**
 * A device that begins to lie after the mount: what it says is noticed, at any moment, and nothing
 * of it is ever handed out, or written back. When it is honest again, everything is as it was.
 */
import { afterAll, expect } from 'vitest';
import type { Volume } from '../../src/api/index.ts';
import { BLOCK_SIZE, KIB, MIB } from '../../src/base/index.ts';
import { checkSync } from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import type { Random } from '../../src/testing/index.ts';
import { Hand } from '../check/hand.ts';
import { imageOf } from '../format/golden.ts';
import { seeded } from '../volume/seeds.ts';
import { type Content, Contents } from './contents.ts';
import { LiarDevice } from './liar.ts';
import { Target } from './mutate.ts';
import { attempt, openImage, walk } from './use.ts';

const NAMES = Array.from({ length: 10 }, (_, i) => (i < 5 ? `/file ${i}` : `/directory/file ${i}`));
const STEPS = 60;

const told = new Map<string, number>();
let failed = 0;
let calls = 0;

afterAll(() => {
  const lies = [...told].map(([lie, count]) => `${count} ${lie}`).join(', ');
  process.stdout.write(`lies told: ${lies}; ${failed} of ${calls} calls failed\n`);
});

/** A volume with something in each of its files, in directories and a snapshot. */
function newVolume(random: Random, contents: Contents): Uint8Array<ArrayBuffer> {
  const device = new MemoryDevice({ size: 3 * MIB });
  const hand = Hand.format(device, { groupBlocks: 256, logBlocks: 32 });
  const directory = hand.directory(hand.root, 'directory');
  for (const name of NAMES) {
    const data = drawData(random);
    const parent = name.startsWith('/directory') ? directory : hand.root;
    hand.file(parent, name.slice(name.lastIndexOf('/') + 1), data);
    contents.set(name, [data]);
  }
  for (let i = 0; i < 40; i++) hand.file(directory, `${'long '.repeat(30)}${i}`);
  hand.clone(directory, hand.root, 'clone');
  hand.clone(hand.root, hand.snapshots, 'before', true);
  hand.commit();
  contents.settled();
  return imageOf(device);
}

function drawData(random: Random): Buffer {
  const length = random.pick([0, 50, 900, 4096, 9000, 20_000, 70 * KIB]);
  return Buffer.from(random.bytes(random.between(0, length)));
}

class LyingLife {
  readonly contents = new Contents();
  readonly device: LiarDevice;
  readonly #random: Random;
  readonly #target: Target;
  #volume: Volume;

  constructor(random: Random) {
    this.#random = random;
    const image = newVolume(random, this.contents);
    this.device = new LiarDevice(image, random.fork());
    this.#target = new Target(image);
    this.#volume = openImage(this.device, false);
  }

  /** One call, on a volume that may have to be opened first. */
  step(): void {
    const random = this.#random;
    if (random.chance(0.25)) this.#reopen();
    this.device.probability = random.pick([0, 0.02, 0.2, 0.9]);
    this.device.world = this.#target.mutation('sealed', random.below(1e6)).bytes;
    random.pick(ACTS)(this, this.#volume, random.pick(NAMES));
  }

  /** Closes, looks at what is there through lies, and opens, which is done in honesty. */
  #reopen(): void {
    this.#close();
    this.#mountThroughLies();
    this.device.probability = 0;
    this.#volume = openImage(this.device, false);
  }

  /**
   * A mount, with the replay of the log, that is lied to. It may take an older root, if both copies
   * of the newest superblock were hidden from it, so it must not write: that would be at the
   * expense of the newest.
   */
  #mountThroughLies(): void {
    const image = this.device.image();
    const liar = new LiarDevice(image, this.#random.fork());
    liar.probability = this.#random.pick([0.02, 0.2]);
    this.#call('mount', () => {
      const volume = openImage(liar, true);
      walk(volume);
      volume.closeSync();
    });
    expect(Buffer.compare(liar.image(), image)).toBe(0);
  }

  /** Lets go of the volume; what a failing close has not made durable may be lost. */
  #close(): void {
    const volume = this.#volume;
    if (this.#call('close', () => volume.closeSync())) this.contents.settled();
    else this.contents.lost();
  }

  #call(doing: string, body: () => void): boolean {
    calls++;
    const code = attempt(doing, body);
    if (code !== undefined) failed++;
    return code === undefined;
  }

  write = (volume: Volume, name: string): void => {
    const data = drawData(this.#random);
    const done = this.#call('write', () => volume.fs.writeFileSync(name, data));
    if (done) this.contents.set(name, [data]);
    else this.contents.add(name, [Buffer.alloc(0), data]);
  };

  patch = (volume: Volume, name: string): void => {
    const data = Buffer.from(this.#random.bytes(this.#random.pick([10, 4096, 6000])));
    const at = this.#random.below(20_000);
    let fd = -1;
    if (!this.#call('open for writing', () => (fd = volume.fs.openSync(name, 'r+')))) return;
    const done = this.#call('patch', () => volume.fs.writeSync(fd, data, 0, data.length, at));
    const patched = this.contents.of(name).map((each) => patchedWith(each, data, at));
    if (done) this.contents.set(name, patched);
    else this.contents.add(name, patched);
    if (this.#random.chance(0.5) && this.#call('fsync', () => volume.fs.fsyncSync(fd))) {
      this.contents.settled([name]);
    }
    this.#call('close file', () => volume.fs.closeSync(fd));
  };

  read = (volume: Volume, name: string): void => {
    let found: Content;
    const done = this.#call('read', () => {
      found = volume.fs.existsSync(name) ? volume.fs.readFileSync(name) : undefined;
    });
    // A name that cannot be looked up is not there either, to existsSync.
    if (done && found !== undefined) expect(this.contents.allows(name, found), name).toBe(true);
  };

  unlink = (volume: Volume, name: string): void => {
    if (this.#call('unlink', () => volume.fs.unlinkSync(name))) {
      this.contents.set(name, [undefined]);
    }
  };

  rename = (volume: Volume, name: string): void => {
    const other = this.#random.pick(NAMES);
    if (!this.#call('rename', () => volume.fs.renameSync(name, other)) || name === other) return;
    this.contents.copy(name, other);
    this.contents.set(name, [undefined]);
  };

  clone = (volume: Volume, name: string): void => {
    const other = this.#random.pick(NAMES);
    if (this.#call('clone', () => volume.cloneSync(name, other))) {
      this.contents.copy(name, other);
    }
  };

  sync = (volume: Volume): void => {
    if (this.#call('sync', () => volume.syncSync())) this.contents.settled();
  };

  others = (volume: Volume): void => {
    const { fs } = volume;
    this.#call('list', () => fs.readdirSync('/', { recursive: true }));
    this.#call('space', () => volume.spaceSync('/'));
    this.#call('remove', () => fs.rmSync('/clone', { recursive: true }));
    this.#call('clone again', () => volume.cloneSync('/directory', '/clone'));
    this.#call('reclaim', () => volume.reclaimSync());
  };

  /** The device is honest again: nothing of what it said has stayed anywhere. */
  end(): void {
    this.device.probability = 0;
    this.#close();
    for (const [lie, count] of this.device.told) told.set(lie, (told.get(lie) ?? 0) + count);
    const { issues } = checkSync(MemoryDevice.from(this.device.image()));
    expect(issues.filter(({ severity }) => severity === 'error')).toEqual([]);
    const volume = openImage(this.device, false);
    for (const name of NAMES) {
      const found = volume.fs.existsSync(name) ? volume.fs.readFileSync(name) : undefined;
      expect(this.contents.allows(name, found), name).toBe(true);
    }
    volume.closeSync();
    expect(checkSync(MemoryDevice.from(this.device.image())).verdict).toBe('clean');
  }
}

type Act = (life: LyingLife, volume: Volume, name: string) => void;
const ACTS: readonly Act[] = [
  (life, volume, name) => life.write(volume, name),
  (life, volume, name) => life.patch(volume, name),
  (life, volume, name) => life.patch(volume, name),
  (life, volume, name) => life.read(volume, name),
  (life, volume, name) => life.read(volume, name),
  (life, volume, name) => life.read(volume, name),
  (life, volume, name) => life.unlink(volume, name),
  (life, volume, name) => life.rename(volume, name),
  (life, volume, name) => life.clone(volume, name),
  (life, volume) => life.sync(volume),
  (life, volume) => life.others(volume),
];

function patchedWith(content: Content, data: Buffer, at: number): Content {
  if (content === undefined) return undefined;
  const patched = Buffer.alloc(Math.max(content.length, at + data.length));
  patched.set(content);
  patched.set(data, at);
  return patched;
}

seeded('what a device says is noticed, and never kept', { count: 6 }, (random) => {
  const life = new LyingLife(random);
  for (let i = 0; i < STEPS; i++) life.step();
  life.end();
  expect(life.device.size % BLOCK_SIZE).toBe(0);
});
