/** ramet umount: takes a mount off its directory and waits until the image is let go of. */
import { readFileSync, realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Command } from 'commander';
import { errorCode } from '../../base/index.ts';
import { FileDevice } from '../../device/node.ts';
import { unmount } from '../../fuse/index.ts';
import { addCommand, type CommonOptions } from '../command.ts';
import { doing, Fault } from '../faults.ts';
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
      ['umount /mnt/work', 'which is refused while somebody uses it'],
      ['umount --lazy /mnt/work', 'now, and the rest when nobody does any more'],
    ],
  })
    .argument('<directory>', 'where the volume is mounted')
    .option('-l, --lazy', 'take it off the directory even if it is in use; do not wait')
    .action(async (directory: string, options: Options) => {
      await doing(`unmount ${directory}`, async () => {
        const image = imageAt(withoutLinks(resolve(directory)));
        await unmount(directory, options.lazy);
        if (image !== undefined && !options.lazy) await closed(image);
      });
      if (options.json) await terminal.json({ unmounted: directory });
    });
}

/** What is mounted at a directory, if a server of ours has done it; no look at the mount itself. */
function imageAt(directory: string): string | undefined {
  let found: string | undefined;
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const point = before.split(' ')[4];
    const [type, source] = after.split(' ');
    if (point === undefined || plain(point) !== directory) continue;
    found = type === 'fuse.ramet' && source !== undefined ? plain(source) : undefined;
  }
  return found;
}

/** A path as mountinfo has it. The directory itself may be one that nobody answers for any more. */
function withoutLinks(directory: string): string {
  try {
    return realpathSync(directory);
  } catch {
    return join(realpathSync(dirname(directory)), basename(directory));
  }
}

/** Spaces and the like are in octal there. */
function plain(text: string): string {
  const bytes = Buffer.from(text, 'utf8').toString('latin1');
  const binary = bytes.replace(/\\([0-7]{3})/gu, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
  return Buffer.from(binary, 'latin1').toString('utf8');
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
