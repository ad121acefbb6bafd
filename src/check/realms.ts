/**
 * Realms: what holds for all inodes of a realm together, checked when its last directory is left.
 *
 * Inode numbers are used once, and linked inodes have the names they count. Realms nest as
 * directories do, so the numbers of all that are open lie in two stacks, one after the other.
 */
import type { Steps } from '../device/index.ts';
import { nodeCount, recordLength, recordOffset, TreeKind } from '../format/index.ts';
import type { NodeView } from './graph.ts';
import { NumberList } from './number-list.ts';
import { RecordReader } from './record-reader.ts';
import type { Session } from './session.ts';
import type { TreeWalk } from './tree-walk.ts';

/** No block. */
export const NONE = -1;
const FAULT_BYTES = 200;

/** What is wrong with the linked files of a realm, by the blocks of its tree and its link table. */
export interface RealmFault {
  readonly root: number;
  readonly links: number;
  /** Inodes with names and without a record. */
  readonly missing: Set<number>;
  /** Link counts that ought to be. */
  readonly counts: Map<number, number>;
  /** Inodes of the live tree without a name. */
  readonly unnamed: number[];
}

/** A realm whose directories are being walked. */
export interface OpenRealm {
  readonly id: number;
  /** Tells it from all others that are walked; ids can repeat. */
  readonly serial: number;
  /** Root of its tree and of its link table, or {@link NONE}. */
  readonly root: number;
  readonly links: number;
  /** Link counts are names, no more: nothing of it was cloned with names left outside. */
  readonly exact: boolean;
  /** Every name below was seen. */
  whole: boolean;
  readonly inodeMark: number;
  readonly nameMark: number;
}

export class Realms {
  /** Of realms that were ended. */
  readonly faults: RealmFault[] = [];
  readonly #session: Session;
  readonly #trees: TreeWalk;
  readonly #open: OpenRealm[] = [];
  /** Numbers of inodes that have a record. */
  readonly #inodes: NumberList;
  /** Numbers that names of linked inodes state. */
  readonly #names: NumberList;
  readonly #record = new RecordReader();
  #serial = 0;
  /** Serial of the realm with the last fault. */
  #faulty = 0;

  constructor(session: Session, trees: TreeWalk) {
    this.#session = session;
    this.#trees = trees;
    this.#inodes = new NumberList(session);
    this.#names = new NumberList(session);
  }

  /** The realm whose directories are being walked now. */
  get current(): OpenRealm {
    return this.#open.at(-1) as OpenRealm;
  }

  begin(realm: { id: number; root: number; links: number; exact: boolean }): void {
    this.#open.push({
      ...realm,
      serial: ++this.#serial,
      whole: true,
      inodeMark: this.#inodes.length,
      nameMark: this.#names.length,
    });
  }

  /** An inode has a record in the current realm. */
  addInode(inode: number): void {
    this.#inodes.push(inode);
  }

  /** A name in the current realm leads to its link table. */
  addName(inode: number): void {
    this.#names.push(inode);
  }

  /** Ends the current realm. */
  *end(): Steps {
    const realm = this.current;
    yield* this.#checkLinks(realm);
    this.#checkTwice(realm);
    this.#open.pop();
    this.#inodes.cut(realm.inodeMark);
    this.#names.cut(realm.nameMark);
  }

  #checkTwice({ id, inodeMark }: OpenRealm): void {
    const numbers = this.#inodes.sortFrom(inodeMark);
    for (let i = 1; i < numbers.length; i++) {
      const inode = numbers[i] as number;
      if (inode === numbers[i - 1]) this.#session.issues.add('inode-twice', { realm: id, inode });
    }
  }

  /** Names and link table, both in ascending order of inode numbers, are gone through together. */
  *#checkLinks(realm: OpenRealm): Steps {
    const names = new NameCursor(this.#names.sortFrom(realm.nameMark));
    let whole = true;
    if (realm.links !== NONE) {
      whole = yield* this.#trees.visit({
        root: realm.links,
        tree: TreeKind.LINKS,
        inode: 0,
        leaf: (node) => this.#checkLeaf(node, realm, names),
      });
    }
    if (whole) names.skipTo(Infinity, (inode) => this.#missing(realm, inode));
  }

  #checkLeaf({ words, bytes, base }: NodeView, realm: OpenRealm, names: NameCursor): void {
    const { issues } = this.#session;
    for (let i = 0; i < nodeCount(words, base); i++) {
      const at = base * 4 + recordOffset(words, base, i);
      const record = this.#record.read(bytes, at, recordLength(words, base, i));
      const { inode, nlink } = record;
      this.addInode(inode);
      names.skipTo(inode, (missing) => this.#missing(realm, missing));
      const found = names.take(inode);
      const facts = { realm: realm.id, inode };
      const low = nlink < found;
      const high = nlink > found && realm.exact && realm.whole && found > 0;
      if (low || high) {
        issues.add('link-count', { ...facts, stored: nlink, found });
        this.#faultOf(realm).counts.set(inode, found);
      }
      if (found === 0 && realm.exact && realm.whole) {
        issues.add('link-unnamed', facts);
        this.#faultOf(realm).unnamed.push(inode);
      }
    }
  }

  #missing(realm: OpenRealm, inode: number): void {
    this.#session.issues.add('link-missing', { realm: realm.id, inode });
    this.#faultOf(realm).missing.add(inode);
  }

  #faultOf({ root, links, serial }: OpenRealm): RealmFault {
    const last = this.faults.at(-1);
    if (last !== undefined && this.#faulty === serial) return last;
    this.#session.take(FAULT_BYTES);
    this.#faulty = serial;
    const fault = { root, links, missing: new Set<number>(), counts: new Map(), unnamed: [] };
    this.faults.push(fault);
    return fault;
  }
}

/** Goes through sorted numbers in which each stands as often as it has names. */
class NameCursor {
  readonly #numbers: Float64Array;
  #next = 0;

  constructor(numbers: Float64Array) {
    this.#numbers = numbers;
  }

  /** Passes all numbers below `inode`; `each` is told of them, each once. */
  skipTo(inode: number, each: (inode: number) => void): void {
    while (this.#next < this.#numbers.length && (this.#numbers[this.#next] as number) < inode) {
      const number = this.#numbers[this.#next] as number;
      each(number);
      this.take(number);
    }
  }

  /** How often `inode` stands here; passes it. */
  take(inode: number): number {
    const start = this.#next;
    while (this.#numbers[this.#next] === inode) this.#next++;
    return this.#next - start;
  }
}
