/**
 * Calls on directories: readdir, also with types and recursively.
 */
import { FilesystemError } from '../../base/index.ts';
import { InodeKind } from '../../format/index.ts';
import { type DirectoryEntry, lookup, readEntries, type Vnode } from '../../volume/index.ts';
import { type Context, holding } from '../context.ts';
import { decodeName, encodingOf } from '../encoding.ts';
import { type PathArgument, pathBytes, pathText, resolve } from '../path.ts';
import { type Procedure, run } from '../procedure.ts';
import { Dirent } from '../stats.ts';

export interface ReaddirOptions {
  readonly encoding?: string | null | undefined;
  readonly withFileTypes?: boolean | undefined;
  readonly recursive?: boolean | undefined;
}

export function* readdir(
  context: Context,
  path: PathArgument,
  options?: ReaddirOptions | string | null,
): Procedure<(string | Uint8Array | Dirent)[]> {
  const encoding = encodingOf(options);
  const settings = typeof options === 'object' && options !== null ? options : {};
  const top = pathText(path) ?? '';
  const results: (string | Uint8Array | Dirent)[] = [];
  const vnode = yield* resolve(context.walk(true), pathBytes(path));
  const recursive = settings.recursive === true;
  yield* holding(vnode, () =>
    walkTree(context, vnode, '', recursive, (entry, prefix) => {
      if (settings.withFileTypes !== true) results.push(decodeName(prefix + entry.name, encoding));
      else {
        const below = prefix === '' ? top : join(top, decodeName(prefix, 'utf8') as string);
        results.push(new Dirent(entry.name, entry.kind, below, encoding));
      }
    }),
  );
  return results;
}

/**
 * Calls `visit` with every entry of a directory, and with `recursive` of all below it; `prefix` is
 * the path from the directory to the entry's own, ending with a slash, or empty.
 */
export function* walkTree(
  context: Context,
  directory: Vnode,
  prefix: string,
  recursive: boolean,
  visit: (entry: DirectoryEntry, prefix: string) => void,
): Procedure<void> {
  if (!directory.isDirectory) throw new FilesystemError('ENOTDIR', 'Cannot list a file');
  const below: string[] = [];
  for (const entry of yield* list(context, directory)) {
    visit(entry, prefix);
    if (recursive && entry.kind === InodeKind.DIRECTORY) below.push(entry.name);
  }
  for (const name of below) {
    const child = yield* run(lookup(context.engine, directory, name));
    yield* holding(child, () => walkTree(context, child, `${prefix}${name}/`, true, visit));
  }
}

/** All entries of a directory, with the kind of the inode also where a name is one of several. */
export function* list(context: Context, directory: Vnode): Procedure<DirectoryEntry[]> {
  const entries: DirectoryEntry[] = [];
  for (let cookie = 0; ; ) {
    const part = yield* run(readEntries(context.engine, directory, cookie));
    const last = part.at(-1);
    if (last === undefined) return entries;
    cookie = last.cookie;
    for (const entry of part) {
      if (entry.kind !== InodeKind.LINK) entries.push(entry);
      else {
        const vnode = yield* run(lookup(context.engine, directory, entry.name));
        vnode.holds--;
        entries.push({ ...entry, kind: vnode.kind });
      }
    }
  }
}

function join(top: string, below: string): string {
  const path = below.replace(/\/$/u, '');
  return top.endsWith('/') ? top + path : `${top}/${path}`;
}
