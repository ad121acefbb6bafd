/**
 * Points: very many power cuts of one life, each judged as `cut` does it.
 *
 * A *point* is a moment and what a power cut leaves of it; choices that leave the same bytes are
 * one point. A mount is a function of the blocks that it reads: options, size and clock are the
 * same for all images of a life. So what one mount has read, in order, is kept beside what it has
 * shown, and an image that answers all those reads alike shows the same without being mounted. The
 * reads of all mounts make a tree; an image is mounted where it leaves the tree.
 */
import { expect } from 'vitest';
import { Volume, type VolumeOptions } from '../../src/api/index.ts';
import { assert, BLOCK_SIZE, checksum64, roundDown } from '../../src/base/index.ts';
import { MemoryDevice, totalLength } from '../../src/device/index.ts';
import {
  type CrashChoice,
  type CrashDevice,
  crashChoices,
  dropAll,
  type PendingWrite,
  type Random,
  SECTOR_SIZE,
} from '../../src/testing/index.ts';
import { judge } from './cut.ts';
import { namesOf } from './shown.ts';
import { type Ack, type Names, type States, textOf } from './states.ts';

const BLOCK_SECTORS = BLOCK_SIZE / SECTOR_SIZE;

/** Of the images that are mounted, those that `cut` judges too: see there. */
const AGAIN_CHANCE = 1 / 16;
/** Of the images that need no mount, those that are mounted anyway, and must show the same. */
const DOUBT_CHANCE = 1 / 2000;

/** A moment at which the power may go off. */
export interface Moment {
  readonly device: CrashDevice;
  readonly acks: readonly Ack[];
  /** The last state that an image may show. */
  readonly upper: number;
}

export interface PointCounts {
  moments: number;
  /** Choices that were drawn. */
  choices: number;
  points: number;
  /** Images that were mounted. */
  mounts: number;
  /** Of those, the ones whose mount was verified, cut off, and done again. */
  again: number;
  /** Images that did not need a mount and were mounted to see that they show the same. */
  doubted: number;
}

export function noPoints(): PointCounts {
  return { moments: 0, choices: 0, points: 0, mounts: 0, again: 0, doubted: 0 };
}

/** What a mount has shown, and the last moment that it was right for. */
interface Shown {
  readonly names: Names;
  judged: Moment | undefined;
}

/** The next blocks that a mount reads, and how it goes on for each content of them. */
interface Look {
  readonly blocks: readonly number[];
  readonly next: Map<string, Look | Shown>;
}

export interface PointsOptions {
  readonly states: States;
  readonly options: VolumeOptions;
  readonly random: Random;
  readonly counts: PointCounts;
  /** Choices that are drawn at each moment, beside the subsets of a few writes. */
  readonly samples: number;
}

export class Points {
  readonly #states: States;
  readonly #options: VolumeOptions;
  readonly #random: Random;
  readonly #counts: PointCounts;
  readonly #samples: number;
  readonly #contents = new Contents();
  #tree: Look | Shown | undefined;

  constructor({ states, options, random, counts, samples }: PointsOptions) {
    this.#states = states;
    this.#options = { ...options, now: () => 0 };
    this.#random = random;
    this.#counts = counts;
    this.#samples = samples;
  }

  /** Judges what the power may leave at one moment. Throws if it is not what it must be. */
  judge(moment: Moment): void {
    const counts = this.#counts;
    const image = new MomentImage(moment.device, this.#contents);
    const seen = new Set<string>();
    const plan = { random: this.#random, exhaustiveMax: 5, samples: this.#samples };
    counts.moments++;
    for (const choice of crashChoices(moment.device.pending.length, plan)) {
      counts.choices++;
      const content = image.choose(choice);
      if (seen.has(content)) continue;
      seen.add(content);
      counts.points++;
      this.#judge(image, moment);
    }
  }

  #judge(image: MomentImage, moment: Moment): void {
    let shown = this.#find(image);
    if (shown === undefined) {
      shown = this.#mount(image, moment);
    } else if (this.#random.chance(DOUBT_CHANCE)) {
      this.#counts.doubted++;
      const { names } = mounted(image.bytes(), this.#options);
      expect(textOf(names)).toEqual(textOf(shown.names));
    }
    if (shown.judged === moment) return;
    this.#states.match(shown.names, moment.acks, moment.upper);
    shown.judged = moment;
  }

  #find(image: MomentImage): Shown | undefined {
    let at = this.#tree;
    while (at !== undefined && 'blocks' in at) at = at.next.get(image.keyOf(at.blocks));
    return at;
  }

  #mount(image: MomentImage, { acks, upper }: Moment): Shown {
    this.#counts.mounts++;
    if (this.#random.chance(AGAIN_CHANCE)) {
      this.#counts.again++;
      const [states, options, random] = [this.#states, this.#options, this.#random];
      judge(image.bytes(), { states, options, random, acks, upper });
    }
    const { names, looks } = mounted(image.bytes(), this.#options);
    const shown = { names, judged: undefined };
    let enter = (next: Look | Shown): void => {
      this.#tree ??= next;
    };
    let at = this.#tree;
    for (const blocks of looks) {
      const look: Look | Shown = at ?? { blocks, next: new Map() };
      enter(look);
      // A mount that reads other blocks after the same answers is not a function of them.
      assert('blocks' in look && `${look.blocks}` === `${blocks}`, 'a mount does as it did');
      const key = image.keyOf(blocks);
      at = look.next.get(key);
      enter = (next) => look.next.set(key, next);
    }
    enter(shown);
    return shown;
  }
}

/** What a mount shows, and what it has read for that. The image is spoiled. */
function mounted(
  image: Uint8Array<ArrayBuffer>,
  options: VolumeOptions,
): { names: Names; looks: readonly number[][] } {
  const device = new WatchedDevice({ buffer: image.buffer });
  const volume = Volume.openSync(device, options);
  return { names: namesOf(volume), looks: device.looks };
}

/** Remembers, in order, the blocks that were read before anything was written to them. */
class WatchedDevice extends MemoryDevice {
  readonly looks: number[][] = [];
  readonly #known = new Set<number>();

  override read(position: number, buffer: Uint8Array): undefined {
    this.readv(position, [buffer]);
  }

  override readv(position: number, buffers: readonly Uint8Array[]): undefined {
    const blocks = this.#learn(position, totalLength(buffers));
    if (blocks.length > 0) this.looks.push(blocks);
    super.readv(position, buffers);
  }

  override writev(position: number, buffers: readonly Uint8Array[]): undefined {
    this.#learn(position, totalLength(buffers));
    super.writev(position, buffers);
  }

  /** The blocks that nobody has read or written yet. */
  #learn(position: number, length: number): number[] {
    const blocks: number[] = [];
    for (let at = roundDown(position, BLOCK_SIZE); at < position + length; at += BLOCK_SIZE) {
      const block = at / BLOCK_SIZE;
      if (!this.#known.has(block)) blocks.push(block);
      this.#known.add(block);
    }
    return blocks;
  }
}

/** Numbers of sectors and blocks: equal bytes have equal numbers. */
class Contents {
  readonly #sectors = new Map<bigint, number>();
  readonly #blocks = new Map<string, number>();

  sector(bytes: Uint8Array): number {
    return numberOf(this.#sectors, checksum64(bytes, 0n));
  }

  block(sectors: readonly number[]): number {
    return numberOf(this.#blocks, sectors.join());
  }
}

function numberOf<Key>(known: Map<Key, number>, key: Key): number {
  const found = known.get(key) ?? known.size;
  if (found === known.size) known.set(key, found);
  return found;
}

/** What is on the medium at a moment, and what a choice makes of it. */
class MomentImage {
  readonly #device: CrashDevice;
  readonly #durable: Uint8Array;
  readonly #contents: Contents;
  /** Numbers of the sectors of a write, by the memory that its bytes are in. */
  readonly #written = new Map<ArrayBufferLike, readonly number[]>();
  /** The sectors at stake, in order, with the numbers of what is durable there. */
  readonly #atStake = new Map<number, number>();
  readonly #durableBlocks = new Map<number, number>();
  #choice: CrashChoice = dropAll;
  #chosen = new Map<number, number>();

  constructor(device: CrashDevice, contents: Contents) {
    this.#device = device;
    this.#contents = contents;
    this.#durable = device.crash(dropAll);
    for (const { position, bytes } of device.pending) {
      const whole = bytes.byteOffset === 0 && bytes.length % SECTOR_SIZE === 0;
      assert(whole && position % SECTOR_SIZE === 0, 'a write is of whole sectors');
      const count = bytes.length / SECTOR_SIZE;
      const sectors = Array.from({ length: count }, (_, i) => contents.sector(sectorAt(bytes, i)));
      this.#written.set(bytes.buffer, sectors);
      for (let i = 0; i < count; i++) {
        const sector = position / SECTOR_SIZE + i;
        this.#atStake.set(sector, contents.sector(sectorAt(this.#durable, sector)));
      }
    }
  }

  /** Makes a choice; what it comes to is equal for choices that leave equal bytes. */
  choose(choice: CrashChoice): string {
    const survivors = choice(this.#device.pending);
    this.#choice = () => survivors;
    this.#chosen = new Map(this.#atStake);
    for (const write of survivors) this.#apply(write);
    return [...this.#chosen.values()].join();
  }

  bytes(): Uint8Array<ArrayBuffer> {
    return this.#device.crash(this.#choice) as Uint8Array<ArrayBuffer>;
  }

  /** What is in some blocks: equal keys, equal bytes. */
  keyOf(blocks: readonly number[]): string {
    return blocks.map((block) => this.#numberOf(block)).join();
  }

  #apply({ position, bytes }: PendingWrite): void {
    const sectors = this.#written.get(bytes.buffer) as readonly number[];
    const from = bytes.byteOffset / SECTOR_SIZE;
    for (let i = 0; i < bytes.length / SECTOR_SIZE; i++) {
      this.#chosen.set(position / SECTOR_SIZE + i, sectors[from + i] as number);
    }
  }

  #numberOf(block: number): number {
    const first = block * BLOCK_SECTORS;
    if (!this.#atStake.has(first)) {
      const found = this.#durableBlocks.get(block);
      if (found !== undefined) return found;
    }
    const number = this.#contents.block(
      Array.from({ length: BLOCK_SECTORS }, (_, i) => {
        const sector = first + i;
        return this.#chosen.get(sector) ?? this.#contents.sector(sectorAt(this.#durable, sector));
      }),
    );
    if (!this.#atStake.has(first)) this.#durableBlocks.set(block, number);
    return number;
  }
}

function sectorAt(bytes: Uint8Array, sector: number): Uint8Array {
  return bytes.subarray(sector * SECTOR_SIZE, (sector + 1) * SECTOR_SIZE);
}
