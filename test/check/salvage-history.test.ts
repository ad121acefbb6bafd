/**
 * Random nodes of random volumes are lost, with their second copies. Whatever can be read then can
 * be read after a repair, and whatever was in a leaf that is whole is found again.
 *
 *     RAMET_SEED=7 npx vitest run test/check/salvage-history.test.ts
 */
import { describe, expect, it } from 'vitest';
import { MIB } from '../../src/base/index.ts';
import { checkSync, describeIssue, repairSync } from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { InodeKind, SlotRole, TreeKind } from '../../src/format/index.ts';
import { Random } from '../../src/testing/index.ts';
import { imageOf } from '../format/golden.ts';
import { TapeDevice } from '../store/tape.ts';
import { Hand, pattern } from './hand.ts';
import { History } from './history.ts';
import { ImageEditor } from './image-editor.ts';
import { lose, type NodeAt, nodesOf } from './lose.ts';
import { type Shown, shownOf } from './shown.ts';

const { RAMET_SEED, RAMET_LONG } = process.env;
const [FIRST, LAST] = (RAMET_SEED ?? (RAMET_LONG === '1' ? '1..300' : '1..2'))
  .split('..')
  .map(Number) as [number, number?];
const SEEDS = Array.from({ length: (LAST ?? FIRST) - FIRST + 1 }, (_, i) => FIRST + i);
/** Different losses of one volume. */
const LOSSES = 4;

function volume(seed: number): Uint8Array {
  const device = new MemoryDevice({ size: 16 * MIB });
  const hand = Hand.format(device, { groupBlocks: 1024 });
  const random = new Random(seed);
  const many = hand.directory(hand.root, 'many');
  for (let i = random.between(0, 150); i > 0; i--) {
    hand.file(many, `file ${i}${' long'.repeat(random.below(8))}`, pattern(random.below(900), i));
  }
  const history = new History(hand, seed);
  for (let round = 0; round < 4; round++) {
    history.run(60);
    hand.commit();
  }
  history.end();
  return imageOf(device);
}

/** Paths whose last record is in a leaf that is whole, with what they lead to. */
function inWholeLeaves(image: Uint8Array, shown: Shown, lost: ReadonlySet<number>): Shown {
  const editor = new ImageEditor(image);
  const found = new Map<string, string>();
  for (const [path, what] of shown) {
    if (what.startsWith('directory')) continue;
    const meta = path.startsWith('@') ? `snapshots/${path.slice(1)}` : `live${path}`;
    const place = editor.find(meta);
    const linked = editor.bytes[place.at + 3] === InodeKind.LINK;
    if (!linked && !lost.has(place.leaf)) found.set(path, what);
  }
  return found;
}

function losses(nodes: readonly NodeAt[], random: Random): NodeAt[] {
  return Array.from({ length: random.pick([1, 1, 2, 3, 6]) }, () => random.pick(nodes));
}

describe.each(SEEDS)('seed %i', (seed) => {
  const image = volume(seed);
  const whole = shownOf(image);
  const random = new Random(seed);
  const editor = new ImageEditor(image);
  const nodes = nodesOf(editor);
  const keyed = nodes.filter(({ role }) => role === SlotRole.KEYED);

  it.each(Array.from({ length: LOSSES }, (_, i) => i))('loss %i', (round) => {
    const chosen = losses(round === 0 ? nodes : keyed, random);
    const broken = new ImageEditor(image);
    const lost = new Set(chosen.map(({ block }) => block));
    for (const node of chosen) if (lost.delete(node.block)) lose(broken, node);
    for (const { block } of chosen) lost.add(block);
    const names = chosen.map(({ block, detail, level }) => `${block}: ${detail} level ${level}`);
    const before = shownOf(broken.bytes);

    const tape = new TapeDevice(broken.bytes);
    const told = repairSync(tape, { dryRun: true });
    expect(tape.calls).toEqual([]);
    const device = MemoryDevice.from(broken.bytes.slice());
    const report = repairSync(device);
    const story = [...names, ...report.done, ...report.left].join('\n');
    expect(told.done).toEqual(report.done);
    expect(report.after.issues.map(describeIssue), story).toEqual([]);
    expect(checkSync(device).verdict).toBe('clean');
    const again = repairSync(device);
    expect([...again.done, ...again.left]).toEqual([]);

    const after = shownOf(imageOf(device));
    for (const [path, what] of before) expect(after.get(path), `${path}\n${story}`).toBe(what);
    if (chosen.some(({ role }) => role === SlotRole.MAP)) return;
    if (chosen.some(({ detail }) => detail === TreeKind.LINKS)) return;
    const left = new Set(after.values());
    for (const [path, what] of inWholeLeaves(image, whole, lost)) {
      expect(left.has(what), `${path} ${what}\n${story}`).toBe(true);
    }
  });
});
