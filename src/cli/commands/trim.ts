/** ramet trim: gives free space of a volume back to the disk that its image lies on. */
import { statSync } from 'node:fs';
import type { Command } from 'commander';
import { addCommand, type CommonOptions } from '../command.ts';
import { doing } from '../faults.ts';
import { withVolume } from '../images.ts';
import { parseImage } from '../place.ts';
import { formatSize, parseSize } from '../sizes.ts';
import type { Terminal } from '../terminal.ts';

interface Options extends CommonOptions {
  readonly minimum?: number;
  readonly shorten?: true;
}

/** Unit of the blocks that stat(2) counts. */
const STAT_BLOCK = 512;

export function addTrim(program: Command, terminal: Terminal): void {
  addCommand(program, {
    name: 'trim',
    summary: 'give free space of a volume back to the disk of its image',
    notes:
      'Holes are made in the image where the volume has nothing. The volume stays as large as it ' +
      'is, unless --shorten makes it and the image end behind the last block in use. It takes ' +
      'the program fallocate of util-linux.',
    examples: [
      ['trim work.img', 'give back what is free'],
      ['trim work.img --shorten', 'and cut off the end of the image that nothing is in'],
      ['trim work.img --minimum 1MiB', 'only long runs of free space, which is faster'],
    ],
  })
    .argument('<image>', 'path of the image, or where it is mounted', parseImage)
    .option('--minimum <size>', 'shortest run that is given back, 64 KiB', (text: string) =>
      parseSize(text, 'minimum'),
    )
    .option('--shorten', 'make the volume as small as it can be, too')
    .action(async (image: string, { minimum, shorten, json }: Options) => {
      const before = allocated(image);
      const { signal } = terminal;
      const [discarded, size] = await doing(`trim ${image}`, () =>
        withVolume(image, { write: true }, async (volume) => {
          const bytes = await volume.trim({ minimum, signal });
          if (shorten === true) await volume.shorten();
          const { blocks, bsize } = volume.fs.statfsSync('/');
          return [bytes, blocks * bsize] as const;
        }),
      );
      const after = allocated(image);
      if (json) {
        await terminal.json({ image, discarded, before, after, size });
        return;
      }
      const cut = shorten === true ? `, ${formatSize(size)} long` : '';
      await terminal.line(`${image}: ${formatSize(discarded)} given back${cut}${takes(after)}`);
    });
}

/** Bytes that an image takes on its disk; none are known of a block device. */
function allocated(image: string): number | undefined {
  const stats = statSync(image, { throwIfNoEntry: false });
  return stats?.isFile() === true ? stats.blocks * STAT_BLOCK : undefined;
}

function takes(bytes: number | undefined): string {
  return bytes === undefined ? '' : `, it takes ${formatSize(bytes)} on the disk`;
}
