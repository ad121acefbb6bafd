/**
 * POSIX access control lists, as the kernel hands them over in extended attributes.
 *
 *   u32 version, 2; then per entry u16 tag, u16 permissions, u32 user or group
 *
 * The kernel judges by them. What is left to a server is their other half: the mode of an inode is
 * a view of its list, and what is made in a directory gets the list that is the default there.
 */
import { FilesystemError, viewOf } from '../base/index.ts';

export const ACL_ACCESS = 'system.posix_acl_access';
export const ACL_DEFAULT = 'system.posix_acl_default';

const VERSION = 2;
const HEADER = 4;
const ENTRY = 8;

const Tag = {
  USER_OBJ: 0x01,
  USER: 0x02,
  GROUP_OBJ: 0x04,
  GROUP: 0x08,
  MASK: 0x10,
  OTHER: 0x20,
} as const;

export interface AclEntry {
  readonly tag: number;
  readonly permissions: number;
  readonly id: number;
}

export type Acl = readonly AclEntry[];

/** @throws {FilesystemError} `EINVAL` if it is none */
export function decodeAcl(bytes: Uint8Array): Acl {
  const view = viewOf(bytes);
  const entries: AclEntry[] = [];
  const whole = bytes.length >= HEADER && (bytes.length - HEADER) % ENTRY === 0;
  if (!whole || view.getUint32(0, true) !== VERSION) throw notAnAcl();
  for (let at = HEADER; at < bytes.length; at += ENTRY) {
    const tag = view.getUint16(at, true);
    const permissions = view.getUint16(at + 2, true);
    entries.push({ tag, permissions, id: view.getUint32(at + 4, true) });
  }
  const has = (tag: number): boolean => entries.some((entry) => entry.tag === tag);
  if (!has(Tag.USER_OBJ) || !has(Tag.GROUP_OBJ) || !has(Tag.OTHER)) throw notAnAcl();
  return entries;
}

export function encodeAcl(acl: Acl): Uint8Array {
  const bytes = new Uint8Array(HEADER + ENTRY * acl.length);
  const view = viewOf(bytes);
  view.setUint32(0, VERSION, true);
  acl.forEach(({ tag, permissions, id }, i) => {
    const at = HEADER + ENTRY * i;
    view.setUint16(at, tag, true);
    view.setUint16(at + 2, permissions, true);
    view.setUint32(at + 4, id, true);
  });
  return bytes;
}

/** True if it says no more than a mode does. */
export function isPlain(acl: Acl): boolean {
  return acl.length === 3;
}

/** The mode that shows a list: its group bits are the mask, where there is one. */
export function modeOfAcl(mode: number, acl: Acl): number {
  const owner = permissionsOf(acl, Tag.USER_OBJ);
  const group = permissionsOf(acl, groupTag(acl));
  const others = permissionsOf(acl, Tag.OTHER);
  return (mode & ~0o777) | (owner << 6) | (group << 3) | others;
}

/** The list after a chmod. */
export function aclWithMode(acl: Acl, mode: number): Acl {
  return mapClasses(acl, (_, shift) => (mode >>> shift) & 7);
}

/** The list of what is made with a mode where this one is the default. */
export function inheritedAcl(acl: Acl, mode: number): Acl {
  return mapClasses(acl, (permissions, shift) => permissions & (mode >>> shift));
}

/** Changes what the three parts of a mode show. */
function mapClasses(acl: Acl, change: (permissions: number, shift: number) => number): Acl {
  const shifts = new Map<number, number>([
    [Tag.USER_OBJ, 6],
    [groupTag(acl), 3],
    [Tag.OTHER, 0],
  ]);
  return acl.map((entry) => {
    const shift = shifts.get(entry.tag);
    if (shift === undefined) return entry;
    return { ...entry, permissions: change(entry.permissions, shift) };
  });
}

function groupTag(acl: Acl): number {
  return acl.some(({ tag }) => tag === Tag.MASK) ? Tag.MASK : Tag.GROUP_OBJ;
}

function permissionsOf(acl: Acl, wanted: number): number {
  return (acl.find(({ tag }) => tag === wanted)?.permissions ?? 0) & 7;
}

function notAnAcl(): FilesystemError {
  return new FilesystemError('EINVAL', 'Cannot set the access control list: it is malformed');
}
