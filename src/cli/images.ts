/**
 * Images: opening the volume in an image file, and letting go of it whatever happens.
 */
import { type SyncFs, Volume, type VolumeOptions } from '../api/index.ts';
import { errorCode, FilesystemError } from '../base/index.ts';
import type { Device } from '../device/index.ts';
import { FileDevice } from '../device/node.ts';
import type { Superblock } from '../format/index.ts';
import { type OpenVolume, RemoteVolume } from '../fuse/index.ts';
import type { Place } from './place.ts';
import { newestSuperblock, readSuperblock } from './superblocks.ts';

export interface OpenOptions {
  /** For changing it, which nobody else may do meanwhile. Default: for reading, with others. */
  readonly write?: boolean;
  /** Permission bits that new files do not get; the process's own if it is left out. */
  readonly umask?: number;
}

/** Reads the newest superblock of the image. */
type ReadSuperblock = () => Superblock;

/**
 * Runs `body` with the volume of an image, through whoever has it mounted if somebody does. What it
 * did is durable when this resolves.
 */
export async function withVolume<Result>(
  image: string,
  { write = false, umask = process.umask() }: OpenOptions,
  body: (volume: OpenVolume, superblock: ReadSuperblock) => Result | Promise<Result>,
): Promise<Result> {
  let device: FileDevice;
  try {
    device = openDevice(image, write);
  } catch (error) {
    const user = { ...owner(), umask };
    const busy = errorCode(error) === 'EBUSY';
    const remote = busy ? await RemoteVolume.open(image, user) : undefined;
    if (remote === undefined) throw error;
    return await withRemote(remote, write, body);
  }
  return await closing(device, () =>
    withVolumeOn(device, { umask, readOnly: !write }, (volume) =>
      body(volume, () => readSuperblock(device)),
    ),
  );
}

async function withRemote<Result>(
  remote: RemoteVolume,
  write: boolean,
  body: (volume: OpenVolume, superblock: ReadSuperblock) => Result | Promise<Result>,
): Promise<Result> {
  const close = async (): Promise<void> => {
    try {
      if (write) await remote.sync();
    } finally {
      await remote.close();
    }
  };
  return await closing({ close }, () => body(remote, () => newestSuperblock(remote.superblocks())));
}

/** Runs `body` with the volume on a device, which stays open. */
export async function withVolumeOn<Result>(
  device: Device,
  options: VolumeOptions,
  body: (volume: Volume) => Result | Promise<Result>,
): Promise<Result> {
  const volume = Volume.openSync(device, { ...owner(), ...options });
  return await closing(volume, () => body(volume));
}

/** Runs `body` with the bytes of an image. */
export async function withDevice<Result>(
  image: string,
  { write = false }: OpenOptions,
  body: (device: FileDevice) => Result | Promise<Result>,
): Promise<Result> {
  const device = openDevice(image, write);
  return await closing(device, () => body(device));
}

/** The files of a place: the live volume's, or a snapshot's. */
export function filesOf(volume: OpenVolume, { snapshot }: Place): SyncFs {
  return snapshot === undefined ? volume.fs : volume.openSnapshotSync(snapshot).fs;
}

/**
 * Whoever has an image mounted; undefined if there is nobody who can be asked. Data that the kernel
 * holds for programs stays where it is.
 */
export async function openMounted(image: string): Promise<RemoteVolume | undefined> {
  return await RemoteVolume.open(image, { ...owner(), umask: process.umask() }, 0);
}

function openDevice(image: string, write: boolean): FileDevice {
  try {
    return FileDevice.open(image, { readOnly: !write });
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
    throw new FilesystemError('ENOENT', `Cannot open: ${absence(image)}`, { cause: error });
  }
}

/** Says what to do about an image that is not there. */
function absence(image: string): string {
  const [, name, rest] = /^(.+?):(.*)$/su.exec(image) ?? [];
  const hint =
    name === undefined ? 'ramet create makes one' : `a path begins with /, as in ${name}:/${rest}`;
  return `${image} does not exist; ${hint}`;
}

/** Closes what was open after `body`, whose own error counts more than one of closing. */
async function closing<Result>(
  resource: { close(): Promise<void> | undefined },
  body: () => Result | Promise<Result>,
): Promise<Result> {
  let result: Result;
  try {
    result = await body();
  } catch (error) {
    try {
      await resource.close();
    } catch {
      // It failed for the same reason, or for a lesser one.
    }
    throw error;
  }
  await resource.close();
  return result;
}

function owner(): { uid: number; gid: number } {
  return { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
}
