/** ramet import: copies a directory of the host into an image. */
import * as host from 'node:fs';
import type { Command } from 'commander';
import { ownerPath } from '../../device/node.ts';
import type { OpenVolume } from '../../fuse/index.ts';
import { addCommand, type CommonOptions } from '../command.ts';
import { exactTime, fileKey, TreeCopy } from '../copy-tree.ts';
import { runCopy } from '../copying.ts';
import { doing, Fault } from '../faults.ts';
import { withVolume } from '../images.ts';
import { binaryOf } from '../names.ts';
import { checkLive, PLACE_HELP, type Place, parsePlace, showPlace } from '../place.ts';
import type { Terminal } from '../terminal.ts';

interface Options extends CommonOptions {
  readonly force?: true;
}

export function addImport(program: Command, terminal: Terminal): void {
  addCommand(program, {
    name: 'import',
    summary: 'copy what is in a directory into an image',
    notes:
      'Keeps modes, owners, times to the nanosecond, symbolic and hard links; blocks of ' +
      'zeros become holes. Links are never followed. Extended attributes are out of reach ' +
      'of Node, and devices, pipes and sockets are left out. Ctrl-C ends it after a file; ' +
      'what was imported stays.',
    examples: [
      ['import src work.img', 'the content of src, at the root'],
      ['import node_modules work.img:/app/node_modules', 'into a directory that is made'],
      ['import --force src work.img', 'over what is there, file by file'],
    ],
  })
    .argument('<directory>', 'directory of the host')
    .argument('<place>', `where to: ${PLACE_HELP}; must be empty or not there`)
    .option('--force', 'join directories and replace files that are there')
    .action(async (directory: string, text: string, options: Options) => {
      const place = parsePlace(text);
      checkLive(place, 'a place to import to');
      await doing(`import ${directory} to ${showPlace(place)}`, () =>
        withVolume(place.image, { write: true, umask: 0 }, (volume) =>
          importTree({ directory, place, volume }, options, terminal),
        ),
      );
    });
}

interface Request {
  readonly directory: string;
  readonly place: Place;
  readonly volume: OpenVolume;
}

async function importTree(request: Request, options: Options, terminal: Terminal): Promise<void> {
  const { directory, place, volume } = request;
  const merge = options.force === true;
  const root = binaryOf(host.realpathSync(directory));
  checkEmpty(volume, place, merge);
  // The image, and the file beside it that says who has it.
  const own = [place.image, ownerPath(place.image)].flatMap((path) => {
    const stats = host.statSync(path, { bigint: true, throwIfNoEntry: false });
    return stats === undefined ? [] : [fileKey(stats)];
  });
  const copy = new TreeCopy({
    verb: 'import',
    source: { fs: host, root, spared: new Set(own) },
    target: { fs: volume.fs, root: binaryOf(place.path) },
    owners: true,
    merge,
    exactModes: true,
    timeText: exactTime,
  });
  const settle = (): Promise<void> => volume.sync();
  await runCopy({ copy, from: directory, to: showPlace(place), settle }, options, terminal);
}

/** What is there is not to be mixed with what comes unless that was asked for. */
function checkEmpty({ fs }: OpenVolume, { path }: Place, merge: boolean): void {
  const there = fs.lstatSync(path, { throwIfNoEntry: false });
  if (merge || there?.isDirectory() !== true || fs.readdirSync(path).length === 0) return;
  const message = `Cannot import to ${path}: the directory is not empty; --force joins them`;
  throw new Fault(message, { code: 'ENOTEMPTY' });
}
