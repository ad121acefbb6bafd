/**
 * Roots: the slots of an inode that name a block, and what each leads to.
 */
import {
  rootDetail,
  rootRole,
  SLOT_WORDS,
  SlotRole,
  slotHasBlock,
  TreeKind,
} from '../format/index.ts';
import { ATTRIBUTES_AT, LINKS_AT, type Vnode } from './vnode.ts';

type RootVisitor = (at: number, role: SlotRole, detail: number) => void;

/** Calls `visit` with every slot of an inode that names a block. */
export function forEachRoot(vnode: Vnode, visit: RootVisitor): void {
  forEachDataRoot(vnode, visit);
  if (slotHasBlock(vnode.slots, ATTRIBUTES_AT)) visit(ATTRIBUTES_AT, SlotRole.MAP, 0);
  if (slotHasBlock(vnode.slots, LINKS_AT)) visit(LINKS_AT, SlotRole.KEYED, TreeKind.LINKS);
}

/** The same with those that lead to the data of a file, or to the entries of a directory. */
export function forEachDataRoot(vnode: Vnode, visit: RootVisitor): void {
  const role = rootRole(vnode.kind, vnode.depth);
  const detail = rootDetail(vnode.kind, vnode.depth);
  for (let at = 0; at < ATTRIBUTES_AT; at += SLOT_WORDS) {
    if (slotHasBlock(vnode.slots, at)) visit(at, role, detail);
  }
}
