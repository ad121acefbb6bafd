/** ramet clone: clones a file or a tree, once or many times. */
import type { Command } from 'commander';
import type { OpenVolume } from '../../fuse/index.ts';
import { addCommand, type CommonOptions } from '../command.ts';
import { pathOfPlace } from '../entries.ts';
import { doing, explain, usageFault } from '../faults.ts';
import { withVolume } from '../images.ts';
import { textOf } from '../names.ts';
import {
  checkLive,
  locatorOf,
  PLACE_HELP,
  type Place,
  parsePlace,
  parseSecond,
  showPlace,
} from '../place.ts';
import { counted, formatTime } from '../sizes.ts';
import type { Terminal } from '../terminal.ts';

interface Options extends CommonOptions {
  readonly count?: number;
}

export function addClone(program: Command, terminal: Terminal): void {
  addCommand(program, {
    name: 'clone',
    summary: 'clone a file, or a directory with everything below it',
    notes:
      'Takes the same time whatever the size, and no space until one side is changed. Both ' +
      'sides are independent from then on.',
    examples: [
      ['clone work.img:/src /src-2', 'a tree'],
      ['clone work.img:/base /box --count 100', 'a hundred: /box-0001 to /box-0100'],
      ['clone work.img@monday:/src /src-monday', 'back from a snapshot'],
    ],
  })
    .argument('<place>', PLACE_HELP)
    .argument('<path>', 'path of the clone, in the same image; must be free')
    .option('--count <n>', 'clones to make, numbered from 0001', parseCount)
    .action(async (text: string, second: string, options: Options) => {
      const from = parsePlace(text);
      const to = parseSecond(second, from);
      checkLive(to, 'the path of a clone');
      await cloneAll(from, to, options, terminal);
    });
}

async function cloneAll(
  from: Place,
  to: Place,
  { count, json }: Options,
  terminal: Terminal,
): Promise<void> {
  const paths = clonePaths(textOf(pathOfPlace(to.path)), count);
  const start = performance.now();
  await doing(`clone ${showPlace(from)} to ${to.path}`, () =>
    withVolume(from.image, { write: true }, async (volume) => {
      const progress = terminal.progress('clone', 'items');
      let done = 0;
      const steps = cloneSteps(volume, from, paths, () => done++);
      try {
        await terminal.work(steps, () => progress.update({ done, total: paths.length }));
      } finally {
        progress.end();
      }
    }),
  );
  const ms = performance.now() - start;
  const [first, last] = [paths[0], paths.at(-1)];
  if (json) {
    const seconds = Math.round(ms) / 1000;
    await terminal.json({ from: showPlace(from), clones: paths.length, first, last, seconds });
  } else if (count !== undefined) {
    const clones = counted(paths.length, 'clone');
    await terminal.line(`${clones}, ${first} to ${last}, in ${formatTime(ms)}`);
  }
}

function* cloneSteps(
  volume: OpenVolume,
  from: Place,
  paths: readonly string[],
  done: () => void,
): Generator<void, void, void> {
  for (const path of paths) {
    try {
      volume.cloneSync(locatorOf(from), path);
    } catch (error) {
      throw explain(`clone ${showPlace(from)} to ${path}`, error);
    }
    done();
    yield;
  }
}

/** Without a count the path itself; else the path with numbers, all of one length. */
function clonePaths(path: string, count: number | undefined): string[] {
  if (count === undefined) return [path];
  const digits = Math.max(4, String(count).length);
  return Array.from({ length: count }, (_, i) => `${path}-${String(i + 1).padStart(digits, '0')}`);
}

const COUNT_MAX = 1_000_000;

function parseCount(text: string): number {
  const count = /^\d{1,7}$/u.test(text) ? Number(text) : 0;
  if (count >= 1 && count <= COUNT_MAX) return count;
  throw usageFault(`Cannot make ${JSON.stringify(text)} clones: wanted a number from 1 to 1000000`);
}
