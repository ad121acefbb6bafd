/**
 * Pairs: every synchronous call while any promise call is under way on the same volume.
 *
 * On a device that answers at once the synchronous call comes between two operations of the other.
 * On one that takes time the other waits for the device; then the synchronous call either needs
 * nothing from it, or ends with `ENOTSUP`. Whatever happens, both have come to what they would have
 * come to one after the other, part by part, and the volume is as sound as before.
 */
import { describe, expect, it } from 'vitest';
import { MIB } from '../../src/base/index.ts';
import { type ModelError, type ModelNode, ModelVolume, Random } from '../../src/testing/index.ts';
import { recount } from '../volume/recount.ts';
import { Bench, type BenchOptions, COMMON } from './bench.ts';
import { ModelRunner, type Outcome, type Step, show, VolumeRunner } from './steps.ts';

const long = process.env['RAMET_LONG'] === '1';
const START = 1_000_000_000_000;
/** When the pair is made. */
const LATER = START + 500_000;
const OPTIONS = { size: 2 * MIB, logBlocks: 8, countCap: 1, groupBlocks: 256 } as const;

const SCENE: readonly Step[] = [
  { call: 'mkdir', args: ['/d'] },
  { call: 'writeFile', args: ['/d/f', 1, 9000] },
  { call: 'truncate', args: ['/d/f', 18_000] },
  { call: 'writeFile', args: ['/d/g', 2, 300] },
  { call: 'mkdir', args: ['/d/e'] },
  { call: 'writeFile', args: ['/d/e/x', 3, 5000] },
  { call: 'mkdir', args: ['/d/o'] },
  { call: 'symlink', args: ['e/x', '/d/y'] },
  { call: 'snapshot', args: ['s'] },
  { call: 'clone', args: ['/d/f', '/d/c'] },
];

/** One of each call. Each side of a pair has an open file of its own. */
function callsOf(slot: number): readonly Step[] {
  return [
    { call: 'appendFile', args: ['/d/f', 10, 5000] },
    { call: 'chmod', args: ['/d/f', 0o600] },
    { call: 'clone', args: ['/d', '/k'] },
    { call: 'clone', args: ['/d/f', '/d/h'] },
    { call: 'close', args: [slot] },
    { call: 'copyFile', args: ['/d/f', '/d/g', 0] },
    { call: 'copyFile', args: ['/d/f', '/d/i', 0] },
    { call: 'cp', args: ['/d/e', `/d/n${slot}`] },
    { call: 'deleteSnapshot', args: ['s'] },
    { call: 'exchange', args: ['/d/f', '/d/c'] },
    { call: 'fstat', args: [slot] },
    { call: 'fsync', args: [slot] },
    { call: 'ftruncate', args: [slot, 100] },
    { call: 'lchown', args: ['/d/y', 5, 6] },
    { call: 'link', args: ['/d/f', '/d/l'] },
    { call: 'linkFile', args: [slot, '/d/l'] },
    { call: 'lstat', args: ['/d/f'] },
    { call: 'mkdir', args: ['/d/m/m', true] },
    { call: 'open', args: [slot + 2, '/d/f', 'w+'] },
    { call: 'read', args: [slot, 9000, undefined] },
    { call: 'readFile', args: ['/d/f'] },
    { call: 'readdir', args: ['/d'] },
    { call: 'readlink', args: ['/d/y'] },
    { call: 'rename', args: ['/d/f', '/d/g'] },
    { call: 'rename', args: ['/d', '/z'] },
    { call: 'rm', args: ['/d', true] },
    { call: 'rmdir', args: ['/d/o'] },
    { call: 'snapshot', args: ['t'] },
    { call: 'stat', args: ['/d/f'] },
    { call: 'symlink', args: ['f', '/d/p'] },
    { call: 'sync', args: [] },
    { call: 'tmpfile', args: [slot + 4, '/d'] },
    { call: 'truncate', args: ['/d/f', 5000] },
    { call: 'unlink', args: ['/d/f'] },
    { call: 'utimes', args: ['/d/f', 1, 2] },
    { call: 'write', args: [slot, 11, 8192, 100] },
    { call: 'writeFile', args: ['/d/f', 12, 9000] },
  ];
}

/** Names for the files that a call has open by itself. */
const OWN = 100;

/** An operation of a call. */
type Part = (runner: ModelRunner) => Outcome;

const part =
  (step: Step): Part =>
  (runner) =>
    runner.run(step);

/** A call as the operations it is made of, each of which is atomic; or in one of other ways. */
function waysOf(step: Step, side: number): readonly (readonly Part[])[] {
  const own = OWN + side;
  const { args } = step;
  const file = (flags: string, middle: Step): Part[][] => [
    [
      part({ call: 'open', args: [own, args[0], flags] }),
      part(middle),
      part({ call: 'close', args: [own] }),
    ],
  ];
  switch (step.call) {
    case 'appendFile':
      return file('a', { call: 'write', args: [own, args[1], args[2], undefined] });
    case 'copyFile':
      return [[part(step)], copyParts(args[0] as string, args[1] as string, own)];
    case 'cp':
      return [[part(step)], cpParts(args[0] as string, args[1] as string)];
    case 'mkdir':
      return [[part({ call: 'mkdir', args: ['/d/m', true] }), part(step)]];
    case 'readFile':
      return file('r', { call: 'read', args: [own, MIB, 0] });
    case 'truncate':
      return file('r+', { call: 'ftruncate', args: [own, args[1]] });
    case 'writeFile':
      return file('w', { call: 'write', args: [own, args[1], args[2], undefined] });
    default:
      return [[part(step)]];
  }
}

/** What is there is emptied and filled; or a clone comes, and gets the present time. */
function copyParts(from: string, to: string, own: number): Part[] {
  let [copy, source]: (ModelNode | undefined)[] = [];
  return [
    (runner) => {
      const outcome = runner.run({ call: 'stat', args: [from] });
      if (isError(outcome)) return outcome;
      source = runner.model.live.find(from, true);
      runner.run({ call: 'open', args: [own, to, 'r+'] });
      return 'ok';
    },
    (runner) => {
      if (source === undefined) return 'ok';
      if (runner.open.has(own)) return runner.run({ call: 'ftruncate', args: [own, 0] });
      const outcome = runner.run({ call: 'clone', args: [from, to] });
      copy = outcome === 'ok' ? runner.model.live.find(to, false) : undefined;
      return outcome;
    },
    (runner) => {
      const target = runner.open.get(own)?.node;
      if (target !== undefined && source !== undefined) {
        target.bytes = source.bytes.copy();
        target.mtime = target.ctime = LATER;
      }
      if (copy !== undefined && copy.nlink > 0) copy.atime = copy.mtime = copy.ctime = LATER;
      return 'ok';
    },
    (runner) => {
      const target = runner.open.get(own)?.node;
      if (target !== undefined && source !== undefined) target.mode = source.mode;
      if (target !== undefined) runner.run({ call: 'close', args: [own] });
      return 'ok';
    },
  ];
}

/** The source is found, what is missing above the destination is made, and then it is cloned. */
function cpParts(from: string, to: string): Part[] {
  let source: ModelNode | undefined;
  return [
    (runner) => {
      const outcome = runner.run({ call: 'lstat', args: [from] });
      if (isError(outcome)) return outcome;
      source = runner.model.live.find(from, false);
      return 'ok';
    },
    part({ call: 'mkdir', args: ['/d', true] }),
    ({ model }) => {
      if (source === undefined || source.nlink === 0) return 'ENOENT';
      try {
        model.live.cloneTo(source, to);
        return 'ok';
      } catch (error) {
        return (error as ModelError).code;
      }
    },
  ];
}

/** What a pair may come to. */
interface Ending {
  readonly first: Outcome;
  readonly second: Outcome;
  readonly tree: readonly string[];
}

const isError = (outcome: Outcome): boolean => /^E[A-Z_]+$/u.test(outcome);

/** The outcome of a call by those of its parts: the first error, or what the middle one says. */
function joined(outcomes: readonly Outcome[]): Outcome {
  return (
    outcomes.find(isError) ?? outcomes[outcomes.length === 3 ? 1 : outcomes.length - 1] ?? 'ok'
  );
}

/** The scene, with a file open for each side. */
function stage(): { runner: ModelRunner; clock: { ms: number } } {
  const clock = { ms: START };
  const runner = new ModelRunner(new ModelVolume(() => clock.ms));
  for (const step of SCENE) {
    clock.ms += 1000;
    runner.run(step);
  }
  clock.ms = LATER;
  for (const slot of [0, 1]) runner.run({ call: 'open', args: [slot, '/d/f', 'r+'] });
  return { runner, clock };
}

/** All that a pair may come to: the second call between any two parts of the first. */
function* endings(first: Step, second: readonly Part[], refused: boolean): Generator<Ending> {
  for (const parts of waysOf(first, 0)) {
    for (let cut = parts.length; cut >= 0; cut--) {
      const { runner } = stage();
      const before = parts.slice(0, cut).map((does) => does(runner));
      const outcomes = second.map((does) => does(runner));
      const after = parts.slice(cut).map((does) => does(runner));
      yield {
        first: joined([...before, ...after]),
        second: refused ? 'ENOTSUP' : joined(outcomes),
        tree: runner.model.dump(),
      };
    }
  }
}

/** The second call was refused: some of its parts may have been done. */
function* refusals(first: Step, second: Step): Generator<Ending> {
  for (const parts of waysOf(second, 1)) {
    for (const i of parts.keys()) yield* endings(first, parts.slice(0, i), true);
  }
}

/** Fails unless one of the endings is what was found. */
function expectOneOf(possible: Iterable<Ending>, found: Ending, title: string): void {
  const others: Ending[] = [];
  const text = JSON.stringify(found);
  for (const ending of possible) {
    if (JSON.stringify(ending) === text) return;
    others.push(ending);
  }
  expect(others, title).toContainEqual(found);
}

function optionsAt(clock: { ms: number }): BenchOptions {
  return { ...COMMON, ...OPTIONS, cacheBytes: 4 * MIB, now: () => clock.ms };
}

/** A volume with the scene on it. */
async function makeImage(): Promise<Uint8Array> {
  const clock = { ms: START };
  const bench = await Bench.make('sync', optionsAt(clock), new Random(1));
  for (const step of SCENE) {
    clock.ms += 1000;
    await bench.step(step);
  }
  await bench.close();
  return bench.image;
}

const IMAGE = makeImage();

/** The volume with the scene, and nothing in memory that need not be. */
class Pair {
  readonly bench: Bench;
  readonly first: VolumeRunner;
  readonly second: VolumeRunner;

  private constructor(bench: Bench) {
    this.bench = bench;
    this.first = new VolumeRunner(bench.volume, 'promises');
    this.second = new VolumeRunner(bench.volume, 'sync');
  }

  static async make(face: 'sync' | 'promises', seed: number): Promise<Pair> {
    const bench = await Bench.from(await IMAGE, face, optionsAt({ ms: LATER }), new Random(seed));
    const pair = new Pair(bench);
    await bench.run(pair.first.run({ call: 'open', args: [0, '/d/f', 'r+'] }));
    await pair.second.run({ call: 'open', args: [1, '/d/f', 'r+'] });
    bench.evict();
    return pair;
  }

  /** Begins the first, makes the second after so many turns, and waits for both. */
  async meet(first: Step, second: Step, turns: number): Promise<Ending> {
    const { bench } = this;
    const waiting = Promise.resolve(this.first.run(first));
    for (let i = 0; i < turns; i++) await bench.turn();
    const outcome = this.second.run(second) as Outcome;
    const firstOutcome = await bench.run(waiting);
    const tree = await bench.dump();
    await bench.step({ call: 'sync', args: [] });
    expect(recount(bench.image)).toEqual([]);
    return { first: firstOutcome, second: outcome, tree };
  }
}

const PAIRS = callsOf(0).flatMap((first) => callsOf(1).map((second) => ({ first, second })));

/** Makes all pairs, each after one of these numbers of turns; returns how many were refused. */
async function everyPair(face: 'sync' | 'promises', turns: readonly number[]): Promise<number> {
  let refused = 0;
  for (const [i, { first, second }] of PAIRS.entries()) {
    for (const count of long ? turns : [turns[i % turns.length] as number]) {
      const pair = await Pair.make(face, i);
      const title = `${show(first)} in flight, ${count} turns later ${show(second)}`;
      const found = await pair.meet(first, second, count);
      const wasRefused = face === 'promises' && found.second === 'ENOTSUP';
      if (wasRefused) refused++;
      const all = wasRefused ? refusals(first, second) : endings(first, [part(second)], false);
      expectOneOf(all, found, title);
      await pair.bench.close();
    }
  }
  return refused;
}

describe('a synchronous call while a promise call is under way', () => {
  it('comes between its operations on a device that answers at once', async () => {
    await everyPair('sync', [0, 1, 2, 3, 5]);
  }, 120_000);

  it('takes what is in memory, or is refused, while the other waits for its device', async () => {
    const refused = await everyPair('promises', [0, 1, 2, 3, 5]);
    expect(refused).toBeGreaterThan(100);
  }, 120_000);

  it('says what to call instead when it is refused', async () => {
    const { bench } = await Pair.make('promises', 1);
    const wanted = {
      code: 'ENOTSUP',
      errno: -95,
      syscall: 'open',
      path: '/d/e/x',
      detail: expect.stringContaining('use the promise form of the call'),
    };
    const { fs } = bench.volume;
    expect(() => fs.readFileSync('/d/e/x')).toThrow(expect.objectContaining(wanted));
    await bench.run(fs.promises.readFile('/d/e/x'));
    await bench.close();
  });
});
