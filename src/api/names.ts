/**
 * Names: what a volume does with names and flags that `node:fs` has no calls for. The rules are
 * those of the Linux calls with the same purpose.
 */
import { exchange } from './calls/exchange.ts';
import { changeFlags, type InodeFlags, readFlags } from './calls/inode-flags.ts';
import { linkFile, type OpenFileArgument } from './calls/tmpfile.ts';
import { type PathArgument, pathText } from './path.ts';
import { Upkeep } from './upkeep.ts';

export abstract class Names extends Upkeep {
  /**
   * Lets two names change places, with whatever they name: files, directories, links, also one of
   * each. One step: neither name is ever missing, and a crash leaves both as they were or both
   * exchanged. Inodes keep their numbers and stay open. It is renameat2(2) with RENAME_EXCHANGE.
   *
   * @throws `ENOENT` if a name is missing, `EINVAL` if one is a directory with the other in it,
   *   `EXDEV` as `rename` across clones, `ENOTDIR`, `EBUSY`, `EROFS`, `ENOSPC`; nothing has
   *   changed then
   */
  async exchange(path: PathArgument, otherPath: PathArgument): Promise<void> {
    const call = exchange(this.caller.context, path, otherPath);
    await this.caller.start(call, exchangeSite(path, otherPath));
  }

  exchangeSync(path: PathArgument, otherPath: PathArgument): void {
    const call = exchange(this.caller.context, path, otherPath);
    this.caller.finish(call, exchangeSite(path, otherPath));
  }

  /**
   * Gives an open file one name more: its first, if it was opened with `O_TMPFILE`. So a file comes
   * to be whole or not at all: it is written, made durable with `fsync`, and named, and whoever
   * finds the name finds everything; after a crash too, if the directory was made durable then. It
   * is linkat(2) with AT_EMPTY_PATH.
   *
   * @throws `EEXIST`, `ENOENT` if all names of the file are gone, or if it must not get one
   *   (`O_EXCL`), `EXDEV` in another clone than that in which it was made, `EPERM` of a directory,
   *   `EBADF`, `EROFS`, `ENOSPC`; nothing has changed then
   * @example
   * ```ts
   * const vol = Volume.openSync('work.img');
   * const fd = vol.fs.openSync('/', constants.O_TMPFILE | constants.O_RDWR);
   * vol.fs.writeSync(fd, 'all of it');
   * vol.fs.fsyncSync(fd);
   * vol.linkFileSync(fd, '/whole');
   * vol.fs.closeSync(fd);
   * console.log(vol.fs.readFileSync('/whole', 'utf8')); // all of it
   * vol.closeSync();
   * ```
   */
  async linkFile(file: OpenFileArgument, newPath: PathArgument): Promise<void> {
    const call = linkFile(this.caller.context, file, newPath);
    await this.caller.start(call, { syscall: 'link', dest: pathText(newPath) });
  }

  linkFileSync(file: OpenFileArgument, newPath: PathArgument): void {
    const call = linkFile(this.caller.context, file, newPath);
    this.caller.finish(call, { syscall: 'link', dest: pathText(newPath) });
  }

  /** Which flags a file or a directory has, those that chattr(1) sets. `ENOENT`. */
  async flags(path: PathArgument): Promise<InodeFlags> {
    const call = readFlags(this.caller.context, path);
    return await this.caller.start(call, { syscall: 'flags', path: pathText(path) });
  }

  flagsSync(path: PathArgument): InodeFlags {
    const call = readFlags(this.caller.context, path);
    return this.caller.finish(call, { syscall: 'flags', path: pathText(path) });
  }

  /**
   * Sets flags, or takes them away; those that are left out stay. What an immutable or append-only
   * inode refuses is `EPERM` for everybody. A cloned directory has the flags that it had, and so
   * has everything below; a cloned file has none. A snapshot can be deleted whatever is in it.
   *
   * @throws `EPERM` if it stays immutable, `ENOENT`, `EROFS`, `ENOSPC`; nothing has changed then
   */
  async setFlags(path: PathArgument, flags: Partial<InodeFlags>): Promise<void> {
    const call = changeFlags(this.caller.context, path, flags);
    await this.caller.start(call, { syscall: 'flags', path: pathText(path) });
  }

  setFlagsSync(path: PathArgument, flags: Partial<InodeFlags>): void {
    const call = changeFlags(this.caller.context, path, flags);
    this.caller.finish(call, { syscall: 'flags', path: pathText(path) });
  }
}

function exchangeSite(path: PathArgument, otherPath: PathArgument) {
  return { syscall: 'exchange', path: pathText(path), dest: pathText(otherPath) };
}
