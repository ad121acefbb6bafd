/**
 * Shown: what of an image can be read through the public API, name by name, however much of it
 * cannot.
 */
import { createHash } from 'node:crypto';
import { type SyncFs, Volume } from '../../src/api/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { COMMON } from '../api/bench.ts';

/** By path, what is there; names below a snapshot begin with `@`. What cannot be read is left out. */
export type Shown = ReadonlyMap<string, string>;

export function shownOf(image: Uint8Array): Shown {
  const shown = new Map<string, string>();
  using volume = Volume.openSync(MemoryDevice.from(image.slice()), { ...COMMON, readOnly: true });
  walk(volume.fs, '', '', shown);
  for (const { name } of attempt(() => volume.snapshotsSync()) ?? []) {
    attempt(() => {
      using view = volume.openSnapshotSync(name);
      walk(view.fs, '', `@${name}`, shown);
    });
  }
  return shown;
}

function walk(fs: SyncFs, path: string, prefix: string, shown: Map<string, string>): void {
  const stat = attempt(() => fs.lstatSync(path === '' ? '/' : path));
  if (stat === undefined) return;
  const { mode, uid, gid, size, mtimeMs, ino } = stat;
  const rest = `${mode} ${uid}:${gid} ${mtimeMs} ${ino}`;
  if (stat.isDirectory()) {
    const names = attempt(() => fs.readdirSync(path === '' ? '/' : path));
    if (path !== '') shown.set(prefix + path, `directory ${rest}`);
    for (const name of names ?? []) walk(fs, `${path}/${name}`, prefix, shown);
    return;
  }
  const content = attempt(() => {
    if (stat.isSymbolicLink()) return String(fs.readlinkSync(path));
    return stat.isFile() ? hash(fs.readFileSync(path) as Uint8Array) : '';
  });
  if (content !== undefined) shown.set(prefix + path, `${rest} ${size} ${content}`);
}

function hash(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
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
