/** ramet umount: takes a mount off its directory and waits until the image is let go of. */
import { setTimeout } from 'node:timers/promises';
import type { Command } from 'commander';
import { errorCode } from '../../base/index.ts';
import { FileDevice } from '../../device/node.ts';
import { unmount } from '../../fuse/index.ts';
import { addCommand, type CommonOptions } from '../command.ts';
import { doing, Fault } from '../faults.ts';
import { mountAt } from '../mounts.ts';
import { placeOfMount } from '../place.ts';
import type { Terminal } from '../terminal.ts';

interface Options extends CommonOptions {
  readonly lazy?: true;
}

/** How long the server may take to make everything durable. */
const WAIT_MS = 60_000;
const LOOK_MS = 20;

export function addUmount(program: Command, terminal: Terminal): void {
  addCommand(program, {
    name: 'umount',
    summary: 'unmount a volume, and wait until its image is closed',
    notes:
      'umount(8) does as much, but returns before the server has made everything durable. A ' +
      'mount point whose server was killed is cleaned up as well.',
    examples: [
      ['umount /mnt/vol', 'which is refused while somebody uses it'],
      ['umount --lazy /mnt/vol', 'now, and the rest when nobody does any more'],
    ],
  })
    .argument('<directory>', 'where the volume is mounted')
    .option('-l, --lazy', 'take it off the directory even if it is in use; do not wait')
    .action(async (directory: string, options: Options) => {
      await doing(`unmount ${directory}`, async () => {
        const mount = mountAt(directory);
        const image = mount === undefined ? undefined : placeOfMount(mount).image;
        await unmount(directory, options.lazy);
        if (image !== undefined && !options.lazy) await closed(image);
      });
      if (options.json) await terminal.json({ unmounted: directory });
    });
}

/** Waits until nobody holds the image any more. One whose path leads nowhere cannot be asked. */
async function closed(image: string): Promise<void> {
  const until = performance.now() + WAIT_MS;
  for (;;) {
    try {
      await FileDevice.open(image, {}).close();
      return;
    } catch (error) {
      if (errorCode(error) !== 'EBUSY') return;
      if (performance.now() > until) {
        throw new Fault(`Cannot wait any longer: ${(error as Error).message}`, { code: 'EBUSY' });
      }
    }
    await setTimeout(LOOK_MS);
  }
}
