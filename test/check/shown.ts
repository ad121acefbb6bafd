/**
 * Shown: what of an image can be read through the public API, name by name, however much of it
 * cannot.
 */
import { createHash } from 'node:crypto';
import { type SyncFs, Volume } from '../../src/api/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { COMMON } from '../api/bench.ts';

/** By path, what is there; of a snapshot with `@`. What cannot be read is left out. */
export type Shown = ReadonlyMap<string, string>;

export function shownOf(image: Uint8Array): Shown {
  const shown = new Map<string, string>();
  using volume = Volume.openSync(MemoryDevice.from(image.slice()), { ...COMMON, readOnly: true });
  walk({ volume, fs: volume.fs, snapshot: undefined }, '', shown);
  for (const { name } of attempt(() => volume.snapshotsSync()) ?? []) {
    attempt(() => {
      using view = volume.openSnapshotSync(name);
      walk({ volume, fs: view.fs, snapshot: name }, '', shown);
    });
  }
  return shown;
}

/** The live tree or a snapshot. */
interface Tree {
  readonly volume: Volume;
  readonly fs: SyncFs;
  readonly snapshot: string | undefined;
}

function walk(tree: Tree, path: string, shown: Map<string, string>): void {
  const { fs, snapshot } = tree;
  const prefix = snapshot === undefined ? '' : `@${snapshot}`;
  const stat = attempt(() => fs.lstatSync(path === '' ? '/' : path));
  if (stat === undefined) return;
  const { mode, uid, gid, size, mtimeMs, ino } = stat;
  const rest = `${mode} ${uid}:${gid} ${mtimeMs} ${ino}`;
  if (stat.isDirectory()) {
    const names = attempt(() => fs.readdirSync(path === '' ? '/' : path));
    if (path !== '') shown.set(prefix + path, `directory ${rest}`);
    for (const name of names ?? []) walk(tree, `${path}/${name}`, shown);
    return;
  }
  const content = attempt(() => {
    if (stat.isSymbolicLink()) return String(fs.readlinkSync(path));
    return stat.isFile() ? contentOf(tree, path, Number(size)) : '';
  });
  if (content !== undefined) shown.set(prefix + path, `${rest} ${size} ${content}`);
}

/** A hash of all data, which is not much: most of a large file is holes. */
function contentOf({ volume, fs, snapshot }: Tree, path: string, size: number): string {
  const hash = createHash('sha256');
  const place = snapshot === undefined ? path : { snapshot, path };
  const fd = fs.openSync(path, 'r');
  try {
    let end = -1;
    for (const { offset, length } of volume.extentsSync(place)) {
      // An extent ends too where what is shared begins; that is not content.
      if (offset !== end) hash.update(`${offset} `);
      end = offset + length;
      const bytes = new Uint8Array(Math.max(0, Math.min(length, size - offset)));
      fs.readSync(fd, bytes, 0, bytes.length, offset);
      hash.update(bytes);
    }
  } finally {
    fs.closeSync(fd);
  }
  return hash.digest('hex').slice(0, 16);
}

/** The world may say no; that we are wrong it may not. */
function attempt<Result>(act: () => Result): Result | undefined {
  try {
    return act();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === undefined) throw error;
    return undefined;
  }
}
