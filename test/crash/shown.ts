/** Shown: everything a volume shows by its API, in the form that states are compared in. */
import type { SyncFs, Volume } from '../../src/api/index.ts';
import { BLOCK_SIZE } from '../../src/base/index.ts';
import { kindOf, numbersOf, p } from '../api/steps.ts';
import { Content, type Entry, fixedText, type Names } from './states.ts';

const binary = { encoding: 'buffer' } as const;
const latin1 = (name: unknown): string => Buffer.from(name as string).toString('latin1');

/**
 * The live tree and all snapshots. What cannot be read is an error; with `onError` it is told that,
 * and the names say what is lost.
 */
export function namesOf(volume: Volume, onError?: OnError): Names {
  const names = new Map<string, Entry>();
  const first = new Map<string, string>();
  const read = <Value>(body: () => Value): Value | undefined => unlessLost(body, onError);
  const walk = (fs: SyncFs, path: string, shown: string, snapshot: string | undefined): void => {
    const stat = read(() => fs.lstatSync(p(path === '' ? '/' : path)));
    if (stat === undefined) return void names.set(shown, LOST);
    const identity = `${stat.dev} ${stat.ino}`;
    const known = first.get(identity);
    if (known !== undefined) {
      names.set(shown, { fixed: `= ${known}`, mtime: 0, ctime: 0, content: undefined });
      return;
    }
    first.set(identity, shown);
    const kind = kindOf(stat);
    const target = kind === 'symlink' ? read(() => latin1(fs.readlinkSync(p(path), binary))) : '';
    const { mode, uid, gid, nlink, size, atimeMs, mtimeMs, ctimeMs, birthtimeMs } = numbersOf(stat);
    const numbers = { mode, uid, gid, nlink, size, atime: atimeMs, btime: birthtimeMs };
    if (target === undefined) return void names.set(shown, LOST);
    const content =
      kind === 'file' ? contentOf(volume, fs, { path, snapshot }, onError) : undefined;
    names.set(shown, {
      fixed: fixedText({ kind, target, ...numbers }),
      mtime: mtimeMs,
      ctime: ctimeMs,
      content,
      ...(kind === 'file' && content === undefined && { lost: 'content' }),
    });
    if (kind !== 'directory') return;
    const below = read(() => fs.readdirSync(p(path === '' ? '/' : path), binary) as unknown[]);
    if (below === undefined) names.set(shown, LOST);
    for (const name of below?.map(latin1).sort() ?? []) {
      walk(fs, `${path}/${name}`, `${shown}/${name}`, snapshot);
    }
  };
  walk(volume.fs, '', '', undefined);
  const snapshots = read(() => volume.snapshotsSync());
  if (snapshots === undefined) names.set('@', LOST);
  for (const { name } of snapshots?.sort((a, b) => (a.name < b.name ? -1 : 1)) ?? []) {
    using view = read(() => volume.openSnapshotSync(name));
    if (view === undefined) names.set(`@${name}:`, LOST);
    else walk(view.fs, '', `@${name}:`, name);
  }
  return names;
}

type OnError = (error: unknown) => void;

const LOST: Entry = { fixed: 'lost', mtime: 0, ctime: 0, content: undefined, lost: 'all' };

/** What a body comes to; undefined if it fails, and somebody wants to know. */
function unlessLost<Value>(body: () => Value, onError: OnError | undefined): Value | undefined {
  if (onError === undefined) return body();
  try {
    return body();
  } catch (error) {
    onError(error);
    return undefined;
  }
}

/** Undefined if nothing can be read of it. */
function contentOf(
  volume: Volume,
  fs: SyncFs,
  { path, snapshot }: { path: string; snapshot: string | undefined },
  onError: OnError | undefined,
): Content | undefined {
  const { size } = fs.statSync(p(path));
  const place = snapshot === undefined ? p(path) : { snapshot, path: p(path) };
  const pieces: [number, Uint8Array][] = [];
  const lost = new Set<number>();
  const extents = unlessLost(() => volume.extentsSync(place), onError);
  if (extents === undefined) return undefined;
  const fd = fs.openSync(p(path), 'r');
  const read = (offset: number, length: number): boolean => {
    const bytes = new Uint8Array(length);
    const count = unlessLost(() => fs.readSync(fd, bytes, 0, length, offset), onError);
    // A read that fails later says what it has.
    const whole = count === length || (onError === undefined && count !== undefined);
    if (whole) pieces.push([offset, bytes]);
    return whole;
  };
  for (const { offset, length } of extents) {
    const end = Math.min(offset + length, size);
    if (end <= offset || read(offset, end - offset)) continue;
    for (let at = offset; at < end; at += BLOCK_SIZE) {
      if (!read(at, Math.min(BLOCK_SIZE, end - at))) lost.add(at / BLOCK_SIZE);
    }
  }
  fs.closeSync(fd);
  return new Content(size, pieces, lost);
}
