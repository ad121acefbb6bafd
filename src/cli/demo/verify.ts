/**
 * Verification: what is in the image, byte for byte, against what must be there. What must be
 * there is read from the host and changed as the plan says; the image is not asked.
 */
import * as host from 'node:fs';
import type { SyncFs } from '../../api/index.ts';
import { MIB } from '../../base/index.ts';
import type { OpenVolume } from '../../fuse/index.ts';
import { Fault } from '../faults.ts';
import { join, pathOf, shownName, textOf } from '../names.ts';
import type { Edit } from './plan.ts';

type Steps = Generator<void, void, void>;

/** What was compared. */
export interface Compared {
  files: number;
  bytes: number;
  diffs: number;
}

const found = Buffer.allocUnsafeSlow(MIB);
const wanted = Buffer.allocUnsafeSlow(MIB);

export class Verifier {
  readonly compared: Compared = { files: 0, bytes: 0, diffs: 0 };
  readonly #fs: SyncFs;
  readonly #volume: OpenVolume;
  /** Directory of the host that the image's tree came from. */
  readonly #origin: string;

  constructor(volume: OpenVolume, origin: string) {
    this.#volume = volume;
    this.#fs = volume.fs;
    this.#origin = origin;
  }

  /** A whole tree: names, kinds, modes, links and data, with one edit in it or none. */
  *tree(tree: string, edit: Edit | undefined): Steps {
    const directories = [''];
    for (let below = directories.pop(); below !== undefined; below = directories.pop()) {
      const there = join(this.#origin, below);
      const here = join(tree, below);
      const names = host.readdirSync(pathOf(there), 'latin1').sort();
      const inImage = this.#fs.readdirSync(pathOf(here), 'latin1').sort();
      if (names.join('\0') !== inImage.join('\0')) fail(here, 'other names', 'those of the source');
      for (const name of names) {
        const path = below === '' ? name : join(below, name);
        const isDirectory = yield* this.#entry(tree, path, edit);
        if (isDirectory) directories.push(path);
      }
    }
  }

  /** Some files of a tree. */
  *files(tree: string, paths: Iterable<string>, edit: Edit): Steps {
    for (const path of paths) yield* this.#data(tree, path, edit);
  }

  /** The difference between the source and a clone is its edit, and nothing else. */
  difference(source: string, edit: Edit): void {
    const changes = [...this.#volume.diffSync(source, edit.clone)];
    const [change] = changes;
    const path = textOf(edit.file.path);
    if (changes.length !== 1 || change?.path !== path || !change.data) {
      const listed = changes.slice(0, 3).map((it) => `${it.type} ${it.path}`);
      fail(edit.clone, `a diff of ${changes.length} (${listed.join(', ')})`, `modified ${path}`);
    }
    this.compared.diffs++;
  }

  *#entry(tree: string, path: string, edit: Edit | undefined): Generator<void, boolean, void> {
    const [there, here] = [join(this.#origin, path), join(tree, path)];
    const stats = host.lstatSync(pathOf(there));
    const inImage = this.#fs.lstatSync(pathOf(here));
    if (stats.mode !== inImage.mode) {
      fail(here, `mode 0${inImage.mode.toString(8)}`, `0${stats.mode.toString(8)}`);
    }
    if (stats.isSymbolicLink()) {
      const target = host.readlinkSync(pathOf(there), 'latin1');
      const read = this.#fs.readlinkSync(pathOf(here), 'latin1');
      if (read !== target) fail(here, `a link to ${shownName(read)}`, shownName(target));
    } else if (stats.isFile()) yield* this.#data(tree, path, edit);
    return stats.isDirectory();
  }

  *#data(tree: string, path: string, edit: Edit | undefined): Steps {
    const here = join(tree, path);
    const change = edit?.file.path === path ? edit : undefined;
    const source = host.openSync(pathOf(join(this.#origin, path)), 'r');
    const fd = this.#fs.openSync(pathOf(here), 'r');
    try {
      const size = wantedSize(host.fstatSync(source).size, change);
      const inImage = this.#fs.fstatSync(fd).size;
      if (inImage !== size) fail(here, `${inImage} bytes`, `${size} bytes`);
      for (let at = 0; at < size; at += MIB) {
        const length = Math.min(MIB, size - at);
        readWanted(source, at, length, change);
        const count = this.#fs.readSync(fd, found, 0, length, at);
        if (count !== length) fail(here, `a read of ${count} bytes at ${at}`, `${length}`);
        const same = found.compare(wanted, 0, length, 0, length) === 0;
        if (!same) failAt(here, at, length);
        this.compared.bytes += length;
        yield;
      }
    } finally {
      host.closeSync(source);
      this.#fs.closeSync(fd);
    }
    this.compared.files++;
  }
}

/** Does to a file of a volume what the plan says. */
export function applyEdit(fs: SyncFs, { clone, file, offset, data }: Edit): void {
  const fd = fs.openSync(pathOf(join(clone, file.path)), 'r+');
  try {
    fs.writeSync(fd, data, 0, data.length, offset);
  } finally {
    fs.closeSync(fd);
  }
}

function wantedSize(size: number, edit: Edit | undefined): number {
  return edit === undefined ? size : Math.max(size, edit.offset + edit.data.length);
}

/** Fills `wanted` with the bytes of a source file, and over them those of the edit. */
function readWanted(source: number, at: number, length: number, edit: Edit | undefined): void {
  host.readSync(source, wanted, 0, length, at);
  if (edit === undefined) return;
  const start = Math.max(at, edit.offset);
  const end = Math.min(at + length, edit.offset + edit.data.length);
  if (start >= end) return;
  wanted.set(edit.data.subarray(start - edit.offset, end - edit.offset), start - at);
}

function failAt(path: string, at: number, length: number): never {
  for (let i = 0; i < length; i++) {
    if (found[i] !== wanted[i]) fail(path, `${found[i]} at byte ${at + i}`, `${wanted[i]}`);
  }
  throw new Error('the same after all');
}

function fail(path: string, had: string, needed: string): never {
  throw new Fault(`Cannot confirm ${shownName(path)}: it has ${had}, wanted ${needed}`, {
    code: 'EIO',
  });
}
