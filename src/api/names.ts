/**
 * Names: what a volume does with names that `node:fs` has no calls for. The rules are those of the
 * Linux calls with the same purpose.
 */
import { exchange } from './calls/exchange.ts';
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
}

function exchangeSite(path: PathArgument, otherPath: PathArgument) {
  return { syscall: 'exchange', path: pathText(path), dest: pathText(otherPath) };
}
