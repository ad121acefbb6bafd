/** ramet trace: what a write would do, on a copy of the volume in memory. */
import type { Command } from 'commander';
import type { Extent, TraceEvent, Volume } from '../../api/index.ts';
import { BLOCK_SIZE, MIB } from '../../base/index.ts';
import { MemoryDevice, OverlayDevice } from '../../device/index.ts';
import { action, addCommand, type CommonOptions } from '../command.ts';
import { doing, Fault, usageFault } from '../faults.ts';
import { withDevice, withVolumeOn } from '../images.ts';
import { checkLive, PLACE_HELP, type Place, parsePlace, showPlace } from '../place.ts';
import { formatSize, parseSize } from '../sizes.ts';
import type { Terminal } from '../terminal.ts';
import { type TracedWrite, writePicture, writeSummary } from '../write-picture.ts';

interface Options extends CommonOptions {
  readonly offset: number;
  readonly length: number;
}

/** Bytes of a write that is looked at: all of it is kept in memory. */
const LENGTH_MAX = 64 * MIB;

export function addTrace(program: Command, terminal: Terminal): void {
  addCommand(program, {
    name: 'trace',
    summary: 'show what a write to a file would do, block by block',
    notes:
      'The write is made in memory, over the image, which is opened for reading only and stays ' +
      'as it is. With --json: each mapping, decision and wait, in order.',
    examples: [
      ['trace work.img:/db.sqlite --offset 5000 --length 10000', 'sources and destination'],
      ['trace work.img:/db.sqlite --offset 5000 --length 100 --json', 'one event a line'],
    ],
  })
    .argument('<place>', PLACE_HELP)
    .option('--offset <size>', 'where in the file', (text: string) => parseSize(text, 'offset'), 0)
    .option(
      '--length <size>',
      'how many bytes',
      (text: string) => parseSize(text, 'length'),
      BLOCK_SIZE,
    )
    .action(async (text: string, options: Options) => {
      const place = parsePlace(text);
      checkLive(place, 'trace a write to');
      if (options.length < 1 || options.length > LENGTH_MAX) {
        const length = formatSize(options.length);
        throw usageFault(`Cannot trace a write of ${length}: wanted 1 B to 64 MiB`);
      }
      await doing(action('trace', place), () => trace(place, options, terminal));
    });
}

async function trace(place: Place, options: Options, terminal: Terminal): Promise<void> {
  await withDevice(place.image, {}, async (base) => {
    const layer = new MemoryDevice({ size: base.size + base.size / 8 + MIB });
    const device = OverlayDevice.openSync({ base, layer, create: true });
    await withVolumeOn(device, { commitIntervalMs: 0 }, async (volume) => {
      const write = tracedWrite(volume, place, options);
      if (options.json) for (const event of write.events) await terminal.json(event);
      else await print(write, place, terminal);
    });
  });
}

function tracedWrite(volume: Volume, { path }: Place, { offset, length }: Options): TracedWrite {
  const stats = volume.fs.statSync(path);
  if (!stats.isFile()) {
    throw new Fault(`Cannot trace ${path}: it is not a file`, { code: 'EINVAL' });
  }
  const events: TraceEvent[] = [];
  const extents: Extent[] = volume.extentsSync(path);
  const fd = volume.fs.openSync(path, 'r+');
  volume.trace((event) => events.push(event));
  volume.fs.writeSync(fd, new Uint8Array(length), 0, length, offset);
  volume.syncSync();
  volume.trace(undefined);
  volume.fs.closeSync(fd);
  return { offset, length, size: stats.size, extents, events };
}

async function print(write: TracedWrite, place: Place, terminal: Terminal): Promise<void> {
  const { offset, length } = write;
  await terminal.line(`${showPlace(place)}: ${length} bytes to offset ${offset}`);
  await terminal.line(
    `\n${writePicture(write)
      .map((line) => `  ${line}`)
      .join('\n')}\n`,
  );
  for (const sentence of writeSummary(write)) await terminal.line(sentence);
}
