/** ramet rm: removes a file or a tree from an image. */
import type { Command } from 'commander';
import type { SyncFs } from '../../api/index.ts';
import { action, addCommand, type CommonOptions } from '../command.ts';
import { confirm } from '../confirm.ts';
import { pathOfPlace } from '../entries.ts';
import { doing, Fault } from '../faults.ts';
import { filesOf, withVolume } from '../images.ts';
import { join, pathOf } from '../names.ts';
import { PLACE_HELP, type Place, parsePlace, showPlace } from '../place.ts';
import type { Terminal } from '../terminal.ts';

interface Options extends CommonOptions {
  readonly recursive?: true;
  readonly force?: true;
}

export function addRm(program: Command, terminal: Terminal): void {
  addCommand(program, {
    name: 'rm',
    summary: 'remove a file, or with -r a directory and everything below it',
    notes:
      'A tree goes in one step whatever its size. Then its space is given back, bit by bit; ' +
      'Ctrl-C leaves the rest of that for later.',
    examples: [
      ['rm work.img:/notes.txt', 'a file'],
      ['rm -r work.img:/clones/0007', 'a tree'],
      ['rm -r --force work.img', 'everything'],
    ],
  })
    .argument('<place>', PLACE_HELP)
    .option('-r, --recursive', 'directories too, with everything below')
    .option('--force', 'empty the root; nothing is asked')
    .action(async (text: string, options: Options) => {
      const place = parsePlace(text);
      await doing(action('remove', place), async () => {
        const path = pathOfPlace(place.path);
        if (path === '/') await checkRoot(place, options, terminal);
        await withVolume(place.image, { write: true }, async (volume) => {
          remove(filesOf(volume, place), path, options);
          await volume.reclaim({ signal: terminal.signal });
        });
      });
      if (options.json) await terminal.json({ removed: showPlace(place) });
    });
}

function remove(fs: SyncFs, path: string, { recursive }: Options): void {
  if (fs.lstatSync(pathOf(path)).isDirectory() && !recursive) {
    throw new Fault(`Cannot remove ${path}: it is a directory, which takes -r`, { code: 'EISDIR' });
  }
  if (path !== '/') {
    fs.rmSync(pathOf(path), { recursive: true });
    return;
  }
  for (const name of fs.readdirSync('/', 'latin1')) {
    fs.rmSync(pathOf(join('/', name)), { recursive: true });
  }
}

/** To empty a whole volume is meant only if it is said. */
async function checkRoot(place: Place, options: Options, terminal: Terminal): Promise<void> {
  if (options.force || !options.recursive) return;
  if (await confirm(terminal, `Remove everything in ${showPlace(place)}?`)) return;
  throw new Fault(`Cannot remove ${showPlace(place)}: it is the root; --force empties it`, {
    code: 'EBUSY',
  });
}
