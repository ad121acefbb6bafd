/**
 * Matrix: runs one cell. The file, its clone and a donor are each compared with an array of bytes:
 * at once, after a commit, and after a mount.
 */
import { expect } from 'vitest';
import { Bench, plantImage } from './bench.ts';
import {
  type Cell,
  cellTitle,
  DONOR,
  IMPOSSIBLE,
  operationOf,
  REFUSED,
  SOURCES,
  type Source,
  typeAt,
  wrongTypes,
} from './cells.ts';
import { describeState, digest, EMPTY, type State } from './files.ts';
import { applied } from './judge.ts';
import { cloningFile, type FileOperation, failureOf, outcomeOf } from './operations.ts';
import type { Harm } from './play.ts';

/** What has become of a cell: it was run, or there is a reason why not. */
export interface CellResult {
  readonly kind: 'done' | 'refused' | 'impossible';
  readonly reason?: string;
}

interface Planted {
  readonly image: Uint8Array;
  readonly state: State;
}

const planted = new Map<string, Promise<Planted>>();

/** The image with a source on it; made once. */
function plantedOf(source: string): Promise<Planted> {
  const known = planted.get(source) ?? plant(SOURCES[source] as Source);
  planted.set(source, known);
  return known;
}

/** Does something to the files and to the model; they must come to the same. Returns the model. */
async function does(bench: Bench, operation: FileOperation, state: State): Promise<State> {
  const wanted = applied(operation, state);
  const outcome = await operation.run(bench).then(outcomeOf, failureOf);
  expect(outcome, operation.title).toBe(wanted.outcome);
  return wanted.state;
}

async function doesAll(
  bench: Bench,
  operations: readonly FileOperation[],
  before: State,
): Promise<State> {
  let state = before;
  for (const operation of operations) state = await does(bench, operation, state);
  return state;
}

async function plant({ before }: Source): Promise<Planted> {
  const blank = await plantImage(({ fs }) => {
    fs.writeFileSync('/f', '');
    fs.writeFileSync('/d', '');
  });
  const bench = new Bench(blank);
  await bench.open('f', 'd');
  const none: State = new Map([
    ['d', EMPTY],
    ['f', EMPTY],
  ]);
  const state = await doesAll(bench, [...DONOR, ...before, cloningFile('f', 'c')], none);
  bench.volume.syncSync();
  return { image: bench.image, state };
}

/** The volume as the cell has it before the operation, and its model. */
async function stage(cell: Cell): Promise<{ bench: Bench; state: State }> {
  const source = SOURCES[cell.source] as Source;
  const { image, state: before } = await plantedOf(cell.source);
  const bench = new Bench(image);
  await bench.open('f', 'c', 'd');
  let state = await doesAll(bench, source.after, before);
  if (cell.cache === 'clean') bench.volume.syncSync();
  else if (source.dirties !== undefined) state = await does(bench, source.dirties, state);
  bench.cool('all');
  return { bench, state };
}

function expectState(bench: Bench, wanted: State, when: string): void {
  const found = bench.state();
  if (digest(found) === digest(wanted)) return;
  expect.unreachable(`${when}:\n${describeState(found)}\nwanted:\n${describeState(wanted)}`);
}

async function runPossible(cell: Cell, harm: Harm): Promise<CellResult> {
  const { bench, state: before } = await stage(cell);
  const { at, type } = SOURCES[cell.source] as Source;
  const overlaid = cell.source === 'inline' && cell.cache === 'dirty';
  expect(typeAt(bench, at), 'what lies there').toBe(overlaid ? 'delalloc' : type);
  harm(bench);
  const refusal = REFUSED.find(
    ({ operations, when }) => operations.includes(cell.operation) && when(cell),
  );
  const operation = operationOf(cell);
  if (refusal !== undefined) {
    const outcome = await operation.run(bench).then(outcomeOf, failureOf);
    expect(outcome, refusal.reason).toBe(refusal.code);
    expectSound(bench, before);
    return { kind: 'refused', reason: refusal.reason };
  }
  expect(applied(operation, before).outcome, 'it is not refused').not.toMatch(/^E[A-Z]+$/u);
  const after = await does(bench, operation, before);
  expect(wrongTypes(bench, cell, 'at once')).toEqual([]);
  expectSound(bench, after, () => expect(wrongTypes(bench, cell, 'committed')).toEqual([]));
  return { kind: 'done' };
}

/** All files are as they should be, now and later, and everything is counted right. */
function expectSound(bench: Bench, state: State, committed: () => void = () => {}): void {
  expectState(bench, state, 'at once');
  bench.volume.syncSync();
  expectState(bench, state, 'after a commit');
  committed();
  bench.audit();
  bench.remount();
  expectState(bench, state, 'after a mount');
  expect(bench.endsClean(state), 'there is nothing behind the end of a file').toBe(true);
}

/** A cell that cannot be made: there is something else. */
async function expectImpossible(cell: Cell, instead: string): Promise<void> {
  const { bench } = await stage(cell);
  if (cell.cache === 'dirty') await bench.handle('f').write(new Uint8Array(1), 0, 1, 0);
  expect(typeAt(bench, (SOURCES[cell.source] as Source).at)).toBe(instead);
}

/** Runs a cell, or shows why it cannot be run. */
export async function runCell(cell: Cell, harm: Harm = () => {}): Promise<CellResult> {
  const impossible = IMPOSSIBLE.find(({ when }) => when(cell));
  try {
    if (impossible === undefined) return await runPossible(cell, harm);
    await expectImpossible(cell, impossible.instead);
    return { kind: 'impossible', reason: impossible.reason };
  } catch (error) {
    (error as Error).message = `${cellTitle(cell)}: ${(error as Error).message}`;
    throw error;
  }
}
