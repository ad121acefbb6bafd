/**
 * Model nodes: inodes as plain objects. Nothing is shared here: a clone is a deep copy.
 */

/** Bytes that are kept together; what is not kept is zeros. */
const CHUNK = 4096;

/** Contents of a file, of any length. */
export class ModelBytes {
  size = 0;
  readonly #chunks = new Map<number, Uint8Array>();

  write(position: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const at = position + done;
      const from = at % CHUNK;
      const part = bytes.subarray(done, done + CHUNK - from);
      this.#chunk((at - from) / CHUNK).set(part, from);
      done += part.length;
    }
    if (bytes.length > 0) this.size = Math.max(this.size, position + bytes.length);
  }

  truncate(size: number): void {
    for (const [index, chunk] of this.#chunks) {
      if (index * CHUNK >= size) this.#chunks.delete(index);
      else if ((index + 1) * CHUNK > size) chunk.fill(0, size - index * CHUNK);
    }
    this.size = size;
  }

  read(position: number, length: number): Uint8Array {
    const bytes = new Uint8Array(Math.max(0, Math.min(length, this.size - position)));
    for (let done = 0; done < bytes.length; ) {
      const at = position + done;
      const from = at % CHUNK;
      const count = Math.min(CHUNK - from, bytes.length - done);
      const chunk = this.#chunks.get((at - from) / CHUNK);
      if (chunk !== undefined) bytes.set(chunk.subarray(from, from + count), done);
      done += count;
    }
    return bytes;
  }

  copy(): ModelBytes {
    const copy = new ModelBytes();
    copy.size = this.size;
    for (const [index, chunk] of this.#chunks) copy.#chunks.set(index, chunk.slice());
    return copy;
  }

  /** What is kept: where it begins, and its bytes. */
  *pieces(): Generator<readonly [number, Uint8Array]> {
    for (const [index, chunk] of this.#chunks) yield [index * CHUNK, chunk];
  }

  /** Bytes in memory. */
  get kept(): number {
    return this.#chunks.size * CHUNK;
  }

  get digest(): string {
    const digest = new ContentDigest();
    for (const index of [...this.#chunks.keys()].sort((a, b) => a - b)) {
      digest.add(index * CHUNK, this.#chunks.get(index) as Uint8Array);
    }
    return digest.result;
  }

  #chunk(index: number): Uint8Array {
    let chunk = this.#chunks.get(index);
    if (chunk === undefined) {
      chunk = new Uint8Array(CHUNK);
      this.#chunks.set(index, chunk);
    }
    return chunk;
  }
}

/** A digest of a file's contents in which chunks of zeros do not count, so holes cost nothing. */
export class ContentDigest {
  #high = 0x9e3779b9;
  #low = 0x85ebca6b;

  /** Parts must begin at a multiple of 4096, in order; the last one alone may end elsewhere. */
  add(position: number, bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += CHUNK) {
      let end = Math.min(at + CHUNK, bytes.length);
      while (end > at && bytes[end - 1] === 0) end--;
      if (end > at) this.#addChunk((position + at) / CHUNK, bytes, at, end);
    }
  }

  get result(): string {
    return (this.#high >>> 0).toString(16) + (this.#low >>> 0).toString(16).padStart(8, '0');
  }

  #addChunk(index: number, bytes: Uint8Array, from: number, end: number): void {
    let [high, low] = [this.#high ^ Math.floor(index / 2 ** 32), this.#low ^ index];
    for (let at = from; at < end; at++) {
      low = (Math.imul(low ^ (bytes[at] as number), 0x01000193) + (high >>> 7)) | 0;
      high = (Math.imul(high ^ low, 0x85ebca77) + at - from) | 0;
    }
    this.#high = high;
    this.#low = low;
  }
}

/** The scope of inode numbers and hard links: what a clone of a directory opens. */
export class ModelRealm {
  readonly root: ModelNode;
  readonly readOnly: boolean;
  /** What numbers of inodes belong to: what leaves a realm keeps its numbers. */
  readonly scope: object;

  constructor(root: ModelNode, readOnly: boolean, scope: object = {}) {
    this.root = root;
    this.readOnly = readOnly;
    this.scope = scope;
  }
}

export type ModelKind = 'file' | 'directory' | 'symlink';

export class ModelNode {
  readonly kind: ModelKind;
  realm!: ModelRealm;
  mode = 0;
  uid = 0;
  gid = 0;
  nlink = 1;
  /** Milliseconds. */
  atime = 0;
  mtime = 0;
  ctime = 0;
  btime = 0;
  bytes = new ModelBytes();
  target = '';
  readonly entries = new Map<string, ModelNode>();
  /** Of a directory. */
  parent: ModelNode | undefined;
  /** It has, or had, several names: it cannot leave its realm. */
  linked = false;
  /** Such a file may be below: nor can this directory. */
  linksBelow = false;
  opens = 0;
  /** It was made without a name, and may get one. */
  linkable = false;

  constructor(kind: ModelKind) {
    this.kind = kind;
  }

  get isDirectory(): boolean {
    return this.kind === 'directory';
  }

  /** In bytes; of a directory, its names. */
  get size(): number {
    if (this.kind === 'file') return this.bytes.size;
    return this.kind === 'symlink' ? this.target.length : this.entries.size;
  }

  isWithin(other: ModelNode): boolean {
    for (let at: ModelNode | undefined = this; at !== undefined; at = at.parent) {
      if (at === other) return true;
    }
    return false;
  }

  /** Files below it, or itself, cannot go to another realm. */
  get isBound(): boolean {
    return this.linked || (this.linksBelow && this.realm.root !== this);
  }

  /** Every node below, itself included; a node with several names comes several times. */
  *all(): Generator<ModelNode> {
    yield this;
    for (const child of this.entries.values()) yield* child.all();
  }
}

/** Up to the root of the realm, or to where it is known already. */
export function markLinksBelow(from: ModelNode): void {
  for (let at: ModelNode | undefined = from; at !== undefined; at = at.parent) {
    if (at.linksBelow) return;
    at.linksBelow = true;
    if (at.realm.root === at) return;
  }
}

/** What has left its realm is one of its own. */
export function openRealm(top: ModelNode): void {
  const old = top.realm;
  const own = new ModelRealm(top, false, old.scope);
  const visit = (node: ModelNode): void => {
    if (node.realm !== old) return;
    node.realm = own;
    for (const child of node.entries.values()) visit(child);
  };
  visit(top);
}

/** A file once more, in another place. */
export function copyFileNode(source: ModelNode, realm: ModelRealm): ModelNode {
  const copy = copyAttributes(source);
  copy.nlink = 1;
  copy.linked = false;
  copy.realm = realm;
  return copy;
}

/** A directory with everything below once more; a file with several names below stays one. */
export function copyTree(source: ModelNode, outer: ModelRealm | undefined, readOnly: boolean) {
  const copies = new Map<ModelNode, ModelNode>();
  const visit = (node: ModelNode, realm: ModelRealm | undefined): ModelNode => {
    const known = copies.get(node);
    if (known !== undefined) return known;
    const copy = copyAttributes(node);
    copies.set(node, copy);
    const isRoot = node === source || node.realm.root === node;
    const frozen = (realm?.readOnly ?? false) || (node === source && readOnly);
    copy.realm = isRoot || realm === undefined ? new ModelRealm(copy, frozen) : realm;
    for (const [name, child] of node.entries) {
      const made = visit(child, copy.realm);
      copy.entries.set(name, made);
      if (made.isDirectory) made.parent = copy;
    }
    return copy;
  };
  return visit(source, outer);
}

function copyAttributes(source: ModelNode): ModelNode {
  const copy = new ModelNode(source.kind);
  const { mode, uid, gid, nlink, atime, mtime, ctime, btime, target, linked, linksBelow } = source;
  Object.assign(copy, { mode, uid, gid, nlink, atime, mtime, ctime, btime, target });
  copy.linked = linked;
  copy.linksBelow = linksBelow;
  copy.bytes = source.bytes.copy();
  return copy;
}
