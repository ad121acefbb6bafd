/** ramet snapshot: keeps the volume as it is under a name; lists and deletes what was kept. */
import type { Command } from 'commander';
import { addCommand, type CommonOptions } from '../command.ts';
import { minuteText } from '../entries.ts';
import { doing, usageFault } from '../faults.ts';
import { withVolume } from '../images.ts';
import { escapeControls } from '../names.ts';
import { parseImage } from '../place.ts';
import { formatTable } from '../table.ts';
import type { Terminal } from '../terminal.ts';

interface Options extends CommonOptions {
  readonly writable?: true;
  readonly delete?: true;
  readonly list?: true;
}

export function addSnapshot(program: Command, terminal: Terminal): void {
  addCommand(program, {
    name: 'snapshot',
    summary: 'keep the volume as it is under a name, list or delete what was kept',
    notes:
      'Takes the same time whatever the size. A snapshot is read as IMG@NAME:/path; to get ' +
      'something back from it, clone it.',
    examples: [
      ['snapshot work.img monday', 'make one'],
      ['snapshot work.img', 'list them, oldest first'],
      ['snapshot work.img monday --delete', 'delete one'],
    ],
  })
    .argument('<image>', 'path of the image, or where it is mounted', parseImage)
    .argument('[name]', 'name of the snapshot')
    .option('--writable', 'one that can be changed later')
    .option('--delete', 'delete the snapshot, and give its space back')
    .option('--list', 'list them; the same as giving no name')
    .action(async (image: string, name: string | undefined, options: Options) => {
      checkOptions(name, options);
      if (name === undefined) await list(image, options, terminal);
      else await change(image, name, options, terminal);
    });
}

function checkOptions(name: string | undefined, options: Options): void {
  const { writable, list, delete: remove } = options;
  if (list && name !== undefined) throw usageFault('Cannot list a snapshot: --list takes no name');
  if (name === undefined && (writable || remove)) {
    throw usageFault(`Cannot ${remove ? 'delete' : 'make'} a snapshot: wanted its name`);
  }
  if (writable && remove) throw usageFault('Cannot use --delete together with --writable');
}

async function list(image: string, { json }: Options, terminal: Terminal): Promise<void> {
  await doing(`list the snapshots of ${image}`, () =>
    withVolume(image, {}, async (volume) => {
      const snapshots = volume.snapshotsSync();
      if (json) {
        for (const { created, ...rest } of snapshots) {
          await terminal.json({ ...rest, created: created.toISOString() });
        }
      } else if (snapshots.length > 0) {
        const rows = snapshots.map(({ name, created, readOnly }) => [
          escapeControls(name),
          minuteText(created),
          readOnly ? 'read-only' : 'writable',
        ]);
        const columns = [{ title: 'NAME' }, { title: 'CREATED' }, { title: 'ACCESS' }];
        await terminal.line(formatTable(columns, rows, terminal.paint.dim));
      }
    }),
  );
}

async function change(
  image: string,
  name: string,
  options: Options,
  terminal: Terminal,
): Promise<void> {
  const verb = options.delete ? 'delete' : 'make';
  await doing(`${verb} snapshot ${escapeControls(name)} of ${image}`, () =>
    withVolume(image, { write: true }, async (volume) => {
      if (!options.delete) {
        volume.snapshotSync(name, { writable: options.writable === true });
        return;
      }
      volume.deleteSnapshotSync(name);
      await volume.reclaim({ signal: terminal.signal });
    }),
  );
  if (options.json) {
    await terminal.json(options.delete ? { image, deleted: name } : { image, made: name });
  }
}
