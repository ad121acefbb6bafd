/**
 * Plan of the demo: which file of each clone is edited, and how. All of it follows from a seed.
 */
import * as host from 'node:fs';
import { MIB } from '../../base/index.ts';
import type { Random } from '../../testing/index.ts';
import { join, pathOf } from '../names.ts';

/** A file of the source; its path is relative, a binary string. */
export interface SourceFile {
  readonly path: string;
  readonly size: number;
}

/** What is in the source. */
export interface Survey {
  /** Regular files that have one name. */
  readonly files: readonly SourceFile[];
  readonly entries: number;
  readonly bytes: number;
}

/** What is done to one file of one clone: bytes that are written somewhere in it, or at its end. */
export interface Edit {
  readonly clone: string;
  readonly file: SourceFile;
  readonly offset: number;
  readonly data: Uint8Array;
}

/** One of so many edits is large. */
const LARGE_SHARE = 20;
const LARGE_MIN = MIB;
const LARGE_MAX = MIB + MIB / 2;
const SMALL_MAX = 64;

/** Looks at everything in a directory of the host. */
export function* surveyTree(root: string): Generator<void, Survey, void> {
  const files: SourceFile[] = [];
  const directories = [''];
  let entries = 0;
  let bytes = 0;
  for (let below = directories.pop(); below !== undefined; below = directories.pop()) {
    const path = below === '' ? root : join(root, below);
    const options = { withFileTypes: true, encoding: 'latin1' } as const;
    for (const entry of host.readdirSync(pathOf(path), options)) {
      const name = below === '' ? entry.name : join(below, entry.name);
      entries++;
      if (entry.isDirectory()) directories.push(name);
      if (!entry.isFile()) continue;
      const { size, nlink } = host.lstatSync(pathOf(join(root, name)));
      bytes += size;
      if (nlink === 1) files.push({ path: name, size });
    }
    yield;
  }
  files.sort((a, b) => (a.path < b.path ? -1 : 1));
  return { files, entries, bytes };
}

/**
 * An edit for each clone, each of another file as long as there are enough. One clone gets one byte
 * in the largest file; one in twenty gets a MiB or more.
 */
export function planEdits(
  root: string,
  { files }: Survey,
  clones: readonly string[],
  random: Random,
): Edit[] {
  const largest = files.reduce((best, file) => (file.size > best.size ? file : best));
  const others = random.shuffle(files.filter((file) => file !== largest));
  const pool = others.length === 0 ? [largest] : others;
  const order = random.shuffle(clones.keys());
  const largeCount = Math.ceil(clones.length / LARGE_SHARE);
  return clones.map((clone, index): Edit => {
    const turn = order[index] as number;
    if (turn === 0) return byteEdit(root, clone, largest, random);
    const file = pool[(turn - 1) % pool.length] as SourceFile;
    const isLarge = turn <= largeCount;
    const length = isLarge ? random.between(LARGE_MIN, LARGE_MAX) : random.between(1, SMALL_MAX);
    return { clone, file, offset: random.below(file.size + 1), data: random.bytes(length) };
  });
}

/** One byte of a file becomes another one. */
function byteEdit(root: string, clone: string, file: SourceFile, random: Random): Edit {
  const offset = random.below(Math.max(1, file.size));
  const data = new Uint8Array(1);
  const fd = host.openSync(pathOf(join(root, file.path)), 'r');
  host.readSync(fd, data, 0, 1, offset);
  host.closeSync(fd);
  data[0] = ~(data[0] as number);
  return { clone, file, offset, data };
}
