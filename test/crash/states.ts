/**
 * States: what a volume may show after a power cut.
 *
 * The model reports each change that a cut may keep while it loses the next one; each makes a
 * state. What is found must have the names and attributes of one of them, no older than the last
 * that was acknowledged. A file that was made durable in it is exact. Of another file each block is
 * one of those that it has been since, and its size one that it has had, or a number of whole
 * blocks in between: its data has its place, and is in the log, block by block.
 *
 * Where files are overwritten in place, a block may also be one that its file has been later, or a
 * mixture of such, sector by sector; but not once the file was made durable and has not changed.
 */
import { BLOCK_SIZE, hashName } from '../../src/base/index.ts';
import { ContentDigest, type ModelVolume, SECTOR_SIZE } from '../../src/testing/index.ts';
import type { ModelBytes, ModelNode } from '../../src/testing/model-node.ts';
import type { Engine } from '../../src/volume/index.ts';

/** Bytes of a file: blocks that are not all zeros. */
export class Content {
  readonly size: number;
  readonly blocks: ReadonlyMap<number, Uint8Array>;
  /** Blocks that could not be read. */
  readonly lost: ReadonlySet<number>;

  constructor(
    size: number,
    pieces: Iterable<readonly [number, Uint8Array]>,
    lost: ReadonlySet<number> = new Set(),
  ) {
    this.lost = lost;
    const blocks = new Map<number, Uint8Array>();
    for (const [at, bytes] of pieces) {
      for (let from = 0; from < bytes.length; from += BLOCK_SIZE) {
        const part = bytes.subarray(from, from + BLOCK_SIZE);
        const index = (at + from) / BLOCK_SIZE;
        if (part.some((byte) => byte !== 0)) blocks.set(index, part.slice());
      }
    }
    this.size = size;
    this.blocks = blocks;
  }

  static of(bytes: ModelBytes): Content {
    return new Content(bytes.size, bytes.pieces());
  }
}

/** One name, as a model has it or as a volume shows it. */
export interface Entry {
  /** Everything about it that is the same whether its data is durable or not. */
  readonly fixed: string;
  readonly mtime: number;
  readonly ctime: number;
  /** Of a file. */
  readonly content: Content | undefined;
  /** Of a file of a model. */
  readonly node?: ModelNode;
  /** What could not be read of it; with `all`, nothing is known of what is below it either. */
  readonly lost?: 'all' | 'content';
}

export type Names = ReadonlyMap<string, Entry>;

interface State {
  readonly names: Names;
  readonly files: ReadonlyMap<ModelNode, Entry>;
}

/** What an acknowledgement has promised: everything, or one file and all names. */
export interface Ack {
  readonly state: number;
  readonly file: ModelNode | undefined;
}

/** Names in the order in which a volume lists them. */
export function listed(names: string[], { superblock }: Engine['store']): string[] {
  const hash = (name: string): number => hashName(name, superblock.hashSeed);
  return names.sort((a, b) => hash(a) - hash(b));
}

export class States {
  readonly #states: State[] = [];
  /** Of each node, the last content that was seen, so that equal ones are the same object. */
  readonly #contents = new Map<ModelNode, Content>();
  readonly #inplace: boolean;

  constructor(inplace = false) {
    this.#inplace = inplace;
  }

  get last(): number {
    return this.#states.length - 1;
  }

  capture(model: ModelVolume): void {
    const names = new Map<string, Entry>();
    const files = new Map<ModelNode, Entry>();
    const first = new Map<ModelNode, string>();
    const visit = (node: ModelNode, path: string): void => {
      const known = first.get(node);
      if (known !== undefined) {
        names.set(path, { fixed: `= ${known}`, mtime: 0, ctime: 0, content: undefined });
        return;
      }
      first.set(node, path);
      const entry = this.#entryOf(node);
      names.set(path, entry);
      if (entry.content !== undefined) files.set(node, entry);
      for (const [name, child] of sorted(node.entries)) visit(child, `${path}/${name}`);
    };
    visit(model.root, '');
    for (const [name, root] of sorted(model.snapshots)) visit(root, `@${name}:`);
    // What has no name yet may get one, and then show what it was before.
    for (const { node } of model.handles) {
      if (node.linkable) files.set(node, this.#entryOf(node));
    }
    this.#states.push({ names, files });
  }

  /**
   * Fails unless what is found is one of the states from the last acknowledged one to `upper`.
   * Returns which.
   */
  match(found: Names, acks: readonly Ack[], upper: number): number {
    const lower = Math.max(0, ...acks.map(({ state }) => state));
    const reasons: string[] = [];
    for (let state = upper; state >= lower; state--) {
      const reason = this.#mismatch(found, acks, { state, upper });
      if (reason === undefined) return state;
      reasons.push(`as state ${state}: ${reason}`);
    }
    const shown =
      reasons.length > 6 ? [...reasons.slice(0, 3), '...', ...reasons.slice(-3)] : reasons;
    throw new Error(`Found none of the states ${lower} to ${upper}\n  ${shown.join('\n  ')}`);
  }

  #mismatch(
    found: Names,
    acks: readonly Ack[],
    { state, upper }: { state: number; upper: number },
  ): string | undefined {
    const { names } = this.#states[state] as State;
    const later = (node: ModelNode): Entry[] | undefined =>
      this.#inplace ? this.#versions(node, acks, upper) : undefined;
    for (const [path, { lost }] of found) {
      if (!names.has(path) && lost !== 'all') return `${path} is there`;
    }
    for (const [path, stated] of names) {
      const entry = found.get(path);
      if (entry === undefined && !isLost(found, path)) return `${path} is missing`;
      if (entry === undefined || entry.lost === 'all') continue;
      const wanted = asFound(found, names, path, stated);
      if (entry.fixed !== wanted.fixed) return `${path} is ${entry.fixed}, wanted ${wanted.fixed}`;
      if (entry.lost === 'content') continue;
      const reason =
        wanted.node === undefined
          ? timesDiffer(entry, [wanted])
          : fileDiffers(entry, this.#versions(wanted.node, acks, state), later(wanted.node));
      if (reason !== undefined) return `${path}: ${reason}`;
    }
    return undefined;
  }

  /** What a file has been from the last time it was made durable to a state. */
  #versions(node: ModelNode, acks: readonly Ack[], state: number): Entry[] {
    let from = 0;
    for (const ack of acks) {
      if (ack.file === undefined || ack.file === node) from = Math.max(from, ack.state);
    }
    const versions: Entry[] = [];
    for (let i = from; i <= state; i++) {
      const entry = this.#states[i]?.files.get(node);
      if (entry !== undefined) versions.push(entry);
    }
    return versions;
  }

  #entryOf(node: ModelNode): Entry {
    const { kind, mode, uid, gid, nlink, size, mtime, ctime, btime, atime } = node;
    const fixed = fixedText({
      kind,
      mode,
      uid,
      gid,
      nlink,
      size,
      atime,
      btime,
      target: node.target,
    });
    if (kind !== 'file') return { fixed, mtime, ctime, content: undefined };
    return { fixed, mtime, ctime, content: this.#contentOf(node), node };
  }

  #contentOf(node: ModelNode): Content {
    const content = Content.of(node.bytes);
    const before = this.#contents.get(node);
    if (before !== undefined && sameContent(before, content)) return before;
    this.#contents.set(node, content);
    return content;
  }
}

/** True if a directory above could not be read, or the list of snapshots. */
function isLost(found: Names, path: string): boolean {
  if (path.startsWith('@') && found.get('@')?.lost === 'all') return true;
  for (let end = path.length; end >= 0; end = path.lastIndexOf('/', end - 1)) {
    if (found.get(path.slice(0, end))?.lost === 'all') return true;
    if (end === 0) break;
  }
  return false;
}

/**
 * What a state has under a path, said as it was found: where the first name of an inode is lost,
 * another one of them is the first.
 */
function asFound(found: Names, names: Names, path: string, stated: Entry): Entry {
  if (!stated.fixed.startsWith('= ')) return stated;
  const first = stated.fixed.slice(2);
  const { fixed } = found.get(path) as Entry;
  if (found.has(first) && found.get(first)?.lost !== 'all') return stated;
  if (!fixed.startsWith('= ')) return names.get(first) as Entry;
  return names.get(fixed.slice(2))?.fixed === stated.fixed ? { ...stated, fixed } : stated;
}

interface Fixed {
  readonly kind: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly nlink: number;
  readonly size: number;
  readonly atime: number;
  readonly btime: number;
  readonly target: string;
}

export function fixedText(of: Fixed): string {
  const { kind, mode, uid, gid, nlink, size, atime, btime, target } = of;
  const length = kind === 'file' ? '' : ` ${size}`;
  return `${kind} ${mode.toString(8)} ${uid}:${gid} x${nlink}${length} ${atime} ${btime} ${target}`;
}

function sorted<Value>(map: ReadonlyMap<string, Value>): [string, Value][] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** All of it as text, to be compared. */
export function textOf(names: Names): string[] {
  return [...names].map(([path, { fixed, mtime, ctime, content }]) => {
    const digest = new ContentDigest();
    const blocks = [...(content?.blocks ?? [])].sort(([a], [b]) => a - b);
    for (const [index, bytes] of blocks) digest.add(index * BLOCK_SIZE, bytes);
    return `${path} ${fixed} ${mtime} ${ctime} ${content?.size} ${digest.result}`;
  });
}

function sameContent(left: Content, right: Content): boolean {
  if (left.size !== right.size || left.blocks.size !== right.blocks.size) return false;
  for (const [index, bytes] of left.blocks) {
    const other = right.blocks.get(index);
    if (other === undefined || Buffer.compare(bytes, other) !== 0) return false;
  }
  return true;
}

function timesDiffer(found: Entry, versions: readonly Entry[]): string | undefined {
  for (const field of ['mtime', 'ctime'] as const) {
    const wanted = versions.map((version) => version[field]);
    if (!wanted.includes(found[field])) return `${field} ${found[field]}, wanted ${wanted.join()}`;
  }
  return undefined;
}

/** `others`: what the blocks may be too, sector by sector. */
function fileDiffers(
  found: Entry,
  versions: readonly Entry[],
  others: readonly Entry[] | undefined,
): string | undefined {
  const reason = timesDiffer(found, versions);
  if (reason !== undefined) return reason;
  const content = found.content as Content;
  const contents = [...new Set(versions.map((version) => version.content as Content))];
  const sizes = contents.map(({ size }) => size);
  const [least, most] = [Math.min(...sizes), Math.max(...sizes)];
  const { size } = content;
  const between = size % BLOCK_SIZE === 0 && size > least && size < most;
  if (!sizes.includes(size) && !between) return `${size} bytes, wanted ${sizes.join()}`;
  const mixed = [...new Set(others?.map((version) => version.content as Content))];
  const indices = new Set([content, ...contents].flatMap(({ blocks }) => [...blocks.keys()]));
  for (const index of indices) {
    const length = Math.min(BLOCK_SIZE, size - index * BLOCK_SIZE);
    if (length <= 0 || content.lost.has(index)) continue;
    const block = blockOf(content, index, length);
    const had = contents.filter((version) => version.size > index * BLOCK_SIZE);
    const same = had.some(
      (version) => Buffer.compare(blockOf(version, index, length), block) === 0,
    );
    if (!same && !isMixed(block, mixed, index)) {
      return `block ${index} is none of its ${had.length} versions`;
    }
  }
  return undefined;
}

/** True if each sector of a block is that of some version. */
function isMixed(block: Uint8Array, versions: readonly Content[], index: number): boolean {
  const blocks = versions
    .filter(({ size }) => size > index * BLOCK_SIZE)
    .map((version) => blockOf(version, index, block.length));
  for (let at = 0; at < block.length; at += SECTOR_SIZE) {
    const sector = block.subarray(at, at + SECTOR_SIZE);
    const has = (other: Uint8Array): boolean =>
      Buffer.compare(other.subarray(at, at + SECTOR_SIZE), sector) === 0;
    if (!blocks.some(has)) return false;
  }
  return blocks.length > 0;
}

function blockOf({ blocks }: Content, index: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  bytes.set(blocks.get(index)?.subarray(0, length) ?? []);
  return bytes;
}
