/**
 * Catalogue: everything the verifier can find, each with its severity, its facts and one sentence.
 *
 *   warning   nothing is lost: a second copy serves, space is wasted, a mount cures it
 *   error     something cannot be read, or a mount could lose data because of it
 *   fatal     the verifier could not go on; what it has not seen it does not vouch for
 *
 * Blocks are indices; sentences show them as byte addresses on the device. A fact `inode` is the
 * inode that the block was reached through first, 0 if it is the volume's own.
 */
import { BLOCK_SIZE, hex, textFromBinary } from '../base/index.ts';

export type Severity = 'warning' | 'error' | 'fatal';

interface Entry<Facts> {
  readonly severity: Severity;
  /** One sentence for people, without a period. */
  readonly sentence: (facts: Facts) => string;
}

function entry<Facts>(severity: Severity, sentence: (facts: Facts) => string): Entry<Facts> {
  return { severity, sentence };
}

interface At {
  /** Index of the block. */
  readonly block: number;
}

interface Of extends At {
  /** What the block is: `data block`, `map node`, ... */
  readonly what: string;
  readonly inode: number;
}

interface InRealm {
  readonly realm: number;
  readonly inode: number;
}

interface Found {
  readonly finding: string;
}

interface Numbers {
  readonly stored: number;
  readonly found: number;
}

const roots = {
  'no-volume': entry<Found>('fatal', ({ finding }) => `There is no volume: ${finding}`),
  'newer-format': entry<Found>(
    'fatal',
    ({ finding }) => `The volume is of a newer kind: ${finding}`,
  ),
  'image-cut': entry<{ size: number; wanted: number }>(
    'fatal',
    ({ size, wanted }) => `The image has ${size} bytes, its volume ${wanted}: it has been cut off`,
  ),
  'no-root': entry<Found>('fatal', ({ finding }) => `No root of the volume is whole: ${finding}`),
  memory: entry<{ limit: number }>(
    'fatal',
    ({ limit }) => `The check needs more than the ${limit} bytes of memory it was given`,
  ),
  'unknown-feature': entry<{ bits: number }>(
    'warning',
    ({ bits }) => `The volume has features this version must not write: ${hex(bits)}`,
  ),
  'superblock-damaged': entry<At & Found>(
    'warning',
    ({ block, finding }) => `The superblock at ${address(block)} is damaged: ${finding}`,
  ),
  'superblock-stale': entry<At & { txg: number; newest: number }>(
    'warning',
    ({ block, txg, newest }) =>
      `The superblock at ${address(block)} is of txg ${txg}, its other copy of ${newest}`,
  ),
  'root-damaged': entry<{ txg: number } & Found>(
    'error',
    ({ txg, finding }) => `The root of txg ${txg} cannot be used, an older one is: ${finding}`,
  ),
  'log-pending': entry<{ frames: number; operations: number }>(
    'warning',
    ({ frames, operations }) =>
      `The log has ${operations} operations in ${frames} frames that the next mount does again`,
  ),
  'log-fault': entry<At & Found>(
    'error',
    ({ block, finding }) => `The log cannot be replayed from ${address(block)} on: ${finding}`,
  ),
  'index-copy': entry<At>(
    'warning',
    ({ block }) => `The copy of the group index at ${address(block)} is damaged, the other is not`,
  ),
  'index-entry': entry<{ group: number } & Found>(
    'error',
    ({ group, finding }) => `The index entry of group ${group} is wrong: ${finding}`,
  ),
  'next-number': entry<{ which: 'inode' | 'realm' } & Numbers>(
    'error',
    ({ which, stored, found }) =>
      `The next new ${which} would get number ${stored}, but ${found} is in use`,
  ),
  'meta-entry': entry<{ name: string } & Found>(
    'error',
    ({ name, finding }) => `The meta root's entry ${quote(name)} is wrong: ${finding}`,
  ),
};

const blocks = {
  unreadable: entry<Of & Found>(
    'error',
    ({ finding, ...of }) => `The ${place(of)} cannot be read: ${finding}`,
  ),
  checksum: entry<Of & { found: number; wanted: number }>(
    'error',
    ({ found, wanted, ...of }) =>
      `The ${place(of)} is damaged: its checksum is ${hex(found)}, wanted ${hex(wanted)}`,
  ),
  'copy-damaged': entry<Of>(
    'warning',
    (of) => `The ${place(of)} is damaged, its other copy is not`,
  ),
  'slot-outside': entry<Of & { target: number }>(
    'error',
    ({ target, ...of }) => `The ${place(of)} names a block outside the volume, ${address(target)}`,
  ),
  'slot-fixed': entry<Of & { target: number }>(
    'error',
    ({ target, ...of }) =>
      `The ${place(of)} names a block that has a fixed use, ${address(target)}`,
  ),
  'slot-fault': entry<Of & Found>(
    'error',
    ({ finding, ...of }) => `The ${place(of)} has a slot that cannot be: ${finding}`,
  ),
  'slot-differs': entry<Of & { target: number }>(
    'error',
    ({ target, ...of }) =>
      `The ${place(of)} names ${address(target)} with another checksum or flags than others do`,
  ),
  'slot-birth': entry<Of & { target: number; birth: number; limit: number }>(
    'error',
    ({ target, birth, limit, ...of }) =>
      `The ${place(of)} names ${address(target)}, born in txg ${birth}, outside 1 to ${limit}`,
  ),
  'role-conflict': entry<Of & { first: string }>(
    'error',
    ({ first, ...of }) => `The ${place(of)} is also in use as a ${first}`,
  ),
  'beyond-size': entry<Of & { fileBlock: number; blocks: number }>(
    'error',
    ({ fileBlock, blocks: count, ...of }) =>
      `The ${place(of)} is block ${fileBlock} of a file that has only ${count}`,
  ),
  'node-fault': entry<Of & Found>(
    'error',
    ({ finding, ...of }) => `The ${place(of)} cannot be one: ${finding}`,
  ),
  'node-header': entry<Of & Found>(
    'warning',
    ({ finding, ...of }) => `The ${place(of)} describes itself wrongly: ${finding}`,
  ),
  'record-fault': entry<Of & Found>(
    'error',
    ({ finding, ...of }) => `The ${place(of)} has a record that cannot be: ${finding}`,
  ),
  'record-time': entry<Of>('warning', (of) => `The ${place(of)} has a record with an unreal time`),
  'name-fault': entry<Of & { name: string } & Found>(
    'error',
    ({ name, finding, ...of }) => `The ${place(of)} has the name ${quote(name)}: ${finding}`,
  ),
  'queue-item': entry<Of & Found>(
    'error',
    ({ finding, ...of }) => `The ${place(of)} has an item that cannot be: ${finding}`,
  ),
};

const names = {
  level: entry<Of & { level: number; wanted: number }>(
    'error',
    ({ level, wanted, ...of }) => `The ${place(of)} has level ${level}, its parent wants ${wanted}`,
  ),
  'key-order': entry<Of & { key: number }>(
    'error',
    ({ key, ...of }) => `The ${place(of)} has key ${key}, which belongs elsewhere in its tree`,
  ),
  cycle: entry<InRealm & At>(
    'error',
    ({ block, ...at }) => `The ${inode(at)} contains itself, by its node at ${address(block)}`,
  ),
  'directory-twice': entry<InRealm & At>(
    'error',
    ({ block, ...at }) =>
      `The ${inode(at)} has the entries of another in its realm, at ${address(block)}`,
  ),
  'directory-size': entry<InRealm & Numbers>(
    'error',
    ({ stored, found, ...at }) => `The ${inode(at)} has size ${stored}, but ${found} entries`,
  ),
  'directory-links': entry<InRealm & Numbers>(
    'error',
    ({ stored, found, ...at }) => `The ${inode(at)} has link count ${stored}, wanted ${found}`,
  ),
  'directory-flag': entry<InRealm>(
    'error',
    (at) => `The ${inode(at)} has linked files below, and does not say so`,
  ),
  'name-twice': entry<InRealm & { name: string }>(
    'error',
    ({ name, ...at }) => `The ${inode(at)} has two entries ${quote(name)}`,
  ),
  'inode-twice': entry<InRealm>('error', (at) => `The ${inode(at)} has two records`),
  'file-links': entry<InRealm & Numbers>(
    'error',
    ({ stored, found, ...at }) => `The ${inode(at)} has link count ${stored}, wanted ${found}`,
  ),
  'link-missing': entry<InRealm>(
    'error',
    (at) => `The ${inode(at)} has a name, but is not in the link table of its realm`,
  ),
  'link-count': entry<InRealm & Numbers>(
    'error',
    ({ stored, found, ...at }) => `The ${inode(at)} has link count ${stored}, but ${found} names`,
  ),
  'link-unnamed': entry<InRealm>('warning', (at) => `The ${inode(at)} is linked and has no name`),
  'realm-fault': entry<InRealm & Found>(
    'error',
    ({ finding, ...at }) => `The ${inode(at)} states a realm that cannot be: ${finding}`,
  ),
  'stray-tree': entry<InRealm>(
    'error',
    (at) => `The ${inode(at)} is a tree of the volume's own, and stands among files`,
  ),
  'orphan-fault': entry<InRealm & Found>(
    'error',
    ({ finding, ...at }) => `The ${inode(at)} is among the orphans, but ${finding}`,
  ),
  'names-skipped': entry<{ visits: number }>(
    'warning',
    ({ visits }) => `Link counts of some clones were not compared, after ${visits} repeated visits`,
  ),
};

const counts = {
  'counts-damaged': entry<{ group: number } & Found>(
    'error',
    ({ group, finding }) => `The counts of group ${group} cannot be used: ${finding}`,
  ),
  'count-low': entry<At & { blocks: number } & Numbers>(
    'error',
    ({ block, blocks: length, stored, found }) =>
      `${run(block, length)} count ${stored}, but ${found} slots: it could be overwritten`,
  ),
  'count-high': entry<At & { blocks: number } & Numbers>(
    'warning',
    ({ block, blocks: length, stored, found }) =>
      `${run(block, length)} count ${stored}, but ${found} slots: it would never be free`,
  ),
  leak: entry<At & { blocks: number } & Numbers>(
    'warning',
    ({ block, blocks: length, stored }) =>
      `${run(block, length)} count ${stored}, but nothing names it: its space is lost`,
  ),
  'free-count': entry<{ group: number } & Numbers>(
    'error',
    ({ group, stored, found }) =>
      `Group ${group} is said to have ${stored} free blocks, its counts have ${found}`,
  ),
  'free-total': entry<Numbers>(
    'error',
    ({ stored, found }) =>
      `The superblock says ${stored} blocks are free, the group index ${found}`,
  ),
  'promise-total': entry<Numbers>(
    'error',
    ({ stored, found }) =>
      `The superblock says ${stored} blocks are promised, unwritten slots are for ${found}`,
  ),
};

export const CATALOGUE = { ...roots, ...blocks, ...names, ...counts };

export type IssueCode = keyof typeof CATALOGUE;

/** What an issue of this code tells beside its code. */
export type FactsOf<Code extends IssueCode> = Readonly<
  Parameters<(typeof CATALOGUE)[Code]['sentence']>[0]
>;

/** Something that was found. `code` tells which facts it has. */
export type Issue = {
  [Code in IssueCode]: { readonly code: Code; readonly severity: Severity } & FactsOf<Code>;
}[IssueCode];

export function makeIssue<Code extends IssueCode>(code: Code, facts: FactsOf<Code>): Issue {
  return { code, severity: CATALOGUE[code].severity, ...facts } as unknown as Issue;
}

/** The issue in one sentence. */
export function describeIssue(issue: Issue): string {
  const { sentence } = CATALOGUE[issue.code] as Entry<Issue>;
  return sentence(issue);
}

function address(block: number): string {
  return hex(block * BLOCK_SIZE);
}

function place({ what, block, inode: owner }: Of): string {
  return `${what} at ${address(block)}${owner === 0 ? '' : ` of inode ${owner}`}`;
}

function inode({ realm, inode: ino }: InRealm): string {
  return `inode ${ino} of realm ${realm}`;
}

function run(block: number, length: number): string {
  if (length === 1) return `The block at ${address(block)} has`;
  return `The ${length} blocks from ${address(block)} on have`;
}

function quote(name: string): string {
  return JSON.stringify(textFromBinary(name));
}
