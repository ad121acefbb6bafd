/** ramet diff: what differs between two trees of an image. */
import type { Command } from 'commander';
import type { Change } from '../../api/index.ts';
import { addCommand, type CommonOptions } from '../command.ts';
import { doing } from '../faults.ts';
import { withVolume } from '../images.ts';
import { escapeControls } from '../names.ts';
import { locatorOf, PLACE_HELP, type Place, parsePlace, parseSecond, showPlace } from '../place.ts';
import type { Paint, Terminal } from '../terminal.ts';

export function addDiff(program: Command, terminal: Terminal): void {
  addCommand(program, {
    name: 'diff',
    summary: 'tell what differs between two files, trees or snapshots',
    notes:
      'Takes as long as the difference is large: what both sides share is passed over ' +
      'unread. A line says + added, - removed, M data modified, or m only mode, owner, ' +
      'times or attributes.\nWhat was added or removed is told once, at its top.',
    examples: [
      ['diff work.img:/src /src-2', 'two trees'],
      ['diff work.img@monday work.img', 'what happened since a snapshot'],
      ['diff work.img@monday:/src @tuesday:/src --json', 'two snapshots, for programs'],
    ],
  })
    .argument('<left>', PLACE_HELP)
    .argument('<right>', 'the same, or /path or @SNAPSHOT:/path in the same image')
    .action(async (left: string, right: string, options: CommonOptions) => {
      const first = parsePlace(left);
      const second = parseSecond(right, first);
      await doing(`compare ${showPlace(first)} with ${showPlace(second)}`, () =>
        diff(first, second, options, terminal),
      );
    });
}

async function diff(
  left: Place,
  right: Place,
  { json }: CommonOptions,
  terminal: Terminal,
): Promise<void> {
  await withVolume(left.image, {}, async (volume) => {
    const { signal, paint } = terminal;
    for await (const change of volume.diff(locatorOf(left), locatorOf(right), { signal })) {
      if (json) await terminal.json(change);
      else await terminal.line(changeLine(change, paint));
    }
  });
}

/** `M src/main.c`; a directory ends with a slash. */
export function changeLine({ type, path, kind, data }: Change, paint: Paint): string {
  const name = escapeControls(path) + (kind === 'directory' ? '/' : '');
  if (type === 'added') return paint.green(`+ ${name}`);
  if (type === 'removed') return paint.red(`- ${name}`);
  return data ? paint.yellow(`M ${name}`) : `m ${name}`;
}
