/** Shown: everything a volume shows by its API, in the form that states are compared in. */
import type { SyncFs, Volume } from '../../src/api/index.ts';
import { kindOf, numbersOf, p } from '../api/steps.ts';
import { Content, type Entry, fixedText, type Names } from './states.ts';

const binary = { encoding: 'buffer' } as const;
const latin1 = (name: unknown): string => Buffer.from(name as string).toString('latin1');

/** The live tree and all snapshots. */
export function namesOf(volume: Volume): Names {
  const names = new Map<string, Entry>();
  const first = new Map<string, string>();
  const walk = (fs: SyncFs, path: string, shown: string, snapshot: string | undefined): void => {
    const stat = fs.lstatSync(p(path === '' ? '/' : path));
    const identity = `${stat.dev} ${stat.ino}`;
    const known = first.get(identity);
    if (known !== undefined) {
      names.set(shown, { fixed: `= ${known}`, mtime: 0, ctime: 0, content: undefined });
      return;
    }
    first.set(identity, shown);
    const kind = kindOf(stat);
    const target = kind === 'symlink' ? latin1(fs.readlinkSync(p(path), binary)) : '';
    const { mode, uid, gid, nlink, size, atimeMs, mtimeMs, ctimeMs, birthtimeMs } = numbersOf(stat);
    const numbers = { mode, uid, gid, nlink, size, atime: atimeMs, btime: birthtimeMs };
    names.set(shown, {
      fixed: fixedText({ kind, target, ...numbers }),
      mtime: mtimeMs,
      ctime: ctimeMs,
      content: kind === 'file' ? contentOf(volume, fs, path, snapshot) : undefined,
    });
    if (kind !== 'directory') return;
    const below = fs.readdirSync(p(path === '' ? '/' : path), binary) as unknown[];
    for (const name of below.map(latin1).sort()) {
      walk(fs, `${path}/${name}`, `${shown}/${name}`, snapshot);
    }
  };
  walk(volume.fs, '', '', undefined);
  for (const { name } of volume.snapshotsSync().sort((a, b) => (a.name < b.name ? -1 : 1))) {
    using view = volume.openSnapshotSync(name);
    walk(view.fs, '', `@${name}:`, name);
  }
  return names;
}

function contentOf(
  volume: Volume,
  fs: SyncFs,
  path: string,
  snapshot: string | undefined,
): Content {
  const { size } = fs.statSync(p(path));
  const place = snapshot === undefined ? p(path) : { snapshot, path: p(path) };
  const pieces: [number, Uint8Array][] = [];
  const fd = fs.openSync(p(path), 'r');
  for (const { offset, length } of volume.extentsSync(place)) {
    const bytes = new Uint8Array(Math.max(0, Math.min(length, size - offset)));
    fs.readSync(fd, bytes, 0, bytes.length, offset);
    pieces.push([offset, bytes]);
  }
  fs.closeSync(fd);
  return new Content(size, pieces);
}
