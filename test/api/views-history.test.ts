/**
 * Views and everything else that is done to a file, in any order, beside a model: the file as
 * bytes, and for each view that can be stored to what it shows and what of that is stored.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { constants } from '../../src/api/flags.ts';
import type { FileView, WritableFileView } from '../../src/api/index.ts';
import { Volume } from '../../src/api/index.ts';
import { BLOCK_SIZE, MIB } from '../../src/base/index.ts';
import { checkSync } from '../../src/check/index.ts';
import { type Device, MemoryDevice } from '../../src/device/index.ts';
import { FileDevice } from '../../src/device/node.ts';
import type { Random } from '../../src/testing/index.ts';
import { seeded } from '../volume/seeds.ts';
import { COMMON } from './bench.ts';

const MOST = 40 * BLOCK_SIZE;

/** A view that can be stored to, beside what it should show and what the file had. */
interface Staged {
  readonly view: WritableFileView;
  readonly offset: number;
  bytes: Buffer;
  known: Buffer;
  alive: boolean;
}

/** A view that is read, and what the file was when it was made. */
interface Seen {
  readonly view: FileView;
  readonly bytes: Buffer;
}

class Life {
  readonly device: Device;
  readonly volume: Volume;
  readonly fd: number;
  readonly direct: number;
  file: Buffer;
  staged: Staged[] = [];
  seen: Seen[] = [];
  clones: Buffer[] = [];
  readonly random: Random;

  constructor(random: Random, device: Device) {
    this.random = random;
    this.device = device;
    this.volume = Volume.openSync(this.device, { ...COMMON, create: true });
    const { fs } = this.volume;
    this.fd = fs.openSync('/f', 'w+');
    this.direct = fs.openSync('/f', constants.O_RDWR | constants.O_DIRECT);
    this.file = this.#bytes(30 * BLOCK_SIZE + 100);
    fs.writeSync(this.fd, this.file, 0, this.file.length, 0);
  }

  #bytes(length: number): Buffer {
    return Buffer.from(Uint8Array.from({ length }, () => this.random.below(256)));
  }

  #range(most = 6 * BLOCK_SIZE): { offset: number; length: number } {
    const offset = this.random.below(this.file.length - 1);
    const length = 1 + this.random.below(Math.min(most, this.file.length - offset));
    return { offset, length };
  }

  #blocks(): { offset: number; length: number } {
    const blocks = Math.floor(this.file.length / BLOCK_SIZE);
    const first = this.random.below(blocks - 2);
    const length = BLOCK_SIZE * (1 + this.random.below(Math.min(4, blocks - first - 1)));
    return { offset: first * BLOCK_SIZE, length };
  }

  /** What is stored gets into the file, and then what the file has into the views. */
  settle(): void {
    const last = ({ bytes, offset }: Staged): number =>
      Math.min(bytes.length, this.file.length - offset);
    for (const each of this.staged) {
      const { bytes, known, offset } = each;
      for (let i = 0; i < last(each); i++) {
        if (bytes[i] !== known[i]) this.file[offset + i] = bytes[i] as number;
      }
    }
    this.staged = this.staged.filter(({ alive }) => alive);
    for (const each of this.staged) {
      this.file.copy(each.bytes, 0, each.offset, each.offset + last(each));
      each.bytes.copy(each.known);
    }
  }

  forget(start: number, end: number, revoked: (each: Staged) => boolean): void {
    for (const each of this.staged) {
      const from = Math.max(0, start - each.offset);
      const to = Math.min(each.bytes.length, end - each.offset);
      if (from >= to) continue;
      each.bytes.fill(0, from, to);
      each.known.fill(0, from, to);
      if (revoked(each)) each.alive = false;
    }
  }

  step(): void {
    const { volume, random } = this;
    const { fs } = volume;
    const what = random.pick([
      ...['write', 'write', 'store', 'store', 'store', 'map', 'view', 'release', 'sync'],
      ...['commit', 'fsync', 'clone', 'punch', 'zero', 'truncate', 'grow', 'collapse', 'insert'],
    ]);
    if (what === 'write') {
      const { offset, length } = this.#range();
      const data = this.#bytes(length);
      fs.writeSync(random.pick([this.fd, this.direct]), data, 0, length, offset);
      data.copy(this.file, offset);
    } else if (what === 'map' && this.staged.length < 4) this.#map();
    else if (what === 'view' && this.seen.length < 4) this.#look();
    else if (what === 'store') this.#store();
    else if (what === 'release') this.#release();
    else this.#change(what);
  }

  #map(): void {
    const { offset, length } = this.#range(12 * BLOCK_SIZE);
    const view = this.volume.mapSync(this.fd, offset, length, { write: true });
    const bytes = Buffer.from(this.file.subarray(offset, offset + length));
    this.staged.push({ view, offset, bytes, known: Buffer.from(bytes), alive: true });
  }

  #look(): void {
    const { offset, length } = this.#range(20 * BLOCK_SIZE);
    const view = this.volume.mapSync(this.fd, offset, length, { checked: true });
    this.seen.push({ view, bytes: Buffer.from(this.file.subarray(offset, offset + length)) });
  }

  #store(): void {
    const each = this.staged.filter(({ alive }) => alive)[this.random.below(4)];
    if (each === undefined) return;
    for (let count = this.random.below(3); count >= 0; count--) {
      const at = this.random.below(each.bytes.length);
      const data = this.#bytes(Math.min(each.bytes.length - at, 1 + this.random.below(5000)));
      each.view.bytes.set(data, at);
      data.copy(each.bytes, at);
    }
  }

  #release(): void {
    const seen = this.seen.shift();
    seen?.view.release();
    const each = this.staged.find(({ alive }) => alive);
    if (each === undefined) return;
    // One alone: the others keep what they have stored.
    const others = this.staged.filter((other) => other !== each);
    each.view.releaseSync();
    each.alive = false;
    this.staged = [each];
    this.settle();
    this.staged = others;
  }

  #change(what: string): void {
    const { volume, random, fd } = this;
    const { fs } = volume;
    if (what === 'sync') {
      const each = random.pick([...this.staged, undefined]);
      if (each === undefined) return;
      each.view.syncSync();
      const all = this.staged;
      this.staged = [each];
      this.settle();
      this.staged = all.filter((other) => other !== each || other.alive);
    } else if (what === 'commit' || what === 'fsync' || what === 'clone') {
      if (what === 'commit') volume.syncSync();
      else if (what === 'fsync') fs.fsyncSync(fd);
      else volume.cloneSync('/f', `/c${this.clones.length}`);
      this.settle();
      this.#checkFile();
      if (what === 'clone') this.clones.push(Buffer.from(this.file));
    } else if (what === 'punch' || what === 'zero') {
      const { offset, length } = this.#range();
      if (what === 'punch') volume.punchSync(fd, offset, length);
      else volume.zeroRangeSync(fd, offset, length);
      this.file.fill(0, offset, offset + length);
      this.forget(offset, offset + length, () => false);
    } else this.#resize(what);
  }

  #resize(what: string): void {
    const { volume, random, fd } = this;
    if (what === 'truncate' && this.file.length > 20 * BLOCK_SIZE) {
      const size = this.file.length - random.below(6 * BLOCK_SIZE);
      volume.fs.ftruncateSync(fd, size);
      this.file = Buffer.from(this.file.subarray(0, size));
      const cut = ({ offset, bytes }: Staged): boolean => offset + bytes.length > size;
      this.forget(size, Number.POSITIVE_INFINITY, cut);
    } else if (what === 'grow' && this.file.length < MOST) {
      const more = random.below(4 * BLOCK_SIZE);
      volume.fs.ftruncateSync(fd, this.file.length + more);
      this.file = Buffer.concat([this.file, Buffer.alloc(more)]);
    } else if (what === 'collapse' && this.file.length > 20 * BLOCK_SIZE) {
      const { offset, length } = this.#blocks();
      volume.collapseRangeSync(fd, offset, length);
      this.settle();
      this.file = Buffer.concat([
        this.file.subarray(0, offset),
        this.file.subarray(offset + length),
      ]);
      this.forget(offset, Number.POSITIVE_INFINITY, () => true);
    } else if (what === 'insert' && this.file.length < MOST) {
      const { offset, length } = this.#blocks();
      volume.insertRangeSync(fd, offset, length);
      this.settle();
      const rest = this.file.subarray(offset);
      this.file = Buffer.concat([this.file.subarray(0, offset), Buffer.alloc(length), rest]);
      this.forget(offset, Number.POSITIVE_INFINITY, () => true);
    }
  }

  #checkFile(): void {
    const data = Buffer.alloc(this.file.length + 1);
    const fd = this.random.pick([this.fd, this.direct]);
    expect(this.volume.fs.readSync(fd, data, 0, data.length, 0)).toBe(this.file.length);
    expect(data.subarray(0, -1).equals(this.file), 'the file').toBe(true);
  }

  check(): void {
    this.#checkFile();
    for (const { view, bytes, alive } of this.staged) {
      expect(view.valid, 'a view is revoked').toBe(alive);
      if (alive) this.#checkStaged(view, bytes);
    }
    for (const { view, bytes } of this.seen) {
      for (let at = 0; at < bytes.length; ) {
        const part = view.at(view.offset + at);
        expect(bytes.subarray(at, at + part.length).equals(part), 'a view').toBe(true);
        at += part.length;
      }
    }
  }

  #checkStaged({ bytes }: WritableFileView, wanted: Buffer): void {
    expect(wanted.equals(bytes), 'what a view that can be stored to shows').toBe(true);
  }

  end(): void {
    const { fs } = this.volume;
    for (const [i, clone] of this.clones.entries()) {
      expect((fs.readFileSync(`/c${i}`) as Buffer).equals(clone), `clone ${i}`).toBe(true);
    }
    this.volume.closeSync();
    this.settle();
    expect(checkSync(this.device).issues).toEqual([]);
    const later = Volume.openSync(this.device, COMMON);
    expect((later.fs.readFileSync('/f') as Buffer).equals(this.file), 'at last').toBe(true);
    later.closeSync();
  }
}

function live(random: Random, device: Device): void {
  const life = new Life(random, device);
  for (let i = 0; i < 80; i++) {
    life.step();
    life.check();
  }
  life.end();
}

seeded('views and writers agree', { count: 20 }, (random) => {
  live(random, new MemoryDevice({ size: 24 * MIB }));
});

seeded('views and writers agree on a mapped image', { count: 5 }, (random) => {
  const folder = mkdtempSync(join(tmpdir(), 'ramet-views-'));
  try {
    const path = join(folder, 'x.img');
    const device = mappedImage(path, 24 * MIB);
    if (device === undefined) return;
    live(random, device);
    device.close();
  } finally {
    rmSync(folder, { recursive: true });
  }
});

function mappedImage(path: string, size: number): FileDevice | undefined {
  try {
    return FileDevice.open(path, { create: true, size, mapped: true });
  } catch (error) {
    process.stderr.write(`WARNING: Skipped, no mapped files: ${(error as Error).message}\n`);
    return undefined;
  }
}
