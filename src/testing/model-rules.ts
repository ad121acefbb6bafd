/**
 * Model rules: what calls of the model have in common. Names and paths are binary strings.
 */
import { type ModelKind, ModelNode } from './model-node.ts';

export class ModelError extends Error {
  readonly code: string;

  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

const NAME_MAX = 255;
const PATH_MAX = 4096;

/** An open file. */
export interface ModelHandle {
  readonly node: ModelNode;
  readonly readable: boolean;
  readonly writable: boolean;
  readonly append: boolean;
  position: number;
  open: boolean;
}

/** A directory and a name in it. */
export interface Place {
  readonly directory: ModelNode;
  readonly name: string;
  readonly slash: boolean;
}

export interface ModelStat {
  readonly node: ModelNode;
  readonly kind: ModelKind;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly nlink: number;
  readonly size: number;
  readonly atimeMs: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly birthtimeMs: number;
}

/** The code of a model's refusal; any other error is thrown on. */
export function codeOf(error: unknown): string {
  if (error instanceof ModelError) return error.code;
  throw error;
}

export function statOf(node: ModelNode): ModelStat {
  const { kind, mode, uid, gid, nlink, size } = node;
  const { atime: atimeMs, mtime: mtimeMs, ctime: ctimeMs, btime: birthtimeMs } = node;
  return { node, kind, mode, uid, gid, nlink, size, atimeMs, mtimeMs, ctimeMs, birthtimeMs };
}

export function newNode(kind: ModelKind, mode: number, time: number): ModelNode {
  const node = new ModelNode(kind);
  node.mode = mode;
  node.nlink = kind === 'directory' ? 2 : 1;
  node.atime = node.mtime = node.ctime = node.btime = time;
  return node;
}

export function stamp(node: ModelNode, time: number): void {
  node.mtime = time;
  node.ctime = time;
}

export function leave({ directory, name }: Place, node: ModelNode, time: number): void {
  directory.entries.delete(name);
  if (node.isDirectory) {
    directory.nlink--;
    node.parent = undefined;
  }
  stamp(directory, time);
}

/**
 * A tree has gone: what is open of it has no names. Nor has what is open of a realm that has gone,
 * though its names in the realm may have gone before, and others be outside.
 */
export function loseNames(top: ModelNode, handles: Iterable<ModelHandle>): void {
  const gone = new Set(top.all());
  for (const node of gone) node.nlink = 0;
  for (const { node } of handles) if (gone.has(node.realm.root)) node.nlink = 0;
}

export function isSpecial(name: string): boolean {
  return name === '' || name === '.' || name === '..';
}

export function childOf(directory: ModelNode, name: string): ModelNode | undefined {
  checkName(name);
  return directory.entries.get(name);
}

export function present({ directory, name }: Place): ModelNode {
  const node = childOf(directory, name);
  if (node === undefined) throw new ModelError('ENOENT');
  return node;
}

export function checkName(name: string): void {
  if (name.length > NAME_MAX) throw new ModelError('ENAMETOOLONG');
  if (isSpecial(name) || name.includes('/')) throw new ModelError('EINVAL');
}

export function checkPath(path: string): void {
  if (path === '') throw new ModelError('ENOENT');
  if (path.length >= PATH_MAX) throw new ModelError('ENAMETOOLONG');
}

export function checkWritable(node: ModelNode): void {
  if (node.realm.readOnly) throw new ModelError('EROFS');
}

export function checkOpen(handle: ModelHandle): void {
  if (!handle.open) throw new ModelError('EBADF');
}

export function checkRemovable(place: Place): void {
  if (place.name === '') throw new ModelError('EBUSY');
  if (place.name === '.') throw new ModelError('EINVAL');
  if (place.name === '..') throw new ModelError('ENOTEMPTY');
  checkWritable(place.directory);
  if (!present(place).isDirectory) throw new ModelError('ENOTDIR');
}

export function checkReplaceable(node: ModelNode, replaced: ModelNode): void {
  if (!node.isDirectory && replaced.isDirectory) throw new ModelError('EISDIR');
  if (node.isDirectory && !replaced.isDirectory) throw new ModelError('ENOTDIR');
  if (replaced.entries.size > 0) throw new ModelError('ENOTEMPTY');
}
