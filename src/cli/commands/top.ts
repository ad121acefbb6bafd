/** ramet top: what a mounted volume is doing, interval by interval. */
import { existsSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import type { Command } from 'commander';
import { FilesystemError } from '../../base/index.ts';
import type { MountReport, RemoteVolume } from '../../fuse/index.ts';
import { action, addCommand, type CommonOptions } from '../command.ts';
import { doing, usageFault } from '../faults.ts';
import { openMounted } from '../images.ts';
import { ratesBetween, ratesText } from '../mount-rates.ts';
import { mountOf, PLACE_HELP, type Place, parsePlace, showPlace } from '../place.ts';
import type { Terminal } from '../terminal.ts';

interface Options extends CommonOptions {
  readonly interval: number;
  readonly count?: number;
}

export function addTop(program: Command, terminal: Terminal): void {
  addCommand(program, {
    name: 'top',
    summary: 'watch a mounted volume: requests, how long they take, data, space, commits',
    notes:
      'On a terminal the screen is drawn again and again until Ctrl-C; elsewhere each interval ' +
      'is a block of lines. It is always all of the volume, whatever the path.',
    examples: [
      ['top /mnt/vol', 'each second'],
      ['top work.img --interval 10 --count 6', 'a minute'],
      ['top work.img --json', 'for programs'],
    ],
  })
    .argument('<place>', `where it is mounted, or ${PLACE_HELP}`)
    .option('-i, --interval <seconds>', 'between two looks, 0.1 to 3600', parseInterval, 1)
    .option('-n, --count <n>', 'intervals, instead of going on', parseCount)
    .action(async (text: string, options: Options) => {
      const place = parsePlace(text);
      await doing(action('watch', place), async () => {
        const remote = (await openMounted(place.image)) ?? refuse(place);
        try {
          await watch(remote, showPlace(place), options, terminal);
        } finally {
          await remote.close();
        }
      });
    });
}

/** @throws {FilesystemError} why nobody can be asked about it */
function refuse({ image }: Place): never {
  if (!existsSync(image)) {
    throw new FilesystemError('ENOENT', 'Cannot watch: there is no such image');
  }
  const mount = mountOf(image);
  if (mount === undefined) throw new FilesystemError('EINVAL', 'Cannot watch: it is not mounted');
  if (mount.readOnly) {
    const finding = 'it is mounted read-only, and such a mount has no socket to be asked through';
    throw new FilesystemError('ENOTSUP', `Cannot watch: ${finding}`);
  }
  const finding = `its mount has no socket ${image}.sock that this user may use`;
  throw new FilesystemError('EACCES', `Cannot watch: ${finding}`);
}

/** Without a count the only end is that somebody wants it, and then it is done. */
async function watch(
  remote: RemoteVolume,
  title: string,
  { interval, count, json }: Options,
  terminal: Terminal,
): Promise<void> {
  const { signal, paint } = terminal;
  const screen = json ? undefined : terminal.live();
  try {
    let before = await remote.report();
    for (let i = 0; i < (count ?? Number.POSITIVE_INFINITY); i++) {
      const after = await reportIn(remote, interval, signal);
      if (after === undefined) break;
      const rates = ratesBetween(before, after);
      before = after;
      if (json) await terminal.json({ place: title, ...rates });
      else if (screen !== undefined) screen.draw(ratesText(title, rates, paint));
      else await terminal.line(`${i === 0 ? '' : '\n'}${ratesText(title, rates, paint)}`);
      await terminal.flush();
    }
  } finally {
    screen?.end();
  }
  if (count !== undefined) signal.throwIfAborted();
}

/** How the mount is doing in a while; undefined if somebody wants the end first. */
async function reportIn(
  remote: RemoteVolume,
  seconds: number,
  signal: AbortSignal,
): Promise<MountReport | undefined> {
  try {
    await setTimeout(seconds * 1000, undefined, { signal });
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  }
  const report = await remote.report();
  return signal.aborted ? undefined : report;
}

const INTERVAL_MIN = 0.1;
const INTERVAL_MAX = 3600;
const COUNT_MAX = 1_000_000_000;

function parseInterval(text: string): number {
  const seconds = /^\d{1,4}(?:\.\d{1,3})?$/u.test(text) ? Number(text) : 0;
  if (seconds >= INTERVAL_MIN && seconds <= INTERVAL_MAX) return seconds;
  const wanted = `wanted seconds from ${INTERVAL_MIN} to ${INTERVAL_MAX}`;
  throw usageFault(`Cannot use interval ${JSON.stringify(text)}: ${wanted}`);
}

function parseCount(text: string): number {
  const count = /^\d{1,10}$/u.test(text) ? Number(text) : 0;
  if (count >= 1 && count <= COUNT_MAX) return count;
  throw usageFault(
    `Cannot show ${JSON.stringify(text)} intervals: wanted a number from 1 to ${COUNT_MAX}`,
  );
}
