/**
 * Model: what a volume is supposed to do, in a few plain objects.
 *
 * It shares no code with the engine: a directory is a `Map`, a file its bytes, a clone or a
 * snapshot a deep copy. It knows paths and open files, and refuses with the code of an errno what a
 * volume has to refuse. Names and paths are binary strings: one character a byte.
 *
 * M1. Every change that a power cut may keep while it loses the next one is reported to `onChange`.
 */
import { ModelFs } from './model-fs.ts';
import { copyTree, type ModelNode, ModelRealm } from './model-node.ts';
import {
  checkName,
  loseNames,
  ModelError,
  type ModelHandle,
  type ModelStat,
  newNode,
  statOf,
} from './model-rules.ts';

export { ModelFs } from './model-fs.ts';
export { ContentDigest, type ModelKind, type ModelNode } from './model-node.ts';
export { ModelError, type ModelHandle, type ModelStat } from './model-rules.ts';

/** A volume: the live tree and the snapshots. */
export class ModelVolume {
  /** Milliseconds since 1970. */
  now: () => number;
  readonly umask: number;
  readonly root: ModelNode;
  readonly snapshots = new Map<string, ModelNode>();
  readonly live: ModelFs;
  onChange: () => void = () => {};
  /** In which order the names below a directory go, where they go one by one. */
  order: (names: string[]) => string[] = (names) => names;
  #handles = new Set<ModelHandle>();

  constructor(now: () => number, umask = 0o022) {
    this.now = now;
    this.umask = umask;
    this.root = newNode('directory', 0o755, now());
    this.root.realm = new ModelRealm(this.root, false);
    this.live = new ModelFs(this, this.root);
  }

  /** The calls on the live tree, or on a snapshot. */
  view(snapshot?: string): ModelFs {
    if (snapshot === undefined) return this.live;
    const root = this.snapshots.get(snapshot);
    if (root === undefined) throw new ModelError('ENOENT');
    return new ModelFs(this, root);
  }

  /** Files that are open. */
  get handles(): ReadonlySet<ModelHandle> {
    return this.#handles;
  }

  keep(handle: ModelHandle): void {
    handle.node.opens++;
    this.#handles.add(handle);
  }

  drop(handle: ModelHandle): void {
    handle.open = false;
    handle.node.opens--;
    this.#handles.delete(handle);
  }

  /** Nothing is open any more. */
  remount(): void {
    for (const handle of [...this.#handles]) this.drop(handle);
  }

  clone(source: { snapshot?: string; path: string }, destination: string): void {
    const node = this.view(source.snapshot).find(source.path, false);
    this.live.cloneTo(node, destination);
  }

  snapshot(name: string, writable = false): void {
    checkName(name);
    if (this.snapshots.has(name)) throw new ModelError('EEXIST');
    const copy = copyTree(this.root, undefined, !writable);
    copy.ctime = this.now();
    copy.btime = copy.ctime;
    this.snapshots.set(name, copy);
    this.onChange();
  }

  deleteSnapshot(name: string): void {
    const root = this.snapshots.get(name);
    if (root === undefined) throw new ModelError('ENOENT');
    this.snapshots.delete(name);
    loseNames(root, this.#handles);
    this.onChange();
  }

  /** Everything that can be seen, one line per name; the same state gives the same lines. */
  dump(): string[] {
    const lines: string[] = [];
    const first = new Map<ModelNode, string>();
    dumpTree(this.root, '', lines, first);
    for (const name of [...this.snapshots.keys()].sort()) {
      dumpTree(this.snapshots.get(name) as ModelNode, `@${name}:`, lines, first);
    }
    return lines;
  }
}

/** One line of {@link ModelVolume.dump}. */
export function dumpLine(path: string, node: Omit<ModelStat, 'node'>, content: string): string {
  const { kind, mode, uid, gid, nlink, size } = node;
  const times = [node.atimeMs, node.mtimeMs, node.ctimeMs, node.birthtimeMs].join(' ');
  const bytes = kind === 'directory' ? '' : ` ${size} bytes`;
  return `${path} ${kind} ${mode.toString(8)} ${uid}:${gid} x${nlink}${bytes} ${times} ${content}`;
}

function dumpTree(
  node: ModelNode,
  path: string,
  lines: string[],
  first: Map<ModelNode, string>,
): void {
  const known = first.get(node);
  if (known !== undefined) {
    lines.push(`${path} = ${known}`);
    return;
  }
  first.set(node, path);
  lines.push(dumpLine(path, statOf(node), contentOf(node)));
  for (const name of [...node.entries.keys()].sort()) {
    dumpTree(node.entries.get(name) as ModelNode, `${path}/${name}`, lines, first);
  }
}

function contentOf(node: ModelNode): string {
  if (node.kind === 'symlink') return `-> ${node.target}`;
  return node.isDirectory ? '' : node.bytes.digest;
}
