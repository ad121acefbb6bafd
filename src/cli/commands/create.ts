/** ramet create: makes a volume in an image file or on a block device. */
import { existsSync, rmSync } from 'node:fs';
import type { Command } from 'commander';
import { DEFAULT_SIZE, type Volume } from '../../api/index.ts';
import { BLOCK_SIZE, errorCode } from '../../base/index.ts';
import { FileDevice } from '../../device/node.ts';
import { addCommand, type CommonOptions } from '../command.ts';
import { confirm } from '../confirm.ts';
import { doing, Fault, usageFault } from '../faults.ts';
import { withVolume, withVolumeOn } from '../images.ts';
import { formatSize, parseSize } from '../sizes.ts';
import type { Terminal } from '../terminal.ts';

interface Options extends CommonOptions {
  readonly size?: number;
  readonly label?: string;
  readonly force?: true;
}

export function addCreate(program: Command, terminal: Terminal): void {
  addCommand(program, {
    name: 'create',
    summary: 'make a volume in an image file, or on a block device',
    notes:
      'The file takes room on the disk only for what is in it. What there was is lost, so ' +
      'an existing volume, or a file with anything else in it, needs --force.',
    examples: [
      ['create work.img', 'a volume that can grow to 16 GiB'],
      ['create work.img --size 200GiB --label work', 'a larger one with a name'],
      ['create work.img --force', 'a new one in place of the old'],
    ],
  })
    .argument('<image>', 'path of the image')
    .option('--size <size>', 'size of the volume', (text: string) => parseSize(text))
    .option('--block-size <size>', 'only 4096: the format has no other', parseBlockSize)
    .option('--label <text>', 'name of the volume, up to 64 bytes')
    .option('--force', 'make it whatever is there; what is there is lost')
    .action(async (image: string, options: Options) => {
      await doing(`create ${image}`, () => create(image, options, terminal));
    });
}

function parseBlockSize(text: string): number {
  const size = parseSize(text, 'block size');
  if (size === BLOCK_SIZE) return size;
  throw usageFault(`Cannot make blocks of ${size} bytes: the format has ${BLOCK_SIZE} only`);
}

async function create(image: string, options: Options, terminal: Terminal): Promise<void> {
  const overwrite = options.force ?? (await mayOverwrite(image, terminal));
  const isNew = !existsSync(image);
  const { label, size = isNew ? DEFAULT_SIZE : undefined } = options;
  const device = openDevice(image, isNew ? (size as number) : undefined);
  try {
    if (overwrite && size !== undefined && size > device.size) device.grow(size);
    await withVolumeOn(device, { create: true, overwrite, size, label }, (volume) =>
      report(image, volume, options, terminal),
    );
  } catch (error) {
    if (isNew) rmSync(image, { force: true });
    throw error;
  } finally {
    device.close();
  }
}

function openDevice(image: string, size: number | undefined): FileDevice {
  return size === undefined
    ? FileDevice.open(image)
    : FileDevice.open(image, { create: true, size });
}

async function report(
  image: string,
  volume: Volume,
  options: Options,
  terminal: Terminal,
): Promise<void> {
  const { bsize, blocks, bavail } = volume.fs.statfsSync('/');
  const [size, free] = [blocks * bsize, bavail * bsize];
  const { label } = volume;
  if (options.json) await terminal.json({ image, label, size, free });
  else await terminal.line(`${image}: ${formatSize(size)}, ${formatSize(free)} free`);
}

/** Asks a person whether a volume may be lost; without one the answer is no. */
async function mayOverwrite(image: string, terminal: Terminal): Promise<boolean> {
  if (!existsSync(image) || !(await isVolume(image))) return false;
  if (await confirm(terminal, `${image} holds a volume. Make a new one and lose it?`)) return true;
  const message = `Cannot create ${image}: it holds a volume; --force makes a new one and loses it`;
  throw new Fault(message, { code: 'EEXIST' });
}

async function isVolume(image: string): Promise<boolean> {
  try {
    return await withVolume(image, {}, () => true);
  } catch (error) {
    // A damaged one may yet be saved. Of anything else that is there, opening it will tell.
    if (errorCode(error) === 'EIO') return true;
    if (errorCode(error) === 'EINVAL') return false;
    throw error;
  }
}
