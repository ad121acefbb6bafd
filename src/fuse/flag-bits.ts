/**
 * Flags of files as the kernel has them, in its several words, and as inodes have them.
 */
import { FilesystemError } from '../base/index.ts';
import { InodeFlag, SETTABLE_FLAGS } from '../format/index.ts';
import type { Vnode } from '../volume/index.ts';
import { FlagBit, XflagBit } from './constants.ts';

/** Bits of the kernel and ours. */
export type Bits = readonly (readonly [theirs: number, ours: number])[];

export const FLAGS: Bits = [
  [FlagBit.IMMUTABLE, InodeFlag.IMMUTABLE],
  [FlagBit.APPEND, InodeFlag.APPEND],
  [FlagBit.NODUMP, InodeFlag.NODUMP],
  [FlagBit.NOATIME, InodeFlag.NOATIME],
  [FlagBit.NOCOW, InodeFlag.INPLACE],
];

export const XFLAGS: Bits = [
  [XflagBit.IMMUTABLE, InodeFlag.IMMUTABLE],
  [XflagBit.APPEND, InodeFlag.APPEND],
  [XflagBit.NOATIME, InodeFlag.NOATIME],
  [XflagBit.NODUMP, InodeFlag.NODUMP],
];

export function theirs(bits: Bits, flags: number): number {
  return bits.reduce((sum, [bit, own]) => ((flags & own) !== 0 ? sum | bit : sum), 0);
}

/**
 * The flags that a request asks for; what its words have no bit for stays as it is.
 *
 * @throws {FilesystemError} `ENOTSUP` for a flag that is not kept
 */
export function ours(bits: Bits, flags: number, vnode: Vnode): number {
  const known = bits.reduce((sum, [bit]) => sum | bit, 0);
  if ((flags & ~known) !== 0) {
    throw new FilesystemError('ENOTSUP', `Cannot set flags 0x${(flags >>> 0).toString(16)}`);
  }
  return bits.reduce(
    (sum, [bit, own]) => ((flags & bit) !== 0 ? sum | own : sum & ~own),
    vnode.flags & SETTABLE_FLAGS,
  );
}
