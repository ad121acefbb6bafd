/** ramet cat: prints a file of an image. */
import type { Command } from 'commander';
import { MIB } from '../../base/index.ts';
import { action, addCommand, type CommonOptions } from '../command.ts';
import { doing } from '../faults.ts';
import { filesOf, withVolume } from '../images.ts';
import { PLACE_HELP, type Place, parsePlace } from '../place.ts';
import type { Terminal } from '../terminal.ts';

export function addCat(program: Command, terminal: Terminal): void {
  addCommand(program, {
    name: 'cat',
    summary: 'print a file',
    notes: 'JSON has a line for each MiB: its offset, and its bytes in base64.',
    examples: [
      ['cat work.img:/README.md', 'the file as it is'],
      ['cat work.img@monday:/db.sqlite > db.sqlite', 'a file of a snapshot'],
    ],
  })
    .argument('<place>', PLACE_HELP)
    .action(async (text: string, options: CommonOptions) => {
      const place = parsePlace(text);
      await doing(action('print', place), () => print(place, options, terminal));
    });
}

async function print(place: Place, { json }: CommonOptions, terminal: Terminal): Promise<void> {
  await withVolume(place.image, {}, async (volume) => {
    const fs = filesOf(volume, place);
    const fd = fs.openSync(place.path, 'r');
    const buffer = Buffer.allocUnsafe(MIB);
    for (let offset = 0; ; ) {
      const count = fs.readSync(fd, buffer, 0, MIB, offset);
      if (count === 0) return;
      terminal.signal.throwIfAborted();
      const bytes = buffer.subarray(0, count);
      if (json) await terminal.json({ offset, base64: bytes.toString('base64') });
      else await terminal.bytes(bytes);
      offset += count;
    }
  });
}
