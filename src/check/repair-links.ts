/**
 * Repair of links: names and link tables, which are the realm's.
 *
 * A name whose inode is in no link table any more leads to nothing for ever, and goes; where
 * another realm shares its leaf and has the inode, it keeps the leaf. A link count becomes the
 * number of names. What is in the live tree's table and has no name gets one in lost+found.
 *
 * Who has the same tree and the same link table gets the same: a realm is known by both blocks.
 */
import { viewOf } from '../base/index.ts';
import {
  InodeFlag,
  InodeKind,
  SLOT_WORDS,
  slotBlock,
  slotHasBlock,
  TreeKind,
} from '../format/index.ts';
import type { BlockTable } from './block-table.ts';
import { type NodeWriter, nodeSlot } from './build-tree.ts';
import type { Notes } from './notes.ts';
import { NONE, type RealmFault } from './realms.ts';
import { RecordAt, RecordReader } from './record-reader.ts';
import type { Answer, Session } from './session.ts';
import { type Change, TreeEdit } from './tree-edit.ts';

/** What a realm's tree and its link table become, as slots; undefined if nothing. */
export interface RealmRoots {
  readonly root: Uint32Array | undefined;
  readonly links: Uint32Array | undefined;
}

const SLOT_BYTES = SLOT_WORDS * 4;

export class LinkRepair {
  readonly #table: BlockTable;
  readonly #edit: TreeEdit;
  readonly #notes: Notes;

  constructor(session: Session, table: BlockTable, writer: NodeWriter, notes: Notes) {
    this.#table = table;
    this.#edit = new TreeEdit(session, writer);
    this.#notes = notes;
  }

  /** What becomes of realms, by {@link realmKey}. */
  *plan(faults: readonly RealmFault[]): Answer<Map<string, RealmRoots>> {
    const realms = new Map<string, RealmRoots>();
    for (const fault of faults) {
      const root = this.#slotOf(fault.root);
      const links = this.#slotOf(fault.links);
      const without = fault.missing.size > 0 ? yield* this.#without(root, fault.missing) : root;
      const counted = yield* this.#counted(links, fault);
      realms.set(realmKey(fault.root, fault.links), {
        root: without === root ? undefined : without,
        links: counted === links ? undefined : counted,
      });
    }
    return realms;
  }

  /** A slot to read a node by. */
  #slotOf(block: number): Uint32Array {
    if (block === NONE) return new Uint32Array(SLOT_WORDS);
    const twin = this.#table.hasTwin(block);
    return nodeSlot({ block, twin, birth: 1, checksum: this.#table.checksum(block) });
  }

  /** A directory, and all below it in the realm, without the names of some inodes. */
  *#without(root: Uint32Array, missing: ReadonlySet<number>): Answer<Uint32Array> {
    const self = this;
    const change: Change = function* ({ bytes }) {
      const record = new RecordReader().read(bytes, 0, bytes.length);
      const { inode, isDirectory } = record;
      if (record.kind === InodeKind.LINK) {
        if (!missing.has(inode)) return bytes;
        self.#notes.add(`drop a name of inode ${inode}, which no link table has`);
        return undefined;
      }
      const nested = record.has(InodeFlag.REALM) || !record.has(InodeFlag.HAS_LINKS_BELOW);
      if (!isDirectory || nested) return bytes;
      const at = record.layout.slots;
      const below = new Uint32Array(bytes.slice(at, at + SLOT_BYTES).buffer);
      const changed = yield* self.#without(below, missing);
      if (changed === below) return bytes;
      const copy = bytes.slice();
      copy.set(new Uint8Array(changed.slice().buffer), at);
      return copy;
    };
    return yield* this.#edit.map(root, TreeKind.DIRECTORY, change);
  }

  *#counted(links: Uint32Array, { counts: wanted }: RealmFault): Answer<Uint32Array> {
    if (wanted.size === 0) return links;
    const notes = this.#notes;
    // biome-ignore lint/correctness/useYield: a change may have to wait, this one has not
    return yield* this.#edit.map(links, TreeKind.LINKS, function* ({ key, bytes }) {
      const nlink = wanted.get(key);
      const stored = viewOf(bytes).getUint32(RecordAt.NLINK, true);
      if (nlink === undefined || nlink === stored) return bytes;
      notes.add(`let inode ${key} have link count ${nlink}, not ${stored}`);
      const copy = bytes.slice();
      viewOf(copy).setUint32(RecordAt.NLINK, nlink, true);
      return copy;
    });
  }
}

/** What tells realms apart that differ in their names or their link tables. */
export function realmKey(root: number, links: number): string {
  return `${root} ${links}`;
}

/** The same of a record's slots. */
export function realmKeyOf(root: Uint32Array, links: Uint32Array | undefined): string {
  const block = (slot: Uint32Array | undefined): number =>
    slot !== undefined && slotHasBlock(slot, 0) ? slotBlock(slot, 0) : NONE;
  return realmKey(block(root), block(links));
}
