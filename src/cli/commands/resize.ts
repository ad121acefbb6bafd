/** ramet resize: makes a volume larger or smaller. */
import type { Command } from 'commander';
import { addCommand, type CommonOptions } from '../command.ts';
import { doing } from '../faults.ts';
import { withVolume } from '../images.ts';
import { parseImage } from '../place.ts';
import { formatSize, parseSize } from '../sizes.ts';
import type { Terminal } from '../terminal.ts';

export function addResize(program: Command, terminal: Terminal): void {
  addCommand(program, {
    name: 'resize',
    summary: 'make a volume larger or smaller, and its image with it',
    notes:
      'A crash leaves the old size or the new one, and nothing is lost. A volume can grow to at ' +
      'least 16 times the size that it was made with, and shrink down to its last block in use.',
    examples: [
      ['resize work.img 32GiB', 'make it as large as that'],
      ['resize work.img 1GiB', 'make it smaller, if the end of it is free'],
    ],
  })
    .argument('<image>', 'path of the image, or where it is mounted', parseImage)
    .argument('<size>', 'size that the volume is to have', (text: string) => parseSize(text))
    .action(async (image: string, wanted: number, { json }: CommonOptions) => {
      const [size, free] = await doing(`resize ${image}`, () =>
        withVolume(image, { write: true }, async (volume) => {
          const found = await volume.resize(wanted);
          const { bsize, bavail } = volume.fs.statfsSync('/');
          return [found, bavail * bsize] as const;
        }),
      );
      if (json) await terminal.json({ image, size, free });
      else await terminal.line(`${image}: ${formatSize(size)}, ${formatSize(free)} free`);
    });
}
