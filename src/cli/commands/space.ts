/** ramet space: how much a tree takes, and how much of it is its own. */
import type { Command } from 'commander';
import { action, addCommand, type CommonOptions } from '../command.ts';
import { doing } from '../faults.ts';
import { withVolume } from '../images.ts';
import { locatorOf, PLACE_HELP, parsePlace, showPlace } from '../place.ts';
import { counted, formatSize } from '../sizes.ts';
import { formatFacts } from '../table.ts';
import type { Terminal } from '../terminal.ts';

export function addSpace(program: Command, terminal: Terminal): void {
  addCommand(program, {
    name: 'space',
    summary: 'tell how much a file or a tree takes, and how much of it is shared',
    examples: [
      ['space work.img', 'the live volume'],
      ['space work.img:/clones/0007', 'what would come back if it were removed: exclusive'],
    ],
  })
    .argument('<place>', PLACE_HELP)
    .action(async (text: string, { json }: CommonOptions) => {
      const place = parsePlace(text);
      const { signal, paint } = terminal;
      const report = await doing(action('measure', place), () =>
        withVolume(place.image, {}, (volume) => volume.space(locatorOf(place), { signal })),
      );
      const { logical, allocated, exclusive, files, directories } = report;
      const shared = allocated - exclusive;
      if (json) {
        await terminal.json({ place: showPlace(place), ...report, shared });
        return;
      }
      const facts: [string, string][] = [
        ['holds', `${counted(files, 'file')}, ${counted(directories, 'directory')}`],
        ['logical', `${formatSize(logical)}, as its files count it`],
        ['allocated', `${formatSize(allocated)}, as the volume stores it`],
        ['exclusive', `${formatSize(exclusive)}, would come back if it were removed`],
        ['shared', `${formatSize(shared)}, with clones and snapshots`],
      ];
      await terminal.line(showPlace(place));
      await terminal.line(formatFacts(facts, paint.dim));
    });
}
