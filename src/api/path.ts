/**
 * Paths: from what a caller names to vnodes.
 *
 * Paths are absolute; a relative one begins at the root too. Names are any bytes but `/` and NUL:
 * a string stands for its UTF-8 bytes, a buffer for itself. `..` at the root is the root.
 */
import { binaryFromText, binaryString, FilesystemError } from '../base/index.ts';
import { InodeKind } from '../format/index.ts';
import {
  checkName,
  type Engine,
  glance,
  lookup,
  peek,
  readTarget,
  type Vnode,
} from '../volume/index.ts';
import { argumentTypeError, argumentValueError } from './errors.ts';
import { type Procedure, run } from './procedure.ts';

/** What a path argument may be; a URL is one with the `file:` scheme. */
export type PathArgument =
  | string
  | Uint8Array
  | { readonly href: string; readonly pathname: string };

const PATH_MAX = 4096;
/** Symbolic links that one path may go through. */
const LINKS_MAX = 40;

/** A directory, held for the caller, and the name that the path ends with. */
export interface Place {
  readonly directory: Vnode;
  /** Empty for the root; `.` and `..` as they are. */
  readonly name: string;
  /** The path ended with a slash: only a directory can be meant. */
  readonly slash: boolean;
}

/** The bytes of a path argument, as a binary string. */
export function pathBytes(path: unknown, argument = 'path'): string {
  let binary: string;
  if (typeof path === 'string') binary = binaryFromText(path);
  else if (path instanceof Uint8Array) binary = binaryString(path);
  else if (isUrl(path)) binary = binaryFromText(decodeURIComponent(path.pathname));
  else throw argumentTypeError(argument, 'of type string or an instance of Buffer or URL', path);
  if (binary.includes('\0')) {
    const wanted = 'must be a string, Uint8Array, or URL without null bytes';
    throw argumentValueError(argument, wanted, path);
  }
  return binary;
}

/** A path argument as messages show it. */
export function pathText(path: unknown): string | undefined {
  if (typeof path === 'string') return path;
  if (path instanceof Uint8Array) return new TextDecoder().decode(path);
  return isUrl(path) ? decodeURIComponent(path.pathname) : undefined;
}

function isUrl(path: unknown): path is { href: string; pathname: string } {
  return typeof path === 'object' && path !== null && 'href' in path && 'pathname' in path;
}

/** Where to begin, and what to do at the end. */
export interface Walk {
  readonly engine: Engine;
  readonly root: Vnode;
  /** Follow a symbolic link that the path ends with. */
  readonly follow: boolean;
}

/** The inode that a path names, held for the caller. */
export function* resolve(walk: Walk, path: string): Procedure<Vnode> {
  checkPath(path);
  return yield* walkFrom(walk, walk.root, path, { left: LINKS_MAX });
}

/** The directory in which the last name of a path is, or would be. */
export function* resolveParent(walk: Walk, path: string): Procedure<Place> {
  checkPath(path);
  return yield* parentFrom(walk, walk.root, path, { left: LINKS_MAX });
}

/**
 * Where a file would be made that a path names: the same, but at the end of the symbolic links that
 * the path ends with. What is there already is found and held too.
 */
export function* resolveTarget(
  walk: Walk,
  path: string,
): Procedure<{ place: Place; found: Vnode | undefined }> {
  checkPath(path);
  const links = { left: LINKS_MAX };
  let start = walk.root;
  start.holds++;
  for (let rest = path; ; ) {
    let place: Place;
    try {
      place = yield* parentFrom(walk, start, rest, links);
    } finally {
      start.holds--;
    }
    start = place.directory;
    if (isSpecial(place.name) || place.slash) return { place, found: undefined };
    try {
      const found = yield* childOf(walk.engine, place);
      if (found?.kind !== InodeKind.SYMLINK || !walk.follow) return { place, found };
      rest = yield* follow(walk, found, links);
    } catch (error) {
      start.holds--;
      throw error;
    }
  }
}

/** An absolute path without `.`, `..` and empty names, by its text alone. */
export function normalize(path: string): string {
  const names: string[] = [];
  for (const name of path.split('/')) {
    if (name === '..') names.pop();
    else if (name !== '' && name !== '.') names.push(name);
  }
  return `/${names.join('/')}`;
}

/** A path one name longer, normalized as `path.join` does: a relative path stays one. */
export function join(path: string, name: string): string {
  if (path.startsWith('/')) return normalize(`${path}/${name}`);
  const names: string[] = [];
  for (const part of `${path}/${name}`.split('/')) {
    if (part === '..' && names.length > 0 && names.at(-1) !== '..') names.pop();
    else if (part !== '' && part !== '.') names.push(part);
  }
  return names.join('/') || '.';
}

/** True for what is not the name of an entry: the root, `.` and `..`. */
export function isSpecial(name: string): boolean {
  return name === '' || name === '.' || name === '..';
}

/** What is at a place, held; undefined if nothing is. */
export function* childOf(engine: Engine, place: Place): Procedure<Vnode | undefined> {
  const { directory, name } = place;
  checkName(name);
  const near = cachedChild(directory, name) ?? glance(engine, directory, name);
  if (near !== undefined) return near ?? undefined;
  return ((yield peek(engine, directory, name)) as Vnode | null) ?? undefined;
}

function* parentFrom(
  walk: Walk,
  start: Vnode,
  path: string,
  links: { left: number },
): Procedure<Place> {
  const trimmed = path.endsWith('/') ? path.replace(/\/+$/u, '') : path;
  const cut = trimmed.lastIndexOf('/');
  const name = trimmed.slice(cut + 1);
  const above = cut < 0 && trimmed !== '' ? '.' : trimmed.slice(0, cut + 1) || '/';
  // It ends with a slash: links are followed to its end, whatever the walk does with a last name.
  const directory = yield* walkFrom(walk, start, above, links);
  if (directory.isDirectory) return { directory, name, slash: trimmed.length < path.length };
  directory.holds--;
  throw new FilesystemError('ENOTDIR', 'Cannot use a file as a directory');
}

/** The target of a symbolic link, which is let go of. */
function* follow(walk: Walk, link: Vnode, links: { left: number }): Procedure<string> {
  try {
    if (--links.left < 0) {
      throw new FilesystemError('ELOOP', `Cannot follow more than ${LINKS_MAX} symbolic links`);
    }
    const target = binaryString(yield* run(readTarget(walk.engine, link)));
    if (target === '') throw new FilesystemError('ENOENT', 'Cannot follow an empty symbolic link');
    return target;
  } finally {
    link.holds--;
  }
}

function* walkFrom(
  walk: Walk,
  start: Vnode,
  path: string,
  links: { left: number },
): Procedure<Vnode> {
  let at = path.startsWith('/') ? walk.root : start;
  at.holds++;
  const names = path.split('/');
  const directoryWanted = path.endsWith('/');
  try {
    for (let i = 0; i < names.length; i++) {
      const name = names[i] as string;
      const last = i === names.length - 1 || (directoryWanted && i === names.length - 2);
      if (name === '') continue;
      // Most of a path is directories in memory: no step of its own for them.
      let next = cachedDirectory(at, name);
      next ??= yield* enter(walk, at, name, last && !directoryWanted, links);
      at.holds--;
      at = next;
    }
    if (directoryWanted && !at.isDirectory) {
      throw new FilesystemError('ENOTDIR', 'Cannot use a file as a directory');
    }
    return at;
  } catch (error) {
    at.holds--;
    throw error;
  }
}

/** One step of a walk: the inode that a name leads to, held. `at` stays held. */
function* enter(
  walk: Walk,
  at: Vnode,
  name: string,
  last: boolean,
  links: { left: number },
): Procedure<Vnode> {
  if (!at.isDirectory) throw new FilesystemError('ENOTDIR', 'Cannot use a file as a directory');
  if (name === '.' || name === '..') {
    const next = name === '.' || at === walk.root ? at : (at.parent ?? at);
    next.holds++;
    return next;
  }
  checkName(name);
  const near = cachedChild(at, name) ?? glance(walk.engine, at, name);
  const found = near ?? (yield* run(lookup(walk.engine, at, name)));
  if (found.kind !== InodeKind.SYMLINK || (last && !walk.follow)) return found;
  const target = yield* follow(walk, found, links);
  return yield* walkFrom({ ...walk, follow: true }, at, target, links);
}

/** A directory in memory, held. */
function cachedDirectory(at: Vnode, name: string): Vnode | undefined {
  const child = at.children?.get(name);
  if (child === undefined || !child.isDirectory) return undefined;
  child.used = true;
  child.holds++;
  return child;
}

/** A child in memory needs no operation. */
function cachedChild(directory: Vnode, name: string): Vnode | undefined {
  const child = directory.children?.get(name);
  if (child === undefined) return undefined;
  child.used = true;
  child.holds++;
  return child;
}

function checkPath(path: string): void {
  if (path === '') throw new FilesystemError('ENOENT', 'Cannot use an empty path');
  if (path.length >= PATH_MAX) {
    throw new FilesystemError(
      'ENAMETOOLONG',
      `Cannot use the path: it has ${path.length} bytes, at most ${PATH_MAX - 1} are possible`,
    );
  }
}
