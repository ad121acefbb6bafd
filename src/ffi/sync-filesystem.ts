/**
 * Sync filesystem: has the kernel write back what it keeps of one, by syncfs(2). Node only.
 */
import { open } from 'node:fs/promises';
import { FilesystemError } from '../base/index.ts';
import { loadLibc } from './libc.ts';

/**
 * Resolves when everything that the kernel kept of the filesystem of a directory is written back.
 *
 * @throws {FilesystemError} `ENOTSUP` without koffi, `EIO` if some of it could not be; what opening
 *   the directory throws
 */
export async function syncFilesystem(directory: string): Promise<void> {
  const libc = loadLibc();
  const handle = await open(directory, 'r');
  try {
    if ((await libc.syncfs(handle.fd)) === 0) return;
  } finally {
    await handle.close();
  }
  throw new FilesystemError('EIO', `Cannot sync ${directory}: the kernel could not write it back`);
}
