/**
 * Superblocks: what an image says of itself before anything in it is looked at.
 */
import { BLOCK_SIZE, FilesystemError } from '../base/index.ts';
import type { FileDevice } from '../device/node.ts';
import {
  decodeSuperblock,
  isFault,
  SUPERBLOCKS,
  type Superblock,
  timeToMs,
} from '../format/index.ts';

/** The newest superblock at the start of an image. @throws {FilesystemError} `EIO` */
export function readSuperblock(device: FileDevice): Superblock {
  const bytes = new Uint8Array(SUPERBLOCKS * BLOCK_SIZE);
  device.read(0, bytes);
  return newestSuperblock(bytes);
}

/** The newest one in the first blocks of an image. @throws {FilesystemError} `EIO` */
export function newestSuperblock(bytes: Uint8Array): Superblock {
  const found: Superblock[] = [];
  for (let at = 0; at < bytes.length; at += BLOCK_SIZE) {
    const superblock = decodeSuperblock(bytes.subarray(at, at + BLOCK_SIZE));
    if (!isFault(superblock)) found.push(superblock);
  }
  const [first, ...others] = found;
  if (first === undefined) {
    // The volume was opened by the copies at its end.
    throw new FilesystemError('EIO', 'Cannot read the superblocks: all at the start are damaged');
  }
  return others.reduce((best, next) => (next.state.txg > best.state.txg ? next : best), first);
}

export interface SuperblockFacts {
  readonly uuid: string;
  /** `1.0`. */
  readonly format: string;
  readonly blockSize: number;
  /** ISO 8601. */
  readonly created: string;
  readonly committed: string;
  /** Commits so far. */
  readonly txg: number;
}

export function superblockFacts(superblock: Superblock): SuperblockFacts {
  const { uuid, major, minor, created, state } = superblock;
  const hex = Buffer.from(uuid).toString('hex');
  return {
    uuid: hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/u, '$1-$2-$3-$4-$5'),
    format: `${major}.${minor}`,
    blockSize: BLOCK_SIZE,
    created: new Date(timeToMs(created)).toISOString(),
    committed: new Date(timeToMs(state.committed)).toISOString(),
    txg: state.txg,
  };
}
