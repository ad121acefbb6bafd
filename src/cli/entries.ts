/**
 * Entries: the names in a directory of a volume, with what `ls` tells about them.
 */
import type { BigIntStats } from 'node:fs';
import type { SyncFs } from '../api/index.ts';
import { baseName, binaryOf, join, jsonName, pathOf, textOf } from './names.ts';

export interface Entry {
  /** Binary strings. */
  readonly name: string;
  readonly path: string;
  readonly stats: BigIntStats;
  /** Target of a symbolic link. */
  readonly target: string | undefined;
}

/** All entries of the directory that a path names, by name; or what else it names. */
export function listEntries(fs: SyncFs, path: string, follow: boolean): Entry[] {
  const there = pathOf(path);
  const target = follow ? fs.statSync(there, { throwIfNoEntry: false }) : undefined;
  const stats = target ?? fs.lstatSync(there);
  if (!stats.isDirectory()) return [makeEntry(fs, path, baseName(path))];
  const names = fs.readdirSync(pathOf(path), 'latin1');
  return names.sort().map((name) => makeEntry(fs, join(path, name), name));
}

function makeEntry(fs: SyncFs, path: string, name: string): Entry {
  const stats = fs.lstatSync(pathOf(path), { bigint: true });
  const target = stats.isSymbolicLink() ? fs.readlinkSync(pathOf(path), 'latin1') : undefined;
  return { name, path, stats, target };
}

/** An entry as one value of JSON. */
export function entryJson({ path, stats, target }: Entry): Record<string, unknown> {
  return {
    ...jsonName(path),
    type: typeName(stats),
    mode: (Number(stats.mode) & 0o7777).toString(8).padStart(4, '0'),
    links: Number(stats.nlink),
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    size: Number(stats.size),
    allocated: Number(stats.blocks) * 512,
    modified: isoTime(stats.mtimeNs),
    realm: Number(stats.dev),
    inode: Number(stats.ino),
    ...(target === undefined ? {} : { target: textOf(target) }),
  };
}

/** `drwxr-xr-x`. */
export function modeText(stats: BigIntStats): string {
  const mode = Number(stats.mode);
  const letters = ['r', 'w', 'x'];
  let text = TYPE_LETTERS[typeName(stats)] ?? '-';
  for (let bit = 8; bit >= 0; bit--) {
    text += (mode & (1 << bit)) === 0 ? '-' : (letters[(8 - bit) % 3] as string);
  }
  const special = [...text];
  mark(special, 3, (mode & 0o4000) !== 0, 's');
  mark(special, 6, (mode & 0o2000) !== 0, 's');
  mark(special, 9, (mode & 0o1000) !== 0, 't');
  return special.join('');
}

/** Shows a special bit in the place of an x: small if that is set too. */
function mark(letters: string[], at: number, isSet: boolean, letter: string): void {
  if (isSet) letters[at] = letters[at] === 'x' ? letter : letter.toUpperCase();
}

const TYPE_LETTERS: Readonly<Record<string, string>> = {
  directory: 'd',
  symlink: 'l',
  character: 'c',
  block: 'b',
  fifo: 'p',
  socket: 's',
};

/** The kind of an inode, in the words of the API's reports. */
export function typeName(stats: BigIntStats): string {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  if (stats.isSymbolicLink()) return 'symlink';
  if (stats.isCharacterDevice()) return 'character';
  if (stats.isBlockDevice()) return 'block';
  return stats.isFIFO() ? 'fifo' : 'socket';
}

/** ISO 8601 with all nine digits of the fraction. */
export function isoTime(nanoseconds: bigint): string {
  const rest = ((nanoseconds % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  const seconds = new Date(Number((nanoseconds - rest) / 1_000_000n)).toISOString();
  return seconds.replace(/\.\d+Z$/u, `.${String(rest).padStart(9, '0')}Z`);
}

/** `2026-11-22 12:55`, in the local time of whoever looks. */
export function minuteText(date: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** The path of a place as a binary string without a slash at its end. */
export function pathOfPlace(path: string): string {
  return binaryOf(path.replace(/(?<=.)\/+$/u, ''));
}
