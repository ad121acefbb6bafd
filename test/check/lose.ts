/**
 * Lose: spoils nodes of an image, with their second copies, so that nothing that they named can be
 * reached by way of them.
 */
import { BLOCK_SIZE, BLOCK_WORDS } from '../../src/base/index.ts';
import {
  interiorSlot,
  MAP_FANOUT,
  nodeCount,
  nodeLevel,
  SLOT_WORDS,
  SlotRole,
  slotBlock,
  slotFlags,
  slotHasBlock,
  TreeKind,
  TWIN,
  visitRecordSlots,
} from '../../src/format/index.ts';
import type { ImageEditor } from './image-editor.ts';

/** A node of an image. */
export interface NodeAt {
  readonly block: number;
  readonly twin: boolean;
  readonly role: SlotRole;
  readonly detail: number;
  readonly level: number;
}

/** Spoils a block, and its second copy if it has one, in another place. */
export function lose(editor: ImageEditor, { block, twin }: { block: number; twin: boolean }): void {
  const copies = twin ? [block, block + 1] : [block];
  copies.forEach((each, copy) => {
    for (const at of [8 + copy, 1000 + copy]) {
      const byte = each * BLOCK_SIZE + at;
      editor.bytes[byte] = (editor.bytes[byte] as number) ^ 0xff;
    }
  });
}

/** The node that the slot at a word names. */
export function nodeAt(editor: ImageEditor, word: number): { block: number; twin: boolean } {
  const twin = (slotFlags(editor.words, word) & TWIN) !== 0;
  return { block: slotBlock(editor.words, word), twin };
}

/** Every node that can be reached from the meta root, the root itself and the queue left out. */
export function nodesOf(editor: ImageEditor): NodeAt[] {
  const found = new Map<number, NodeAt>();
  const { words, bytes } = editor;
  const visit = (at: number, role: SlotRole, detail: number): void => {
    if (role === SlotRole.DATA || !slotHasBlock(words, at)) return;
    const { block, twin } = nodeAt(editor, at);
    if (found.has(block)) return;
    const base = block * BLOCK_WORDS;
    const level = role === SlotRole.MAP ? detail : nodeLevel(words, base);
    found.set(block, { block, twin, role, detail, level });
    if (role === SlotRole.MAP) {
      for (let i = 0; i < MAP_FANOUT && level > 0; i++)
        visit(base + i * SLOT_WORDS, role, level - 1);
      return;
    }
    for (let i = 0; level > 0 && i < nodeCount(words, base); i++) {
      visit(interiorSlot(base, i), role, detail);
    }
    if (level > 0 || detail === TreeKind.RECLAIM) return;
    for (const { at: record } of editor.records(at)) {
      visitRecordSlots(words, bytes, record, (_, slot, slotRole, slotDetail) =>
        visit(slot, slotRole, slotDetail),
      );
    }
  };
  visit(editor.metaRoot, SlotRole.KEYED, TreeKind.DIRECTORY);
  found.delete(slotBlock(words, editor.metaRoot));
  return [...found.values()].filter(({ detail, role }) => {
    return role === SlotRole.MAP || detail !== TreeKind.RECLAIM;
  });
}
