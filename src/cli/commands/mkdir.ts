/** ramet mkdir: makes a directory in an image. */
import type { Command } from 'commander';
import { action, addCommand, type CommonOptions } from '../command.ts';
import { doing } from '../faults.ts';
import { filesOf, withVolume } from '../images.ts';
import { PLACE_HELP, parsePlace, showPlace } from '../place.ts';
import type { Terminal } from '../terminal.ts';

interface Options extends CommonOptions {
  readonly parents?: true;
}

export function addMkdir(program: Command, terminal: Terminal): void {
  addCommand(program, {
    name: 'mkdir',
    summary: 'make a directory',
    examples: [
      ['mkdir work.img:/src', 'one whose parent is there'],
      ['mkdir -p work.img:/a/b/c', 'and whatever of its path is missing'],
    ],
  })
    .argument('<place>', PLACE_HELP)
    .option('-p, --parents', 'missing parents too; nothing is wrong if it is there')
    .action(async (text: string, options: Options) => {
      const place = parsePlace(text);
      await doing(action('make', place), () =>
        withVolume(place.image, { write: true }, (volume) => {
          const recursive = options.parents === true;
          filesOf(volume, place).mkdirSync(place.path, { recursive });
        }),
      );
      if (options.json) await terminal.json({ made: showPlace(place) });
    });
}
