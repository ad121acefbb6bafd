/**
 * The bases have every structure there is: what is not in them is not mutated.
 */
import { expect, it } from 'vitest';
import { BLOCK_WORDS } from '../../src/base/index.ts';
import { checkSync } from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import {
  InodeFlag,
  InodeKind,
  MAP_FANOUT,
  nodeLevel,
  nodeTree,
  RECLAIM_RESUME,
  readGroupEntry,
  recordKind,
  SlotKind,
  slotFlags,
  slotKind,
  TreeKind,
  TWIN,
} from '../../src/format/index.ts';
import { ImageEditor } from '../check/image-editor.ts';
import { BASES, type BaseName } from './bases.ts';
import { LogImage } from './logs.ts';
import { Survey } from './survey.ts';

const NAMES = Object.keys(BASES) as BaseName[];

/** What there is in an image, each in a word or two. */
function structures(image: Uint8Array): Set<string> {
  const found = new Set<string>();
  const editor = new ImageEditor(image);
  const { words, view } = editor;
  const { geometry } = editor.superblock;
  const survey = new Survey(editor);
  for (const block of survey.keyed) {
    const base = block * BLOCK_WORDS;
    found.add(`tree ${nodeTree(words, base)}`);
    if (nodeLevel(words, base) > 0) found.add('interior node');
    if (editor.count(block) > 1) found.add('shared node');
  }
  for (const block of survey.maps) {
    if (editor.count(block) > 1) found.add('shared map');
    for (let i = 0; i < MAP_FANOUT; i++) {
      const kind = slotKind(words, block * BLOCK_WORDS + i * 4);
      if (kind === SlotKind.UNWRITTEN) found.add('unwritten');
    }
  }
  for (const slot of survey.slots) {
    if ((slotFlags(words, slot) & TWIN) !== 0) found.add('second copy');
  }
  for (const [leaf, places] of survey.leaves) {
    if (editor.count(leaf) > 1) found.add('shared leaf');
    for (const { at } of places) {
      const kind = recordKind(editor.bytes, at);
      found.add(`kind ${kind}`);
      if (kind === InodeKind.LINK) continue;
      const flags = view.getUint32(at + 4, true);
      for (const [name, bit] of Object.entries(InodeFlag)) if (flags & bit) found.add(name);
      if (kind === InodeKind.FILE) found.add(`depth ${view.getUint8(at + 13)}`);
    }
  }
  const { records } = survey;
  const begun = records.filter(({ what, at }) => {
    return what === 'item resume' && view.getUint32(at, true) > 0;
  });
  if (begun.length > 0) found.add('begun item');
  expect(RECLAIM_RESUME).toBe(4);
  for (let group = 0; group < geometry.groupCount; group++) {
    found.add(`width ${readGroupEntry(editor.index, group).width}`);
  }
  if (geometry.groupCount > 1) found.add('groups');
  for (const { mutations } of new LogImage(image).frames) {
    for (const { type } of mutations) found.add(`log ${type}`);
  }
  return found;
}

it('they have every structure of the format', () => {
  const found = new Set(NAMES.flatMap((name) => [...structures(BASES[name]())]));
  const trees = Object.values(TreeKind).map((tree) => `tree ${tree}`);
  const kinds = Object.values(InodeKind).map((kind) => `kind ${kind}`);
  // Reserved: no volume has it.
  const flags = Object.keys(InodeFlag).filter((flag) => flag !== 'INPLACE');
  const widths = [1, 2, 3, 4].map((width) => `width ${width}`);
  const depths = [0, 1, 2, 5].map((depth) => `depth ${depth}`);
  const logged = 'bind create link unlink rename setattr setxattr truncate write fallocate clone';
  const log = [...logged.split(' '), 'clone-range', 'whiteout', 'tmpfile', 'setflags'].map(
    (type) => `log ${type}`,
  );
  const others = ['interior node', 'shared node', 'shared map', 'shared leaf', 'unwritten'];
  const more = ['second copy', 'begun item', 'groups'];
  for (const each of [...trees, ...kinds, ...flags, ...widths, ...depths, ...log]) {
    expect(found).toContain(each);
  }
  for (const each of [...others, ...more]) expect(found).toContain(each);
});

it.each(NAMES)('%s is right, and the same at every run', (name) => {
  const image = BASES[name]();
  const { issues } = checkSync(MemoryDevice.from(image));
  expect(issues.filter(({ code }) => code !== 'log-pending')).toEqual([]);
});
