/** Mount options: what `-o` says, as mount(8) and fstab write it. Of two that differ the later. */
import { usageFault } from './faults.ts';

export interface GivenOptions {
  /** Undefined if neither `ro` nor `rw` is given. */
  readonly readOnly: boolean | undefined;
  readonly writeback: boolean;
  readonly acl: boolean;
  readonly locks: boolean;
  /** Whose all files seem to be. */
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  /** What is mounted already is to have these options. */
  readonly remount: boolean;
  /** Names of those above that were given. */
  readonly own: readonly string[];
  /** Those of mount(8), in the order given. */
  readonly others: readonly string[];
}

const SWITCHES = ['writeback', 'acl', 'locks'] as const;
const ON: Readonly<Record<string, boolean>> = {
  on: true,
  yes: true,
  1: true,
  off: false,
  no: false,
  0: false,
};
/** Set for every mount, or of no meaning outside of fstab. */
const IMPLIED = ['default_permissions', 'defaults', 'auto', 'noauto', 'nofail', '_netdev'];
const ATIMES = ['atime', 'noatime', 'relatime', 'strictatime'];

/** @throws {Fault} if the value of an option makes no sense */
export function parseMountOptions(list: string | undefined): GivenOptions {
  const switches = { writeback: false, acl: false, locks: false };
  const numbers: { uid?: number; gid?: number } = {};
  const own = new Set<string>();
  let others: string[] = [];
  let readOnly: boolean | undefined;
  for (const option of (list ?? '').split(',').filter((text) => text !== '')) {
    const [name, value] = splitOnce(option);
    const chosen = SWITCHES.find((each) => name === each || name === `no${each}`);
    if (name === 'ro' || name === 'rw') readOnly = name === 'ro';
    else if (name === 'remount') own.add(name);
    else if (chosen !== undefined) {
      own.add(chosen);
      switches[chosen] = switchOf(option, value) === (name === chosen);
    } else if (name === 'uid' || name === 'gid') {
      own.add(name);
      numbers[name] = idOf(option, value);
    } else if (ATIMES.includes(name)) {
      // To the kernel these are flags: of several it takes what it likes best.
      others = [...others.filter((other) => !ATIMES.includes(other)), name];
    } else if (!IMPLIED.includes(name) && !/^(?:x-|comment)/u.test(name)) others.push(option);
  }
  const { uid, gid } = numbers;
  const remount = own.delete('remount');
  return { readOnly, ...switches, uid, gid, remount, own: [...own], others };
}

function splitOnce(option: string): [name: string, value: string | undefined] {
  const at = option.indexOf('=');
  return at < 0 ? [option, undefined] : [option.slice(0, at), option.slice(at + 1)];
}

function switchOf(option: string, value: string | undefined): boolean {
  const found = value === undefined ? true : ON[value];
  if (found === undefined) throw usageFault(`Cannot mount with ${option}: wanted on or off`);
  return found;
}

function idOf(option: string, value: string | undefined): number {
  const id = Number(value);
  if (value !== undefined && /^\d+$/u.test(value) && id < 2 ** 32 - 1) return id;
  throw usageFault(`Cannot mount with ${option}: wanted a number, as in uid=1000`);
}
