/**
 * Golden images: what an older version wrote is read, and means what it meant.
 *
 * RAMET_GOLDEN=write makes the image of this version if there is none yet.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { binaryFromText, MIB } from '../../src/base/index.ts';
import { checkSync, describeIssue } from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { InodeFlag, InodeKind, readGroupEntry } from '../../src/format/index.ts';
import { Hand } from '../check/hand.ts';
import { ImageEditor, RecordAt } from '../check/image-editor.ts';
import {
  buildGolden,
  digest,
  ends,
  GOLDEN_IMAGE,
  GOLDEN_LISTING,
  goldenImage,
  type Listed,
  listVolume,
} from './golden.ts';
import { type StrangeEntry, Stranger } from './stranger.ts';

if (process.env['RAMET_GOLDEN'] === 'write' && !existsSync(GOLDEN_IMAGE)) {
  const image = buildGolden();
  const listed = listVolume(Hand.mount(MemoryDevice.from(image)));
  writeFileSync(GOLDEN_IMAGE, gzipSync(image, { level: 9 }));
  writeFileSync(GOLDEN_LISTING, listed.map((it) => `${JSON.stringify(it)}\n`).join(''));
}

const image = goldenImage();
const lines = readFileSync(GOLDEN_LISTING, 'utf8').trimEnd().split('\n');
const listing = lines.map((line) => JSON.parse(line) as Listed);

describe('the golden image', () => {
  it('is small', () => {
    expect(image.length).toBe(MIB);
  });

  it('is mounted, and has exactly what is listed', () => {
    const hand = Hand.mount(MemoryDevice.from(image));
    expect(listVolume(hand)).toEqual(listing);
  });

  it('can be changed, and has the rest afterwards', () => {
    const device = MemoryDevice.from(image);
    const hand = Hand.mount(device);
    hand.reclaim();
    hand.file(hand.root, 'new');
    hand.remount();
    expect(checkSync(device).issues.map(describeIssue)).toEqual([]);
    hand.unlink(hand.root, 'new');
    const paths = listVolume(hand).map(({ path }) => path);
    expect(paths).toEqual(listing.map(({ path }) => path));
  });

  it('is correct', () => {
    const report = checkSync(MemoryDevice.from(image));
    expect(report.issues.map(describeIssue)).toEqual([]);
  });

  it('has every structure that a volume can have', () => {
    const { blocks, links, symlinks, specials } = checkSync(MemoryDevice.from(image)).statistics;
    for (const count of [...Object.values(blocks), links, symlinks, specials]) {
      expect(count).toBeGreaterThan(0);
    }
    const editor = new ImageEditor(image);
    expect(readGroupEntry(editor.index, 0).width).toBeGreaterThan(1);
    const flags = new Set<number>();
    for (const path of ['live', 'live/directory', 'live/clone', 'snapshots', 'orphans']) {
      for (const { at } of editor.records(editor.slotsOf(editor.find(path)))) {
        flags.add(editor.view.getUint32(at + RecordAt.FLAGS, true));
      }
    }
    const linked = editor.records(editor.linksOf(editor.find('live')));
    for (const { at } of linked) flags.add(editor.view.getUint32(at + RecordAt.FLAGS, true));
    const seen = [...flags].reduce((all, each) => all | each, 0);
    const missing = Object.entries(InodeFlag).filter(([, flag]) => (seen & flag) === 0);
    expect(missing.map(([name]) => name)).toEqual([
      'INPLACE',
      'IMMUTABLE',
      'APPEND',
      'NODUMP',
      'NOATIME',
      'GUARDED_BELOW',
    ]);
  });

  it('can be read by somebody who knows the document only', async () => {
    const stranger = await Stranger.mount(image);
    const found: Listed[] = [];
    for (const entry of stranger.entries(stranger.root())) {
      const { name } = entry.record;
      if (name !== 'reclaim') list(stranger, entry, name, found);
    }
    found.sort((a, b) => (a.path < b.path ? -1 : 1));
    expect(found).toEqual(listing);
    expect(stranger.copies).toBe(0);
  });

  it('has work that was begun', async () => {
    const stranger = await Stranger.mount(image);
    const resumes = stranger.queue().map(([, , resume]) => resume);
    expect(resumes.some((resume) => resume !== 0)).toBe(true);
  });
});

/** What the stranger finds, in the words of the listing. */
function list(stranger: Stranger, entry: StrangeEntry, path: string, into: Listed[]): void {
  const { record, realm } = entry;
  const { kind, inode, mode, owner, nlink, size, rdev, times } = record;
  const attributes = stranger.attributes(record).map(([name, value]) => [name, digest(value)]);
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  into.push({
    path,
    kind,
    realm,
    inode,
    mode,
    owner,
    nlink,
    size,
    ...(rdev === 0 ? {} : { rdev }),
    times,
    ...(kind === InodeKind.SYMLINK ? { target: text(stranger.target(record)) } : {}),
    ...(attributes.length === 0 ? {} : { attributes: Object.fromEntries(attributes) }),
    ...(kind === InodeKind.FILE
      ? { data: ends(size, (at, n) => stranger.read(record, at, n)) }
      : {}),
  });
  if (kind !== InodeKind.DIRECTORY) return;
  for (const child of stranger.entries(entry)) {
    const name = text(Uint8Array.from(child.record.name, (c) => c.charCodeAt(0)));
    expect(binaryFromText(name)).toBe(child.record.name);
    list(stranger, child, `${path}/${name}`, into);
  }
}
