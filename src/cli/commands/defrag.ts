/** ramet defrag: few long extents instead of many short ones. */
import type { Command } from 'commander';
import type { DefragReport } from '../../api/index.ts';
import { action, addCommand, type CommonOptions } from '../command.ts';
import { pathOfPlace } from '../entries.ts';
import { doing } from '../faults.ts';
import { withVolume } from '../images.ts';
import { textOf } from '../names.ts';
import { checkLive, PLACE_HELP, type Place, parsePlace, showPlace } from '../place.ts';
import { counted, formatCount, formatSize } from '../sizes.ts';
import type { Terminal } from '../terminal.ts';

export function addDefrag(program: Command, terminal: Terminal): void {
  addCommand(program, {
    name: 'defrag',
    summary: 'move the data of files from many short extents to few long ones',
    notes:
      'What a clone or a snapshot shares stays where it is, since to move it would take space. ' +
      'Files stay what they are, times too; extents shows where they lie.',
    examples: [
      ['defrag work.img', 'all files'],
      ['defrag work.img:/base.db', 'one'],
    ],
  })
    .argument('<place>', PLACE_HELP)
    .action(async (text: string, { json }: CommonOptions) => {
      const place = parsePlace(text);
      checkLive(place, 'what is defragmented');
      const report = await doing(action('defragment', place), () => defrag(place, terminal));
      if (json) {
        await terminal.json({ place: showPlace(place), ...report });
        return;
      }
      const { files, changed, moved, before, after } = report;
      await terminal.line(
        `${showPlace(place)}: ${counted(before, 'extent')} of ${counted(files, 'file')}, now ` +
          `${formatCount(after)}; ${formatSize(moved)} moved in ${counted(changed, 'file')}`,
      );
    });
}

async function defrag(place: Place, terminal: Terminal): Promise<DefragReport> {
  const progress = terminal.progress('defrag', 'items');
  try {
    return await withVolume(place.image, { write: true }, (volume) =>
      volume.defrag(textOf(pathOfPlace(place.path)), {
        signal: terminal.signal,
        progress: ({ files, moved }) => progress.update({ done: files, bytes: moved }),
      }),
    );
  } finally {
    progress.end();
  }
}
