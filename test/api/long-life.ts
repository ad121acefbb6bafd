/**
 * Long life: a volume is filled, ages and is emptied.
 *
 * It ages by random operations on *workspaces*: directories with small files and one that is
 * written here and there like a database. A workspace is cloned, its clone goes its own way, and
 * any of them is removed, in random order, so what they share has to be counted right for a long
 * time. What each workspace must hold is known as the seeds of its bytes.
 */
import { expect } from 'vitest';
import type { Volume } from '../../src/api/index.ts';
import { BLOCK_SIZE, errorCode } from '../../src/base/index.ts';
import { type Random, Random as Seeded } from '../../src/testing/index.ts';

/** Files of a workspace, and blocks of its database. */
const FILES = 24;
const BLOCKS = 128;
const LENGTH_MAX = 20_000;

interface Workspace {
  readonly path: string;
  /** Of each small file the seed of its bytes, which tells the length too; 0: there is none. */
  readonly files: Uint32Array;
  /** Of each block of the database the seed of its bytes; 0: it was never written. */
  readonly blocks: Uint32Array;
}

export interface Ages {
  operations: number;
  clones: number;
  snapshots: number;
  /** How often the volume was full. */
  full: number;
}

export class LongLife {
  readonly ages: Ages = { operations: 0, clones: 0, snapshots: 0, full: 0 };
  readonly #volume: Volume;
  readonly #random: Random;
  readonly #most: number;
  readonly #workspaces: Workspace[] = [];
  readonly #snapshots: string[] = [];
  #next = 1;

  /** `most`: workspaces at the same time. */
  constructor(volume: Volume, random: Random, most: number) {
    this.#volume = volume;
    this.#random = random;
    this.#most = most;
    this.#make();
  }

  /** Fills the volume until nothing more fits. */
  fill(): void {
    while (this.ages.full === 0) this.#attempt(() => this.#make());
  }

  age(operations: number): void {
    for (let i = 0; i < operations; i++) {
      this.#attempt(() => this.#step());
      this.ages.operations++;
    }
  }

  /** Everything is what it must be. */
  verify(): void {
    for (const workspace of this.#workspaces) {
      for (let i = 0; i < FILES; i++) this.#verifyFile(workspace, i);
      for (let i = 0; i < BLOCKS; i++) this.#verifyBlock(workspace, i);
    }
  }

  /** Extents of the databases per workspace, on average. */
  extents(): number {
    const counts = this.#workspaces.map(
      ({ path }) =>
        this.#volume.extentsSync(`${path}/db`).filter(({ type }) => type === 'data').length,
    );
    return counts.reduce((sum, count) => sum + count, 0) / counts.length;
  }

  /** Removes everything, in random order. */
  empty(): void {
    for (const name of this.#random.shuffle(this.#snapshots.splice(0))) {
      this.#volume.deleteSnapshotSync(name);
    }
    for (const { path } of this.#random.shuffle(this.#workspaces.splice(0))) {
      this.#volume.fs.rmSync(path, { recursive: true });
    }
  }

  #step(): void {
    const random = this.#random;
    const dice = random.below(1000);
    const workspace = random.pick(this.#workspaces);
    if (dice < 400) this.#writeBlock(workspace, random.below(BLOCKS));
    else if (dice < 700) this.#writeFile(workspace, random.below(FILES));
    else if (dice < 780) this.#removeFile(workspace, random.below(FILES));
    else if (dice < 860) this.#verifyFile(workspace, random.below(FILES));
    else if (dice < 940) this.#verifyBlock(workspace, random.below(BLOCKS));
    else if (dice < 955) this.#clone(workspace);
    else if (dice < 968) this.#remove(workspace);
    else if (dice < 974) this.#snapshot();
    else if (dice < 980) this.#deleteSnapshot();
    else if (dice < 996) this.#sync(workspace);
    else this.#volume.reclaimSync();
  }

  /** A volume that is full has room again when something goes. */
  #attempt(step: () => void): void {
    try {
      step();
    } catch (error) {
      if (errorCode(error) !== 'ENOSPC') throw error;
      this.ages.full++;
      if (this.#random.chance(0.5)) this.#deleteSnapshot();
      this.#remove(this.#random.pick(this.#workspaces));
      if (this.#workspaces.length === 0) this.#make();
    }
  }

  #make(): void {
    const path = `/w${this.#next++}`;
    const { fs } = this.#volume;
    const workspace = {
      path,
      files: new Uint32Array(FILES),
      blocks: new Uint32Array(BLOCKS),
    };
    fs.mkdirSync(path);
    fs.writeFileSync(`${path}/db`, '');
    this.#workspaces.push(workspace);
    for (let i = 0; i < FILES; i++) this.#writeFile(workspace, i);
    for (let i = 0; i < BLOCKS; i++) this.#writeBlock(workspace, i);
  }

  #writeFile(workspace: Workspace, i: number): void {
    const seed = this.#random.between(1, 2 ** 32 - 1);
    const path = `${workspace.path}/${i}`;
    // A write that finds no room leaves less than the file, so nothing is known of it.
    workspace.files[i] = 0;
    this.#volume.fs.rmSync(path, { force: true });
    try {
      this.#volume.fs.writeFileSync(path, fileOf(seed));
    } catch (error) {
      this.#volume.fs.rmSync(path, { force: true });
      throw error;
    }
    workspace.files[i] = seed;
  }

  #removeFile(workspace: Workspace, i: number): void {
    this.#volume.fs.rmSync(`${workspace.path}/${i}`, { force: true });
    workspace.files[i] = 0;
  }

  #writeBlock(workspace: Workspace, i: number): void {
    const seed = this.#random.between(1, 2 ** 32 - 1);
    const { fs } = this.#volume;
    const fd = fs.openSync(`${workspace.path}/db`, 'r+');
    try {
      fs.writeSync(fd, blockOf(seed), 0, BLOCK_SIZE, i * BLOCK_SIZE);
      workspace.blocks[i] = seed;
    } finally {
      fs.closeSync(fd);
    }
  }

  #verifyFile({ path, files }: Workspace, i: number): void {
    const seed = files[i] as number;
    const { fs } = this.#volume;
    if (seed === 0) expect(fs.existsSync(`${path}/${i}`), `${path}/${i}`).toBe(false);
    else expect(fs.readFileSync(`${path}/${i}`).equals(fileOf(seed)), `${path}/${i}`).toBe(true);
  }

  #verifyBlock({ path, blocks }: Workspace, i: number): void {
    const seed = blocks[i] as number;
    const { fs } = this.#volume;
    const found = new Uint8Array(BLOCK_SIZE);
    const fd = fs.openSync(`${path}/db`, 'r');
    fs.readSync(fd, found, 0, BLOCK_SIZE, i * BLOCK_SIZE);
    fs.closeSync(fd);
    const wanted = seed === 0 ? new Uint8Array(BLOCK_SIZE) : blockOf(seed);
    expect(Buffer.compare(found, wanted), `block ${i} of ${path}/db`).toBe(0);
  }

  #clone(source: Workspace): void {
    if (this.#workspaces.length >= this.#most) this.#remove(this.#random.pick(this.#workspaces));
    if (!this.#workspaces.includes(source)) return;
    const path = `/w${this.#next++}`;
    this.#volume.cloneSync(source.path, path);
    const { files, blocks } = source;
    this.#workspaces.push({ path, files: files.slice(), blocks: blocks.slice() });
    this.ages.clones++;
  }

  #remove(workspace: Workspace): void {
    if (this.#workspaces.length < 2) return;
    this.#volume.fs.rmSync(workspace.path, { recursive: true });
    this.#workspaces.splice(this.#workspaces.indexOf(workspace), 1);
  }

  #snapshot(): void {
    if (this.#snapshots.length > 8) this.#deleteSnapshot();
    const name = `s${this.#next++}`;
    this.#volume.snapshotSync(name);
    this.#snapshots.push(name);
    this.ages.snapshots++;
  }

  #deleteSnapshot(): void {
    const [name] = this.#snapshots.splice(this.#random.below(this.#snapshots.length + 1), 1);
    if (name !== undefined) this.#volume.deleteSnapshotSync(name);
  }

  #sync({ path }: Workspace): void {
    if (this.#random.chance(0.3)) {
      this.#volume.syncSync();
      return;
    }
    const fd = this.#volume.fs.openSync(`${path}/db`, 'r+');
    this.#volume.fs.fsyncSync(fd);
    this.#volume.fs.closeSync(fd);
  }
}

function blockOf(seed: number): Uint8Array {
  const words = new Uint32Array(BLOCK_SIZE / 4).fill(seed);
  words[0] = ~seed;
  return new Uint8Array(words.buffer);
}

function fileOf(seed: number): Uint8Array {
  const random = new Seeded(seed);
  return random.bytes(random.below(random.chance(0.3) ? 600 : LENGTH_MAX));
}
