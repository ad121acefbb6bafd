/**
 * Schedules: a pair of operations, what comes when, and what fails, in one line that runs it again.
 *
 *   RAMET_SCHEDULE='dirty/append/clone all/c/0.1.1'     scene, first on f, second on c, path
 *   RAMET_SCHEDULE='dirty/append/clone all/c/0/3'       and the fourth call of the device fails
 *   RAMET_SCHEDULE='dirty/append/punch + fsync/f/0'     two more operations, on one file
 */
import { relative } from 'node:path';
import { expect } from 'vitest';
import { Path } from './choices.ts';
import { type FileOperation, MAKERS, type Name } from './operations.ts';
import { type Harm, type Played, play } from './play.ts';
import { makeScene, type Scene, type SceneTitle } from './scenes.ts';

export const LONG = process.env['RAMET_LONG'] === '1';

export const NAMES: readonly string[] = Object.keys(MAKERS);

/** The first operation is on the file; the second too, or on its clone, or several with a plus. */
export interface Pair {
  readonly scene: SceneTitle;
  readonly first: string;
  readonly second: string;
  readonly on: Name;
}

export interface Schedule {
  readonly pair: Pair;
  readonly path: Path;
  /** Number of the call that fails. */
  readonly fault?: number | undefined;
}

export const titleOf = ({ scene, first, second, on }: Pair): string =>
  `${scene}/${first}/${second}/${on}`;

const scenes = new Map<SceneTitle, Promise<Scene>>();

function sceneOf(title: SceneTitle): Promise<Scene> {
  const known = scenes.get(title) ?? makeScene(title);
  scenes.set(title, known);
  return known;
}

function operationsOf({ first, second, on }: Pair): FileOperation[] {
  return [first, ...second.split(' + ')].map((name, i) => {
    const maker = MAKERS[name];
    if (maker === undefined) throw new Error(`There is no operation ${name}`);
    return maker(i === 0 ? 'f' : on, i + 1);
  });
}

/** What one schedule comes to. Throws, with the line that runs it again. */
export async function runSchedule({ pair, path, fault }: Schedule, harm?: Harm): Promise<Played> {
  try {
    return await play({
      scene: await sceneOf(pair.scene),
      operations: operationsOf(pair),
      path,
      harm,
      fails: fault === undefined ? undefined : (call) => call === fault,
    });
  } catch (error) {
    const file = relative('.', expect.getState().testPath ?? '');
    const line = `${titleOf(pair)}/${path}${fault === undefined ? '' : `/${fault}`}`;
    const found = error instanceof Error ? error : new Error(String(error));
    found.message += `\nSee it again: RAMET_SCHEDULE='${line}' npx vitest run ${file}`;
    throw found;
  }
}

/** The schedule that was asked for; undefined if all are to run. */
export function askedSchedule(): Schedule | undefined {
  const text = process.env['RAMET_SCHEDULE'];
  if (text === undefined) return undefined;
  const [scene = '', first = '', second = '', on = '', path = '0', fault] = text.split('/');
  return {
    pair: { scene: scene as SceneTitle, first, second, on: on as Name },
    path: Path.parse(path),
    fault: fault === undefined ? undefined : Number(fault),
  };
}

/** Prints a line of numbers that a suite has to say. */
export function tell(line: string): void {
  process.stdout.write(`${line}\n`);
}
