/** ramet mv: renames a file or a directory of an image. */
import type { Command } from 'commander';
import type { SyncFs } from '../../api/index.ts';
import { addCommand, type CommonOptions } from '../command.ts';
import { doing, Fault } from '../faults.ts';
import { withVolume } from '../images.ts';
import { baseName, join } from '../names.ts';
import { checkLive, PLACE_HELP, parsePlace, parseSecond, showPlace } from '../place.ts';
import type { Terminal } from '../terminal.ts';

interface Options extends CommonOptions {
  readonly clobber: boolean;
}

export function addMv(program: Command, terminal: Terminal): void {
  addCommand(program, {
    name: 'mv',
    summary: 'give a file or a directory another name',
    examples: [
      ['mv work.img:/a /b', 'a new name'],
      ['mv work.img:/notes.txt /docs', 'into a directory, under its own name'],
    ],
  })
    .argument('<place>', PLACE_HELP)
    .argument('<path>', 'new path in the same image')
    .option('-n, --no-clobber', 'fail if the new name is there')
    .action(async (text: string, second: string, options: Options) => {
      const from = parsePlace(text);
      const to = parseSecond(second, from);
      checkLive(from, 'what to move');
      checkLive(to, 'a new name');
      const path = await doing(`move ${showPlace(from)} to ${to.path}`, () =>
        withVolume(from.image, { write: true }, ({ fs }) => move(fs, from.path, to.path, options)),
      );
      if (options.json) await terminal.json({ from: showPlace(from), to: path });
    });
}

/** Answers the new path: a directory stands for a name in it. */
function move(fs: SyncFs, from: string, to: string, { clobber }: Options): string {
  const isDirectory = fs.statSync(to, { throwIfNoEntry: false })?.isDirectory() === true;
  const path = isDirectory ? join(to, baseName(from)) : to;
  if (!clobber && fs.lstatSync(path, { throwIfNoEntry: false }) !== undefined) {
    throw new Fault(`Cannot move to ${path}: the name is taken, and -n was given`, {
      code: 'EEXIST',
    });
  }
  fs.renameSync(from, path);
  return path;
}
