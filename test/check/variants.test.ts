/**
 * Issues that have several causes: each cause is planted, and named in the sentence.
 */
import { describe, expect, it } from 'vitest';
import { BLOCK_SIZE, BLOCK_WORDS, checksum64, viewOf } from '../../src/base/index.ts';
import { checkSync, describeIssue, type IssueCode } from '../../src/check/index.ts';
import {
  InodeFlag,
  InodeKind,
  interiorKey,
  SlotKind,
  setInteriorKey,
  slotBlock,
  TWIN,
} from '../../src/format/index.ts';
import { goldenImage } from '../format/golden.ts';
import { ImageEditor, RecordAt, type RecordPlace, SuperblockAt } from './image-editor.ts';

type Change = (editor: ImageEditor) => void;

const record =
  (path: string, change: (editor: ImageEditor, place: RecordPlace) => void): Change =>
  (editor) => {
    change(editor, editor.find(path));
  };

const flags = (path: string, change: (flags: number) => number): Change =>
  record(path, ({ view }, { at }) => {
    view.setUint32(at + RecordAt.FLAGS, change(view.getUint32(at + RecordAt.FLAGS, true)), true);
  });

const bytes = (path: string, field: number, ...values: number[]): Change =>
  record(path, (editor, { at }) => {
    editor.bytes.set(values, at + field);
  });

/** Changes the first slot of a record. */
const slot = (path: string, change: (words: Uint32Array, at: number) => void): Change =>
  record(path, (editor, place) => {
    change(editor.words, editor.slotsOf(place));
  });

/** Gives a name other bytes, of the same number. */
const rename = (path: string, name: string): Change =>
  record(path, (editor, place) => {
    const start = place.at + editor.layoutOf(place).name;
    for (let i = 0; i < name.length; i++) editor.bytes[start + i] = name.charCodeAt(i);
  });

/** Changes the first item of the reclaim queue, which is a directory that was begun. */
const item = (change: (editor: ImageEditor, at: number) => void): Change =>
  record('reclaim', (editor, place) => {
    const [first] = editor.records(editor.slotsOf(place));
    change(editor, (first as RecordPlace).at);
  });

const SLOTS: readonly [RegExp, Change][] = [
  [
    /more than 32 bits/,
    slot('live/depth 1', (words, at) => {
      words[at + 1] = (words[at + 1] as number) | 1;
    }),
  ],
  [
    /flags are 0xa2/,
    slot('live/depth 1', (words, at) => {
      words[at + 1] = (words[at + 1] as number) | 0x8000;
    }),
  ],
  [
    /flags are 0x32/,
    slot('live/depth 1', (words, at) => {
      words[at + 1] = (words[at + 1] as number) | 0x1000;
    }),
  ],
  [
    /kind is 1, wanted 2/,
    slot('live/depth 1', (words, at) => {
      words[at + 1] = ((words[at + 1] as number) & ~0xf00) | 0x100;
    }),
  ],
  [
    /names what it has not/,
    slot('live/depth 2', (words, at) => {
      const node = (words[at] as number) * BLOCK_WORDS;
      words[node + 4] = 77;
    }),
  ],
];

describe('slots', () => {
  it.each(SLOTS)('%s', (finding, change) => {
    expectFound('slot-fault', finding, change);
  });

  it('may be unwritten in a map', () => {
    const editor = new ImageEditor(goldenImage());
    const at = editor.mapSlot(editor.slotsOf(editor.find('live/depth 1')), 20);
    editor.words[at + 1] = SlotKind.UNWRITTEN << 8;
    editor.view.setUint32(editor.superblockAt(SuperblockAt.PROMISED), 1, true);
    expect(checkSync(editor.seal().device()).issues).toEqual([]);
  });

  it('of a node do not name the second copy of another', () => {
    expectFound('role-conflict', /second copy/, (editor) => {
      const first = editor.slotsOf(editor.find('live/depth 2'));
      const other = editor.slotsOf(editor.find('live/directory'));
      editor.words[other] = slotBlock(editor.words, first) + 1;
    });
  });

  it('say alike whether there is a second copy', () => {
    expectFound('slot-differs', /another checksum or flags/, (editor) => {
      const at = editor.slotsOf(editor.find('live/file clone 1')) + 1;
      editor.words[at] = (editor.words[at] as number) ^ (TWIN << 8);
    });
  });
});

const RECORDS: readonly [RegExp, Change][] = [
  [/flags are 0x8/, flags('live/empty', (old) => old | 0x8000)],
  [/four slots and none/, flags('live/empty', (old) => old | InodeFlag.EMBED4)],
  [/special file has data/, bytes('live/directory/moved', RecordAt.KIND, InodeKind.FIFO)],
  [/tree hangs from 4 slots/, bytes('live/embedded', RecordAt.KIND, InodeKind.DIRECTORY)],
  [/hangs from four slots/, bytes('live/embedded', RecordAt.DEPTH, 1)],
  [/more than a block/, bytes('live/depth 1', RecordAt.KIND, InodeKind.SYMLINK)],
  [/12 bytes of inline data/, flags('live/short link', (old) => old & ~InodeFlag.INLINE)],
  [/0 bytes of inline data/, flags('live/empty', (old) => old | InodeFlag.INLINE)],
  [/target has 13 bytes/, bytes('live/short link', RecordAt.SIZE, 13)],
  [/more data than its size/, bytes('live/from clone', RecordAt.SIZE, 2)],
  [/inline data is for files/, bytes('live/from clone', RecordAt.KIND, InodeKind.SOCKET)],
  [/root of no realm/, flags('live/empty', (old) => old | InodeFlag.READ_ONLY)],
  [/linked inode is in a directory/, flags('live/empty', (old) => old | InodeFlag.LINKED)],
  [/a name has flags/, bytes('live/directory/second', RecordAt.FLAGS, 1)],
  [/attributes have no blocks/, bytes('live/embedded', 98, 0, 0)],
  [
    /slots that are holes/,
    slot('live/depth 1', (words, at) => {
      words.fill(0, at, at + 4);
    }),
  ],
  [
    /slot that is unwritten/,
    slot('live/depth 1', (words, at) => {
      words.set([0, SlotKind.UNWRITTEN << 8, 0, 0], at);
    }),
  ],
  [
    /attributes are a hole/,
    record('live/embedded', (editor, place) => {
      const at = (place.at + editor.layoutOf(place).attributeSlot) / 4;
      editor.words.fill(0, at, at + 4);
    }),
  ],
  [
    /record 0: its length/,
    (editor) => {
      const [first] = editor.records(editor.slotsOf(editor.find('live')));
      editor.bytes[(first as RecordPlace).at] = 1;
    },
  ],
  [/its kind is 99/, bytes('live/empty', RecordAt.KIND, 99)],
  [
    /overlaps another/,
    (editor) => {
      // The second record where the first one is; heap and dead are such that their sum is right.
      const places = editor.records(editor.slotsOf(editor.find('live/directory/é')));
      const [first, second] = places as [RecordPlace, RecordPlace];
      const entry = first.leaf * BLOCK_WORDS + 16 + 3 * second.index + 2;
      editor.words[entry] = (first.at % BLOCK_SIZE) | (first.length << 16);
      const room = first.leaf * BLOCK_WORDS + 2;
      const heap = (editor.words[room] as number) & 0xffff;
      editor.words[room] = heap | ((4096 - heap - 2 * first.length) << 16);
    },
  ],
];

describe('records', () => {
  it.each(RECORDS)('%s', (finding, change) => {
    expectFound('record-fault', finding, change);
  });

  it('in a link table are under their numbers', () => {
    const linked = (change: (editor: ImageEditor, place: RecordPlace) => void): Change =>
      record('live', (editor, place) => {
        change(editor, editor.records(editor.linksOf(place))[0] as RecordPlace);
      });
    expectFound(
      'record-fault',
      /is under key 17/,
      linked((editor, { at }) => {
        editor.bytes[at + RecordAt.INODE] = 18;
      }),
    );
    expectFound(
      'record-fault',
      /does not say that it is linked/,
      linked((editor, { at }) => {
        editor.bytes[at + RecordAt.FLAGS] = (editor.bytes[at + RecordAt.FLAGS] as number) & ~0x40;
      }),
    );
  });

  it('have attributes that fill their place', () => {
    const attribute = (change: (editor: ImageEditor, at: number) => void): Change =>
      record('live', (editor, place) => {
        const [inline] = editor.records(editor.linksOf(place)) as [RecordPlace];
        change(editor, inline.at + editor.layoutOf(inline).attributes);
      });
    expectFound(
      'record-fault',
      /attribute has no name/,
      attribute(({ bytes: all }, at) => {
        all[at] = 0;
      }),
    );
    expectFound(
      'record-fault',
      /do not fill/,
      attribute(({ bytes: all }, at) => {
        all[at + 4] = 41;
      }),
    );
  });
});

describe('names', () => {
  it.each([
    [/has a slash/, rename('live/empty', 'em/ty')],
    [/has a NUL/, rename('live/empty', 'em\0ty')],
    [/key is of another name/, rename('live/empty', 'EMPTY')],
    [
      /not an entry/,
      (editor: ImageEditor) => {
        // One byte of name takes as much room as the four that are there.
        rename('live/fifo', '.\0\0\0')(editor);
        const place = editor
          .records(editor.slotsOf(editor.find('live')))
          .find(({ at }) => editor.bytes[at + RecordAt.KIND] === InodeKind.FIFO);
        editor.bytes[(place as RecordPlace).at + 2] = 1;
      },
    ],
  ] as [RegExp, Change][])('%s', (finding, change) => {
    expectFound('name-fault', finding, change);
  });
});

describe('the volume’s own', () => {
  it.each([
    [/item 0: it names no block/, item(({ bytes: all }, at) => all.fill(0, at + 8, at + 24))],
    [/tree is of kind 9/, item(({ bytes: all }, at) => all.set([9], at + 3))],
    [/more children have been handed on/, item(({ bytes: all }, at) => all.set([99], at + 4))],
    [/map has level 6/, item(({ bytes: all }, at) => all.set([1, 6], at + 2))],
    [/data has no children/, item(({ bytes: all }, at) => all.set([0], at + 2))],
    [
      /has a second reference/,
      item((editor, at) => {
        const other = editor.slotsOf(editor.find('live/directory/é'));
        const slot = editor.words.slice((at + 8) / 4, (at + 24) / 4);
        editor.words.set(slot, other);
      }),
    ],
  ] as [RegExp, Change][])('queue: %s', (finding, change) => {
    expectFound('queue-item', finding, change);
  });

  it.each([
    [/"snapshots" is wrong: it is missing/, rename('snapshots', 'SNAPSHOTS')],
    [/"SNAPSHOTS" is wrong: there is no use/, rename('snapshots', 'SNAPSHOTS')],
    [/inode is 4 of kind 2/, bytes('snapshots', RecordAt.INODE, 4)],
    [
      /not the root of a realm/,
      record('live', (editor, place) => {
        editor.bytes[place.at + editor.layoutOf(place).identity + 8] = 1;
      }),
    ],
  ] as [RegExp, Change][])('meta root: %s', (finding, change) => {
    expectFound('meta-entry', finding, change);
  });

  it('index: entries are possible', () => {
    const entry =
      (word: number, change: (old: number) => number): Change =>
      ({ index }) => {
        index[word] = change(index[word] as number);
      };
    expectFound(
      'index-entry',
      /in slot 2/,
      entry(2, (old) => (old & ~0xff00) | 0x200),
    );
    expectFound(
      'index-entry',
      /has 1000 free blocks/,
      entry(1, () => 1000),
    );
    expectFound(
      'index-entry',
      /of txg 99, after/,
      entry(3, () => 99),
    );
  });

  it('superblocks: those of another volume do not count', () => {
    const editor = new ImageEditor(goldenImage());
    const ring = (editor.ring + 1) % 4;
    const block = editor.block(ring);
    block[40] = 0xff;
    const seed = viewOf(block).getBigUint64(40, true);
    const self = checksum64(block.subarray(0, BLOCK_SIZE - 8), seed);
    viewOf(block).setBigUint64(BLOCK_SIZE - 8, self, true);
    const sentences = checkSync(editor.device()).issues.map(describeIssue);
    expect(sentences.join()).toMatch(/belongs to another volume/);
  });

  it('nodes: a first key is not above what is below it', () => {
    expectFound('key-order', /belongs elsewhere/, (editor) => {
      const base = slotBlock(editor.words, editor.slotsOf(editor.find('live/directory'))) * 1024;
      setInteriorKey(editor.words, base, 0, interiorKey(editor.words, base, 1) - 1);
    });
  });

  it('nodes: their births are those of their slots', () => {
    expectFound('node-header', /was born in txg 1, its slot says/, (editor) => {
      editor.words[editor.find('live/empty').leaf * BLOCK_WORDS + 6] = 1;
    });
  });
});

/** One sentence of the issue says what was planted. */
function expectFound(code: IssueCode, finding: RegExp, change: Change): void {
  const editor = new ImageEditor(goldenImage());
  change(editor);
  const { issues } = checkSync(editor.seal().device());
  const sentences = issues.filter((issue) => issue.code === code).map(describeIssue);
  expect(sentences.join('\n'), issues.map(describeIssue).join('\n')).toMatch(finding);
}
