/**
 * Power cuts while a file is overwritten in place by several at once, on a device that answers in
 * any order: at every moment, what an fsync that has ended had found is there, sector by sector or
 * newer, and a clone that is there is what it was.
 */
import { afterAll, afterEach, vi } from 'vitest';
import { constants } from '../../src/api/flags.ts';
import { Volume } from '../../src/api/index.ts';
import { MIB } from '../../src/base/index.ts';
import { type Completion, type Device, MemoryDevice } from '../../src/device/index.ts';
import type { Random } from '../../src/testing/index.ts';
import { LogRecords } from '../../src/volume/log-records.ts';
import { COMMON } from '../api/bench.ts';
import { seeded } from '../volume/seeds.ts';

const { O_RDWR, O_DIRECT } = constants;
const B = 4096;
const SECTOR = 512;
const BLOCKS = 24;
const VOLUME = { ...COMMON, cacheBytes: 4 * MIB };

interface Written {
  readonly position: number;
  readonly bytes: Uint8Array;
  completed: boolean;
}

/** Answers after a while that is drawn. A flush makes durable what was complete when it began. */
class LateDevice implements Device {
  readonly name = 'late';
  readonly readOnly = false;
  sync = true;
  readonly #memory: MemoryDevice;
  readonly #random: Random;
  /** What a power cut cannot take. */
  readonly durable: Uint8Array;
  #written: Written[] = [];

  constructor(size: number, random: Random) {
    this.#memory = MemoryDevice.from(new Uint8Array(size));
    this.durable = new Uint8Array(size);
    this.#random = random;
  }

  get size(): number {
    return this.#memory.size;
  }

  read(position: number, buffer: Uint8Array): Completion {
    return this.readv(position, [buffer]);
  }

  readv(position: number, buffers: readonly Uint8Array[]): Completion {
    return this.#later(() => this.#memory.readv(position, buffers));
  }

  write(position: number, buffer: Uint8Array): Completion {
    return this.writev(position, [buffer]);
  }

  writev(position: number, buffers: readonly Uint8Array[]): Completion {
    const bytes = new Uint8Array(Buffer.concat(buffers));
    const written = { position, bytes, completed: false };
    this.#written.push(written);
    return this.#later(() => {
      written.completed = true;
      return this.#memory.writev(position, buffers);
    });
  }

  flush(): Completion {
    const covered = this.#written.filter(({ completed }) => completed);
    return this.#later(() => {
      // Another flush may have covered some of it meanwhile, and what went over that.
      const left = this.#written.filter((each) => !covered.includes(each));
      for (const each of this.#written) {
        if (covered.includes(each)) this.durable.set(each.bytes, each.position);
      }
      this.#written = left;
    });
  }

  discard(): Completion {
    return undefined;
  }

  prepare(): Completion {
    return undefined;
  }

  grow(): Completion {
    return undefined;
  }

  close(): Completion {
    return undefined;
  }

  /** What is left if the power goes now: each sector that no flush has covered, with a chance. */
  cut(random: Random, chance: number): Uint8Array {
    const image = this.durable.slice();
    for (const { position, bytes } of this.#written) {
      for (let at = 0; at < bytes.length; at += SECTOR) {
        if (random.chance(chance)) image.set(bytes.subarray(at, at + SECTOR), position + at);
      }
    }
    return image;
  }

  #later(work: () => void): Completion {
    if (this.sync) {
      work();
      return undefined;
    }
    return ticks(this.#random.between(1, 6)).then(work);
  }
}

async function ticks(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** A block that says in each of its words which it is, and how often it was written. */
function stamp(block: number, version: number): Uint8Array {
  return new Uint8Array(new Uint32Array(B / 4).fill(block * 65536 + version).buffer);
}

type FileHandle = Awaited<ReturnType<Volume['fs']['promises']['open']>>;

class Play {
  readonly #random: Random;
  readonly #device: LateDevice;
  readonly #volume: Volume;
  /** Of each block: the last version that was asked for, that is written, and that is durable. */
  readonly #asked = new Array<number>(BLOCKS).fill(0);
  readonly #written = new Array<number>(BLOCKS).fill(0);
  readonly #durable = new Array<number>(BLOCKS).fill(0);
  readonly #clones = new Map<string, Buffer>();
  #handles: FileHandle[] = [];
  cuts = 0;
  clonesSeen = 0;

  constructor(random: Random) {
    this.#random = random;
    this.#device = new LateDevice(4 * MIB, random.fork());
    this.#volume = Volume.openSync(this.#device, { ...VOLUME, create: true });
    const { fs } = this.#volume;
    this.#volume.setInplaceSync('/', true);
    fs.writeFileSync('/f', Buffer.concat(this.#asked.map((_, block) => stamp(block, 0))));
    const fd = fs.openSync('/f', 'r+');
    for (let i = 0; i < 3; i++) {
      fs.writeSync(fd, stamp(0, 0), 0, B, 0);
      this.#volume.syncSync();
    }
    this.#device.sync = false;
  }

  async perform(): Promise<void> {
    for (const flags of ['r+', O_RDWR | O_DIRECT]) {
      this.#handles.push(await this.#volume.fs.promises.open('/f', flags));
    }
    await Promise.all([
      ...[0, 1, 2].map((own) => this.#write(own)),
      this.#sync(),
      this.#sync(),
      this.#read(),
      this.#clone(),
      this.#commit(),
    ]);
  }

  async #write(own: number): Promise<void> {
    for (let i = 0; i < 40; i++) {
      const block = this.#random.below(BLOCKS / 3) * 3 + own;
      const version = (this.#asked[block] as number) + 1;
      this.#asked[block] = version;
      await this.#io('write', stamp(block, version), block * B);
      this.#written[block] = version;
      if (this.#random.chance(0.5)) await ticks(this.#random.below(8));
    }
  }

  async #io(what: 'read' | 'write', bytes: Uint8Array, at: number): Promise<void> {
    const handle = this.#random.pick(this.#handles);
    if (what === 'read') await handle.read(bytes, 0, bytes.length, at);
    else await handle.write(bytes, 0, bytes.length, at);
  }

  async #sync(): Promise<void> {
    for (let i = 0; i < 25; i++) {
      const found = this.#written.slice();
      const call = this.#random.pick(['sync', 'datasync'] as const);
      await this.#random.pick(this.#handles)[call]();
      found.forEach((version, block) => {
        this.#durable[block] = Math.max(version, this.#durable[block] as number);
      });
      this.#cut();
      await ticks(this.#random.below(12));
    }
  }

  async #read(): Promise<void> {
    for (let i = 0; i < 60; i++) {
      const first = this.#random.below(BLOCKS - 4);
      const least = this.#written.slice();
      const bytes = new Uint8Array(4 * B);
      await this.#io('read', bytes, first * B);
      for (let k = 0; k < 4; k++) {
        const words = new Uint32Array(bytes.buffer, k * B, B / 4);
        const version = (words[0] as number) - (first + k) * 65536;
        const most = this.#asked[first + k] as number;
        const fits = version >= (least[first + k] as number) && version <= most;
        if (!fits || !words.every((word) => word === words[0])) {
          throw new Error(`a reader saw version ${version} of block ${first + k}, torn or old`);
        }
      }
      await ticks(this.#random.below(4));
    }
  }

  async #clone(): Promise<void> {
    const { fs } = this.#volume;
    for (let i = 0; i < 4; i++) {
      await ticks(this.#random.between(10, 120));
      const path = `/c${i}`;
      await this.#volume.clone('/f', path);
      this.#clones.set(path, (await fs.promises.readFile(path)) as Buffer);
      await ticks(this.#random.between(10, 60));
      await fs.promises.unlink(path);
      await this.#volume.reclaim();
    }
  }

  async #commit(): Promise<void> {
    for (let i = 0; i < 12; i++) {
      await ticks(this.#random.between(5, 40));
      await this.#volume.sync();
      this.#cut();
    }
  }

  #cut(): void {
    for (const chance of [0, 0.5]) {
      this.cuts++;
      const image = this.#device.cut(this.#random, chance);
      using later = Volume.openSync(MemoryDevice.from(image), VOLUME);
      this.#judgeFile(later.fs.readFileSync('/f') as Buffer);
      for (const [path, bytes] of this.#clones) {
        if (!later.fs.existsSync(path)) continue;
        this.clonesSeen++;
        if (!bytes.equals(later.fs.readFileSync(path) as Buffer))
          throw new Error(`${path} changed`);
      }
    }
  }

  #judgeFile(bytes: Buffer): void {
    for (let at = 0; at < BLOCKS * B; at += SECTOR) {
      const block = Math.floor(at / B);
      const version = bytes.readUInt32LE(at) - block * 65536;
      const [least, most] = [this.#durable[block] as number, this.#asked[block] as number];
      if (version >= least && version <= most) continue;
      throw new Error(`sector ${at / SECTOR} has version ${version}, not ${least} to ${most}`);
    }
  }
}

let cuts = 0;
let clones = 0;
let overwrites = 0;
const { overwritten } = LogRecords.prototype;

afterEach(() => vi.restoreAllMocks());

async function playOnce(random: Random): Promise<void> {
  const spy = vi.spyOn(LogRecords.prototype, 'overwritten').mockImplementation(function (
    this: LogRecords,
    vnode,
  ) {
    overwrites++;
    overwritten.call(this, vnode);
  });
  const played = new Play(random);
  await played.perform();
  cuts += played.cuts;
  clones += played.clonesSeen;
  spy.mockRestore();
}

afterAll(() => process.stdout.write(`${cuts} cuts, ${clones} clones, ${overwrites} overwrites\n`));

// The third has an fsync that finds nothing dirty any more, since another one, which had to wait
// too when it began, has just sent it on its way.
seeded('what an fsync has found is there', { count: 3 }, playOnce);
