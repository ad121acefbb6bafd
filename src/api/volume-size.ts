/**
 * Volume size: how large a volume is, and how much of its device it takes, changed while in use.
 */
import { BLOCK_SIZE, type Block, KIB } from '../base/index.ts';
import { type Engine, Resize, Trim, type Trimmed } from '../volume/index.ts';
import type { Context } from './context.ts';
import { checkInteger } from './errors.ts';
import { Placement } from './placement.ts';
import { type Procedure, run } from './procedure.ts';

const RESIZE = { syscall: 'resize' } as const;
const TRIM = { syscall: 'trim' } as const;

/** Commits after which nothing that was freed is needed any more. */
const COMMITS = 3;
const MINIMUM = 64 * KIB;

export interface TrimOptions {
  /** Bytes of the shortest run of free blocks that is given back; 64 KiB if it is left out. */
  readonly minimum?: number | undefined;
  /** Ends the call with the signal's reason, at its next wait. */
  readonly signal?: AbortSignal | undefined;
}

export abstract class VolumeSize extends Placement {
  /**
   * Makes the volume larger, and its device if that is shorter; or smaller, and its device if that
   * can be cut. It is in use meanwhile. Returns the size in bytes that it has then: the largest
   * possible one up to `size`, since a last group of fewer than some blocks would be of no use.
   * Durable when this resolves; it takes a few commits. A crash leaves the old size or the new one,
   * and nothing is lost.
   *
   * Nothing is moved: a volume can become smaller down to its last block in use.
   *
   * @throws `EFBIG` if the volume was made without room to keep account of so much; `EBUSY` if what
   *   is in use reaches further, with the least size that is possible now in `detail`; `EROFS`; or
   *   what a device says that cannot be so long, `ENOSPC` or `EFBIG`; nothing has changed then
   */
  async resize(size: number): Promise<number> {
    return await this.caller.start(resize(this.caller.context, size), RESIZE);
  }

  resizeSync(size: number): number {
    return this.caller.finish(resize(this.caller.context, size), RESIZE);
  }

  /**
   * Makes the volume as small as it can be without anything being moved, and cuts its device. What
   * was removed is worked off first. Returns the size in bytes. Otherwise like {@link resize}.
   */
  async shorten(): Promise<number> {
    return await this.caller.start(shrink(this.caller.context.engine, undefined), RESIZE);
  }

  shortenSync(): number {
    return this.caller.finish(shrink(this.caller.context.engine, undefined), RESIZE);
  }

  /**
   * Gives free space back to the device: an image file takes less room on its disk then. First what
   * was removed is worked off and made durable, so that it counts. The volume stays as large as it
   * is, and is in use meanwhile. Returns how many bytes were given back; those that had been before
   * count again. If it is ended early, the rest is left.
   *
   * @throws `ENOTSUP` if the host cannot take space back, `EROFS`
   */
  async trim(options: TrimOptions = {}): Promise<number> {
    const { signal } = options;
    return await this.caller.start(trimBy(this.caller.context, options), TRIM, signal);
  }

  trimSync(options: TrimOptions = {}): number {
    return this.caller.finish(trimBy(this.caller.context, options), TRIM);
  }
}

function* resize({ engine }: Context, size: number): Procedure<number> {
  checkInteger('size', size, 0, Number.MAX_SAFE_INTEGER);
  const { blockCount } = engine.store.superblock.geometry;
  if (size < blockCount * BLOCK_SIZE) return yield* shrink(engine, size);
  return yield* run(new Resize(engine.store, size));
}

/** To a size, or to the least. */
function* shrink(engine: Engine, size: number | undefined): Procedure<number> {
  yield* settle(engine);
  return yield* run(new Resize(engine.store, size));
}

function* trimBy({ engine }: Context, { minimum = MINIMUM }: TrimOptions): Procedure<number> {
  checkInteger('minimum', minimum, BLOCK_SIZE, Number.MAX_SAFE_INTEGER);
  return yield* trim(engine, minimum);
}

/** Gives free runs of so many bytes back to the device. Its result is how many bytes they were. */
export function* trim(engine: Engine, minimum: number): Procedure<number> {
  yield* settle(engine);
  let bytes = 0;
  for (let at: Block | undefined = 0 as Block; at !== undefined; ) {
    const trimmed: Trimmed = yield* run(
      new Trim(engine.store, at, Math.ceil(minimum / BLOCK_SIZE)),
    );
    bytes += trimmed.bytes;
    at = trimmed.next;
  }
  return bytes;
}

/** What was removed is free, and what is free is idle, as far as nobody reads it. */
function* settle(engine: Engine): Procedure<void> {
  if (engine.store.readOnly) return;
  yield* reclaimAll(engine);
  for (let i = 0; i < COMMITS && (engine.hasChanges || engine.store.space.pending > 0); i++) {
    yield* run(engine.commit());
  }
}

/** Works off what removing left to do. */
export function* reclaimAll(engine: Engine): Procedure<void> {
  for (let work = engine.reclaim(); work !== undefined; work = engine.reclaim()) yield* run(work);
}
