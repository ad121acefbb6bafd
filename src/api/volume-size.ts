/**
 * Volume size: making a volume larger or smaller while it is in use.
 */
import { Resize } from '../volume/index.ts';
import type { Context } from './context.ts';
import { checkInteger } from './errors.ts';
import { FileRanges } from './file-ranges.ts';
import { type Procedure, run } from './procedure.ts';

const RESIZE = { syscall: 'resize' } as const;

export abstract class VolumeSize extends FileRanges {
  /**
   * Makes the volume larger, and its device if that is shorter, while it is in use. Returns the
   * size in bytes that it has then: the largest possible one up to `size`, since a last group of
   * fewer than some blocks would be of no use. Durable when this resolves; it takes a few commits.
   * A crash leaves the old size or the new one, and nothing is lost.
   *
   * @throws `EFBIG` if the volume was made without room to keep account of so much, `EROFS`, or
   *   what a device says that cannot be so long, `ENOSPC` or `EFBIG`; nothing has changed then
   */
  async resize(size: number): Promise<number> {
    return await this.caller.start(resize(this.caller.context, size), RESIZE);
  }

  resizeSync(size: number): number {
    return this.caller.finish(resize(this.caller.context, size), RESIZE);
  }
}

function* resize({ engine }: Context, size: number): Procedure<number> {
  checkInteger('size', size, 0, Number.MAX_SAFE_INTEGER);
  return yield* run(new Resize(engine.store, size));
}
