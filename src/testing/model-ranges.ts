/**
 * Model ranges: what can be done to ranges of a file of a model, by the rules of fallocate(2) and
 * FICLONERANGE.
 */
import type { ModelVolume } from './model.ts';
import { ModelBytes, type ModelNode } from './model-node.ts';
import { checkOpen, checkWritable, ModelError, type ModelHandle, stamp } from './model-rules.ts';

const BLOCK = 4096;

export type ModelRange = 'punch' | 'zero' | 'allocate' | 'collapse' | 'insert' | 'unshare';

/** Changes a range of an open file. */
export function changeRange(
  volume: ModelVolume,
  handle: ModelHandle,
  what: ModelRange,
  offset: number,
  length: number,
): void {
  const node = writable(handle);
  const { size } = node.bytes;
  const aligned = offset % BLOCK === 0 && length % BLOCK === 0;
  if (what === 'collapse' && (!aligned || offset + length >= size)) throw new ModelError('EINVAL');
  if (what === 'insert' && (!aligned || offset >= size)) throw new ModelError('EINVAL');
  checkWritable(node);
  const end = offset + length;
  if (what === 'punch' || what === 'zero') zero(node, offset, Math.min(end, size));
  if (what === 'zero' || what === 'allocate') grow(node, end);
  if (what === 'collapse') replace(node, offset, end, 0);
  if (what === 'insert') replace(node, offset, offset, length);
  changed(volume, node);
}

/** Clones a range of one open file into another; to the end of the source if `length` is 0. */
export function cloneRange(
  volume: ModelVolume,
  from: { readonly handle: ModelHandle; readonly offset: number },
  to: { readonly handle: ModelHandle; readonly offset: number },
  length: number,
): number {
  checkOpen(from.handle);
  if (!from.handle.readable) throw new ModelError('EBADF');
  const source = from.handle.node;
  if (source.isDirectory) throw new ModelError('EISDIR');
  const target = writable(to.handle);
  const all = length === 0 ? source.bytes.size - from.offset : length;
  const end = from.offset + all;
  const odd = from.offset % BLOCK !== 0 || to.offset % BLOCK !== 0;
  if (all < 0 || end > source.bytes.size || odd) throw new ModelError('EINVAL');
  const ends = end === source.bytes.size && to.offset + all >= target.bytes.size;
  if (all % BLOCK !== 0 && !ends) throw new ModelError('EINVAL');
  const overlap = from.offset < to.offset + all && to.offset < end;
  if (source === target && overlap) throw new ModelError('EINVAL');
  checkWritable(target);
  if (all === 0) return 0;
  target.bytes.write(to.offset, source.bytes.read(from.offset, all));
  changed(volume, target);
  return all;
}

function writable(handle: ModelHandle): ModelNode {
  checkOpen(handle);
  if (!handle.writable) throw new ModelError('EBADF');
  return handle.node;
}

function zero(node: ModelNode, from: number, to: number): void {
  if (to > from) node.bytes.write(from, new Uint8Array(to - from));
}

function grow(node: ModelNode, size: number): void {
  if (size > node.bytes.size) node.bytes.truncate(size);
}

/** The bytes from `from` to `to` give way to `gap` zeros. */
function replace(node: ModelNode, from: number, to: number, gap: number): void {
  const { bytes } = node;
  const made = new ModelBytes();
  for (const [at, piece] of bytes.pieces()) {
    const part = piece.subarray(0, Math.max(0, bytes.size - at));
    if (at < from) made.write(at, part);
    else if (at >= to) made.write(at - (to - from) + gap, part);
  }
  made.truncate(bytes.size - (to - from) + gap);
  node.bytes = made;
}

function changed(volume: ModelVolume, node: ModelNode): void {
  stamp(node, volume.now());
  volume.onChange();
}
