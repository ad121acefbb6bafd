/** ramet export: copies a directory of an image to the host. */
import type { BigIntStats } from 'node:fs';
import * as host from 'node:fs';
import { dirname } from 'node:path';
import type { Command } from 'commander';
import { BLOCK_SIZE } from '../../base/index.ts';
import type { OpenVolume } from '../../fuse/index.ts';
import { addCommand, type CommonOptions } from '../command.ts';
import { fileKey, hostTime, TreeCopy } from '../copy-tree.ts';
import { runCopy } from '../copying.ts';
import { doing, Fault } from '../faults.ts';
import { filesOf, withVolume } from '../images.ts';
import { binaryOf, join, pathOf } from '../names.ts';
import { PLACE_HELP, type Place, parsePlace, showPlace } from '../place.ts';
import type { Run } from '../sparse.ts';
import type { Terminal } from '../terminal.ts';

interface Options extends CommonOptions {
  readonly force?: true;
}

export function addExport(program: Command, terminal: Terminal): void {
  addCommand(program, {
    name: 'export',
    summary: 'copy what is in a directory of an image to a directory',
    notes:
      'Keeps modes, times to the microsecond, symbolic and hard links and holes, and owners ' +
      'if you are root. Nothing is written through a link or outside of the directory.',
    examples: [
      ['export work.img out', 'everything, into a directory that is made'],
      ['export work.img@monday:/src out', 'as it was in a snapshot'],
      ['export --force work.img:/src out', 'over what is there, file by file'],
    ],
  })
    .argument('<place>', `what: ${PLACE_HELP}`)
    .argument('<directory>', 'directory of the host; must be empty or not there')
    .option('--force', 'join directories and replace files that are there')
    .action(async (text: string, directory: string, options: Options) => {
      const place = parsePlace(text);
      await doing(`export ${showPlace(place)} to ${directory}`, () =>
        withVolume(place.image, {}, (volume) =>
          exportTree({ directory, place, volume }, options, terminal),
        ),
      );
    });
}

interface Request {
  readonly directory: string;
  readonly place: Place;
  readonly volume: OpenVolume;
}

async function exportTree(request: Request, options: Options, terminal: Terminal): Promise<void> {
  const { directory, place, volume } = request;
  const merge = options.force === true;
  const fs = filesOf(volume, place);
  if (!fs.statSync(place.path).isDirectory()) {
    throw new Fault(`Cannot export ${showPlace(place)}: it is a file; ramet cat prints one`, {
      code: 'ENOTDIR',
    });
  }
  const root = targetRoot(directory, merge);
  const image = fileKey(host.statSync(place.image, { bigint: true }));
  const copy = new TreeCopy({
    verb: 'export',
    source: { fs, root: binaryOf(fs.realpathSync(place.path)) },
    target: { fs: host, root, spared: new Set([image]) },
    owners: process.getuid?.() === 0,
    merge,
    timeText: hostTime,
    runsOf: (path, stats) => runsOf(volume, place, path, stats),
  });
  await runCopy({ copy, from: showPlace(place), to: directory }, options, terminal);
}

/** The directory to export to, without links; it is not there or, unless merging, empty. */
function targetRoot(directory: string, merge: boolean): string {
  const there = host.statSync(directory, { throwIfNoEntry: false });
  if (there === undefined) {
    const parent = host.realpathSync(dirname(directory));
    return binaryOf(join(parent, directory.replace(/\/+$/u, '').replace(/^.*\//su, '')));
  }
  if (there.isDirectory() && !merge && host.readdirSync(directory).length > 0) {
    const message = `Cannot export to ${directory}: the directory is not empty; --force joins them`;
    throw new Fault(message, { code: 'ENOTEMPTY' });
  }
  return binaryOf(host.realpathSync(directory));
}

/** Below this, to look for holes costs more than to read them. */
const LARGE = 16 * BLOCK_SIZE;

/** The data of a file is where its extents are; how many blocks it says it has proves nothing. */
function runsOf(
  volume: OpenVolume,
  place: Place,
  path: string,
  { size }: BigIntStats,
): Iterable<Run> {
  const length = Number(size);
  if (length < LARGE) return [{ offset: 0, length }];
  const file = pathOf(path);
  const { snapshot } = place;
  const locator = snapshot === undefined ? file : { snapshot, path: file };
  return volume.extentsSync(locator).filter(({ type }) => type !== 'unwritten');
}
