/**
 * Mutation: one change of a volume as plain data.
 *
 * Everything that changes a volume is one of these records, executed by one function. An intent log
 * is made of them, recovery and tests replay them. A record says what was decided, not what was
 * asked for: the inode number that was given, the time that was stamped, the realm that was opened.
 *
 * M1. Inodes are named by *handles*, numbers that a BIND record or the record that created the
 *     inode has introduced before. Handle 1 is the root of the live volume, 2 the directory of
 *     snapshots.
 * M2. Replaying the records of a volume, in order, on a volume in the state before the first of
 *     them gives the same names, attributes, data and identities.
 * M3. Names are binary strings (one character a byte) in memory and bytes in the log.
 */
import type { InodeKind } from './record.ts';
import type { Time } from './time.ts';

/** Handle of the root of the live volume. */
export const ROOT_HANDLE = 1;
/** Handle of the directory that holds the snapshots. */
export const SNAPSHOTS_HANDLE = 2;

/** Gives an existing inode a handle. */
export interface BindMutation {
  readonly type: 'bind';
  readonly handle: number;
  readonly parent: number;
  readonly name: string;
}

/** Makes a file, directory, symbolic link or special file. */
export interface CreateMutation {
  readonly type: 'create';
  readonly parent: number;
  readonly name: string;
  readonly kind: InodeKind;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  /** Target of a symbolic link, else empty. */
  readonly target: string;
  readonly time: Time;
  /** 0 asks for the next free number; the record that is kept has the number given. */
  ino: number;
  handle: number;
}

/** Makes a file that has no name yet, in the realm of a directory. */
export interface TmpfileMutation {
  readonly type: 'tmpfile';
  readonly parent: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly time: Time;
  /** 0 asks for the next free number. */
  ino: number;
  handle: number;
}

/** One name more for an inode. */
export interface LinkMutation {
  readonly type: 'link';
  readonly target: number;
  readonly parent: number;
  readonly name: string;
  readonly time: Time;
}

/** Takes a name away; the inode goes with its last name and last open handle. */
export interface UnlinkMutation {
  readonly type: 'unlink';
  readonly parent: number;
  readonly name: string;
  /** Which kind may go: a name that is not a directory, an empty directory, or a whole tree. */
  readonly what: UnlinkWhat;
  readonly time: Time;
}

export const UnlinkWhat = { FILE: 0, DIRECTORY: 1, TREE: 2 } as const;
export type UnlinkWhat = (typeof UnlinkWhat)[keyof typeof UnlinkWhat];

export interface RenameMutation {
  readonly type: 'rename';
  readonly parent: number;
  readonly name: string;
  readonly newParent: number;
  readonly newName: string;
  readonly flags: number;
  readonly time: Time;
}

/** With EXCHANGE both names stay, and what they name changes places. */
export const RenameFlag = { NO_REPLACE: 1, EXCHANGE: 2 } as const;

/** A rename that leaves a character device 0/0 under the old name. */
export interface WhiteoutMutation extends Omit<RenameMutation, 'type'> {
  readonly type: 'whiteout';
  readonly uid: number;
  readonly gid: number;
  /** Of the device; 0 asks for the next free number. */
  ino: number;
}

/** Changes what `mask` names, see {@link AttributeMask}. */
export interface SetAttributesMutation {
  readonly type: 'setattr';
  readonly target: number;
  readonly mask: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly atime: Time;
  readonly mtime: Time;
  readonly time: Time;
}

export const AttributeMask = { MODE: 1, UID: 2, GID: 4, ATIME: 8, MTIME: 16 } as const;

/** Says which of `SETTABLE_FLAGS` an inode has, and its project. */
export interface SetFlagsMutation {
  readonly type: 'setflags';
  readonly target: number;
  readonly flags: number;
  readonly project: number;
  readonly time: Time;
}

/** Sets an extended attribute, or removes it when `value` is undefined. */
export interface SetExtendedMutation {
  readonly type: 'setxattr';
  readonly target: number;
  readonly name: string;
  readonly value: Uint8Array | undefined;
  readonly flags: number;
  readonly time: Time;
}

export const ExtendedFlag = { CREATE: 1, REPLACE: 2 } as const;

export interface TruncateMutation {
  readonly type: 'truncate';
  readonly target: number;
  readonly size: number;
  /** It made the file shorter: a file that is shorter already stays as it is. */
  readonly shrink?: boolean | undefined;
  readonly time: Time;
}

/** Data in the record itself: what a write was given, or a short write of the log. */
export interface WriteInlineMutation {
  readonly type: 'write-inline';
  readonly target: number;
  readonly offset: number;
  readonly data: Uint8Array;
  readonly time: Time;
}

/** Data that is in its final place already: the blocks and their checksums. */
export interface WriteMutation {
  readonly type: 'write';
  readonly target: number;
  readonly offset: number;
  readonly runs: readonly { readonly block: number; readonly length: number }[];
  readonly checksums: Uint32Array;
  readonly time: Time;
}

/** Ranges of a file: what `mode` says, in the words of fallocate(2). */
export interface AllocateMutation {
  readonly type: 'fallocate';
  readonly target: number;
  readonly mode: number;
  readonly offset: number;
  readonly length: number;
  readonly time: Time;
}

/** Bits of `mode`, with the kernel's values. */
export const AllocateMode = {
  KEEP_SIZE: 0x01,
  PUNCH_HOLE: 0x02,
  COLLAPSE_RANGE: 0x08,
  ZERO_RANGE: 0x10,
  INSERT_RANGE: 0x20,
  UNSHARE_RANGE: 0x40,
} as const;

/** A file, a directory with everything below it, or the live volume, once more. */
export interface CloneMutation {
  readonly type: 'clone';
  readonly source: number;
  readonly parent: number;
  readonly name: string;
  readonly readOnly: boolean;
  readonly time: Time;
  /** 0 asks for the next free number. */
  ino: number;
  /** 0 asks for the next free realm; a cloned file opens none. */
  realm: number;
  handle: number;
}

/** Makes a range of one file share the blocks of a range of another. */
export interface CloneRangeMutation {
  readonly type: 'clone-range' | 'dedupe';
  readonly source: number;
  readonly sourceOffset: number;
  readonly target: number;
  readonly offset: number;
  readonly length: number;
  readonly time: Time;
}

export type Mutation =
  | BindMutation
  | CreateMutation
  | TmpfileMutation
  | LinkMutation
  | UnlinkMutation
  | RenameMutation
  | WhiteoutMutation
  | SetAttributesMutation
  | SetFlagsMutation
  | SetExtendedMutation
  | TruncateMutation
  | WriteInlineMutation
  | WriteMutation
  | AllocateMutation
  | CloneMutation
  | CloneRangeMutation;

export type MutationType = Mutation['type'];
