/** ramet extents: where the data of a file is. */
import type { Command } from 'commander';
import type { Extent } from '../../api/index.ts';
import { hex } from '../../base/index.ts';
import { action, addCommand, type CommonOptions } from '../command.ts';
import { doing, Fault } from '../faults.ts';
import { filesOf, withVolume } from '../images.ts';
import { mappingBar } from '../mapping-bar.ts';
import { locatorOf, PLACE_HELP, type Place, parsePlace, showPlace } from '../place.ts';
import { counted, formatSize } from '../sizes.ts';
import { formatTable } from '../table.ts';
import type { Terminal } from '../terminal.ts';

export function addExtents(program: Command, terminal: Terminal): void {
  addCommand(program, {
    name: 'extents',
    summary: 'tell where the data of a file is, and what of it is shared',
    notes: 'Holes are left out of the table. Offsets and lengths are bytes.',
    examples: [
      ['extents work.img:/db.sqlite', 'a table and a picture'],
      ['extents work.img:/db.sqlite --json', 'one extent a line'],
    ],
  })
    .argument('<place>', PLACE_HELP)
    .action(async (text: string, options: CommonOptions) => {
      const place = parsePlace(text);
      await doing(action('map', place), () => show(place, options, terminal));
    });
}

async function show(place: Place, { json }: CommonOptions, terminal: Terminal): Promise<void> {
  await withVolume(place.image, {}, async (volume) => {
    const { signal } = terminal;
    const stats = filesOf(volume, place).lstatSync(place.path);
    if (!stats.isFile()) {
      throw new Fault(`Cannot map ${showPlace(place)}: it is not a file`, { code: 'EINVAL' });
    }
    const extents = await volume.extents(locatorOf(place), { signal });
    if (json) for (const extent of extents) await terminal.json(extent);
    else await print(extents, stats.size, place, terminal);
  });
}

async function print(
  extents: readonly Extent[],
  size: number,
  place: Place,
  terminal: Terminal,
): Promise<void> {
  const { paint, columns } = terminal;
  const runs = counted(extents.length, 'extent');
  await terminal.line(`${showPlace(place)}: ${formatSize(size)} in ${runs}`);
  if (extents.length === 0) return;
  const rows = extents.map(({ offset, length, address, type, shared }) => [
    String(offset),
    String(length),
    address === undefined ? '-' : hex(address),
    type,
    shared ? 'shared' : 'own',
  ]);
  const titles = ['OFFSET', 'LENGTH', 'ADDRESS', 'TYPE', 'OWNER'];
  const table = formatTable(
    titles.map((title, at) => ({ title, align: at < 3 ? 'right' : 'left' })),
    rows,
    paint.dim,
  );
  await terminal.line(table);
  const { bar, legend } = mappingBar(extents, size, { width: columns, paint });
  await terminal.line(`\n${bar}\n${legend}`);
}
