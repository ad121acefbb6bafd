/**
 * Calls on directories: readdir, also with types and recursively, and opendir.
 */
import { FilesystemError } from '../../base/index.ts';
import { InodeKind } from '../../format/index.ts';
import { type DirectoryEntry, lookup, readEntries, type Vnode } from '../../volume/index.ts';
import { type Context, holding } from '../context.ts';
import { decodeName, type Encoding, encodingOf } from '../encoding.ts';
import { argumentTypeError, checkFlag, hasCode } from '../errors.ts';
import { join, type PathArgument, pathBytes, pathText, resolve } from '../path.ts';
import { type Procedure, run } from '../procedure.ts';
import { Dirent } from '../stats.ts';

export interface ReaddirOptions {
  readonly encoding?: string | null | undefined;
  readonly withFileTypes?: boolean | undefined;
  readonly recursive?: boolean | undefined;
}

/** With `recursive` level by level. Symbolic links are not followed. */
export function* readdir(
  context: Context,
  path: PathArgument,
  options?: ReaddirOptions | string | null,
): Procedure<(string | Uint8Array | Dirent)[]> {
  const encoding = encodingOf(options);
  const settings = typeof options === 'object' && options !== null ? options : {};
  const recursive = checkFlag('options.recursive', settings.recursive ?? undefined);
  const top = pathText(path) ?? '';
  const results: (string | Uint8Array | Dirent)[] = [];
  const vnode = yield* resolve(context.walk(true), pathBytes(path));
  yield* holding(vnode, () =>
    walkTree(context, vnode, recursive, (entry, above) => {
      if (settings.withFileTypes !== true) results.push(decodeName(above + entry.name, encoding));
      else results.push(direntOf(entry, above === '' ? top : below(top, above), encoding));
    }),
  );
  return results;
}

function direntOf({ name, kind }: DirectoryEntry, parent: string, encoding: Encoding): Dirent {
  return new Dirent(name, kind, parent, encoding);
}

function below(top: string, above: string): string {
  return join(top, decodeName(above, 'utf8') as string);
}

/** A directory whose entries are still to be visited; held. `above` ends with a slash. */
interface Level {
  readonly directory: Vnode;
  readonly above: string;
}

/**
 * Calls `visit` with every entry of a directory, and with `recursive` of all below it; `above` is
 * the path from the directory to the entry's own, ending with a slash, or empty.
 */
function* walkTree(
  context: Context,
  top: Vnode,
  recursive: boolean,
  visit: (entry: DirectoryEntry, above: string) => void,
): Procedure<void> {
  const levels: Level[] = [{ directory: top, above: '' }];
  top.holds++;
  try {
    for (let level = levels.shift(); level !== undefined; level = levels.shift()) {
      const { directory, above } = level;
      yield* holding(directory, function* () {
        for (const entry of yield* list(context, directory)) {
          visit(entry, above);
          if (!recursive || entry.kind !== InodeKind.DIRECTORY) continue;
          const child = yield* run(lookup(context.engine, directory, entry.name));
          levels.push({ directory: child, above: `${above}${entry.name}/` });
        }
      });
    }
  } finally {
    for (const { directory } of levels) directory.holds--;
  }
}

/** An open directory; the `Dir` of the API reads it. */
export class OpenDirectory {
  readonly path: string;
  readonly #context: Context;
  readonly #encoding: Encoding;
  readonly #recursive: boolean;
  readonly #levels: { readonly vnode: Vnode; readonly path: string; cookie: number }[];
  readonly #entries: Dirent[] = [];

  /** Takes over the hold of `vnode`. */
  constructor(
    context: Context,
    vnode: Vnode,
    path: string,
    options: { encoding: Encoding; recursive: boolean },
  ) {
    this.path = path;
    this.#context = context;
    this.#encoding = options.encoding;
    this.#recursive = options.recursive;
    this.#levels = [{ vnode, path, cookie: 0 }];
  }

  /** The next entry; null at the end. */
  *next(): Procedure<Dirent | null> {
    for (;;) {
      const entry = this.#entries.shift();
      if (entry !== undefined) return entry;
      const level = this.#levels[0];
      if (level === undefined) return null;
      const { vnode, path } = level;
      const part = yield* run(readEntries(this.#context.engine, vnode, level.cookie));
      const last = part.at(-1);
      if (last === undefined) {
        this.#levels.shift();
        vnode.holds--;
        continue;
      }
      level.cookie = last.cookie;
      for (const entry of part) {
        yield* this.#add(yield* named(this.#context, vnode, entry), vnode, path);
      }
    }
  }

  /** Lets go of everything. */
  close(): void {
    for (const { vnode } of this.#levels.splice(0)) vnode.holds--;
    this.#entries.length = 0;
  }

  *#add(entry: DirectoryEntry, directory: Vnode, path: string): Procedure<void> {
    this.#entries.push(direntOf(entry, path, this.#encoding));
    if (!this.#recursive || entry.kind !== InodeKind.DIRECTORY) return;
    const vnode = yield* run(lookup(this.#context.engine, directory, entry.name));
    this.#levels.push({ vnode, path: below(path, entry.name), cookie: 0 });
  }
}

export interface OpendirOptions {
  readonly encoding?: string | null | undefined;
  readonly recursive?: boolean | undefined;
  /** Taken and not used: entries come as they lie in the tree. */
  readonly bufferSize?: number | undefined;
}

export function* opendir(
  context: Context,
  path: PathArgument,
  options?: OpendirOptions | string | null,
): Procedure<OpenDirectory> {
  const encoding = encodingOf(options);
  const settings = typeof options === 'object' && options !== null ? options : {};
  const recursive = checkFlag('options.recursive', settings.recursive ?? undefined);
  const { bufferSize = 32 } = settings;
  if (typeof bufferSize !== 'number') {
    throw argumentTypeError('options.bufferSize', 'of type number', bufferSize);
  }
  const vnode = yield* resolve(context.walk(true), pathBytes(path));
  if (vnode.isDirectory) {
    return new OpenDirectory(context, vnode, pathText(path) ?? '', { encoding, recursive });
  }
  vnode.holds--;
  throw new FilesystemError('ENOTDIR', 'Cannot list a file');
}

/** All entries of a directory, with the kind of the inode also where a name is one of several. */
export function* list(context: Context, directory: Vnode): Procedure<DirectoryEntry[]> {
  if (!directory.isDirectory) throw new FilesystemError('ENOTDIR', 'Cannot list a file');
  const entries: DirectoryEntry[] = [];
  for (let cookie = 0; ; ) {
    const part = yield* run(readEntries(context.engine, directory, cookie));
    const last = part.at(-1);
    if (last === undefined) return entries;
    cookie = last.cookie;
    for (const entry of part) entries.push(yield* named(context, directory, entry));
  }
}

/** An entry with the kind of its inode; gone meanwhile, it is told as a file. */
function* named(
  context: Context,
  directory: Vnode,
  entry: DirectoryEntry,
): Procedure<DirectoryEntry> {
  if (entry.kind !== InodeKind.LINK) return entry;
  try {
    const vnode = yield* run(lookup(context.engine, directory, entry.name));
    vnode.holds--;
    return { ...entry, kind: vnode.kind };
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
    return { ...entry, kind: InodeKind.FILE };
  }
}
