/**
 * Socket path: where the socket of whoever has an image mounted is, beside the image.
 *
 * It is `IMAGE.sock`, by the image's path without symbolic links, so that every way to the image
 * leads to it. The kernel takes addresses of at most 107 bytes: the directory is named through a
 * descriptor, and a name that is still too long is replaced by its hash.
 *
 * K1. The socket is there only while its server holds the lock of the image. One that is found by
 *     whoever has just been given the lock is left by a server that was killed.
 * K2. Only its owner can connect (0600); a client trusts a socket of its own user or of root.
 */
import { createHash } from 'node:crypto';
import { closeSync, constants, lstatSync, openSync, realpathSync, unlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { errorCode, FilesystemError } from '../../base/index.ts';

/** `/proc/self/fd/1048576/` and a name have to fit into 107 bytes. */
const NAME_MAX = 80;

/** Name of the socket in the directory of its image. */
function nameFor(image: string): string {
  const name = `${basename(image)}.sock`;
  if (Buffer.byteLength(name) <= NAME_MAX) return name;
  return `.ramet-${createHash('sha256').update(name).digest('hex').slice(0, 40)}.sock`;
}

/** True if somebody seems to have an image mounted; the lock knows for certain. */
export function seemsMounted(image: string): boolean {
  try {
    const place = new SocketPlace(image);
    place.close();
    return place.isOurs;
  } catch {
    return false;
  }
}

/** A socket's place, with a short address as long as it is not closed. */
export class SocketPlace {
  readonly path: string;
  readonly #directory: number;
  readonly #name: string;

  /** @throws {Error} what the host says of the image's directory */
  constructor(image: string) {
    const real = realpathSync(image);
    const folder = dirname(real);
    this.#name = nameFor(real);
    this.path = join(folder, this.#name);
    this.#directory = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  }

  /** What to bind and to connect to. */
  get address(): string {
    return `/proc/self/fd/${this.#directory}/${this.#name}`;
  }

  /** Where a folder beside it may begin its name. */
  get besides(): string {
    return `/proc/self/fd/${this.#directory}/.ramet-`;
  }

  /** Takes away what a server that was killed has left (K1). @throws `EEXIST` if it is no socket */
  clear(): void {
    const there = lstatSync(this.path, { throwIfNoEntry: false });
    if (there === undefined) return;
    if (!there.isSocket()) {
      throw new FilesystemError('EEXIST', `Cannot make ${this.path}: there is something else`);
    }
    this.remove();
  }

  remove(): void {
    try {
      unlinkSync(this.path);
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error;
    }
  }

  /** True if there is a socket that can be trusted (K2). */
  get isOurs(): boolean {
    const there = lstatSync(this.path, { throwIfNoEntry: false });
    return there?.isSocket() === true && [0, process.geteuid?.()].includes(there.uid);
  }

  close(): void {
    closeSync(this.#directory);
  }
}
