/**
 * Upkeep: what keeps a volume sound and fast over the years, done while it is in use.
 */
import type { ScrubReport } from '../check/index.ts';
import type { Device } from '../device/index.ts';
import { type DefragReport, defragment } from './calls/defrag.ts';
import { asNodeError } from './errors.ts';
import { type PathArgument, pathText } from './path.ts';
import { run, runAsync } from './procedure.ts';
import { type ScrubOptions, scrub } from './scrub.ts';
import { VolumeSize } from './volume-size.ts';

export interface LongOptions {
  /** Ends the call with the signal's reason, at its next wait. */
  readonly signal?: AbortSignal | undefined;
}

export interface DefragOptions extends LongOptions {
  /** Told after each file how far it has come. What it throws ends the call. */
  readonly progress?: ((report: DefragReport) => void) | undefined;
}

const NOTHING = (): void => {};

export abstract class Upkeep extends VolumeSize {
  protected abstract readonly device: Device;

  /**
   * Moves the data of a file, or of all files below a directory, from many short extents to few
   * long ones, where there is room for such. Only what nothing else shares is moved: a clone or a
   * snapshot keeps its blocks where they are. No byte and no time of a file changes. The space that
   * the data had is free after two commits; until then as much more is in use as was moved.
   *
   * @throws `ENOENT`, `EINVAL` if it is neither a file nor a directory, `ENOSPC`, `EROFS`. What was
   *   moved by then stays so.
   */
  async defrag(path: PathArgument = '/', options: DefragOptions = {}): Promise<DefragReport> {
    const { progress = NOTHING, signal } = options;
    const site = { syscall: 'defrag', path: pathText(path) };
    const { context } = this.caller;
    return await this.caller.start(defragment(context, path, progress), site, signal);
  }

  defragSync(path: PathArgument = '/', options: Omit<DefragOptions, 'signal'> = {}): DefragReport {
    const { progress = NOTHING } = options;
    const site = { syscall: 'defrag', path: pathText(path) };
    return this.caller.finish(defragment(this.caller.context, path, progress), site);
  }

  /**
   * Reads everything that the volume has on its device and verifies it, while the volume is in use;
   * what has a second copy that is whole is made whole again. {@link ScrubProgress.position} is
   * where another scrub can go on. While the trees are read, which comes first, nothing that is
   * freed is used again, unless space runs out: then they are read once more.
   *
   * Data that is damaged has no second copy: it is told, and reading it stays `EIO`. So does a
   * device that fails. After an error, what was put right by then stays so.
   *
   * @throws {FilesystemError} `ENOMEM` beyond `memory`, `EBUSY` if the volume is too full and too
   *   busy for it, `EBADF` if it is closed meanwhile
   * @throws {RangeError} if an option is outside its limits
   */
  async scrub(options: ScrubOptions = {}): Promise<ScrubReport> {
    const { context, driver } = this.caller;
    const { engine, session } = context;
    const check = session.checkLong;
    try {
      return await session.during(async () => {
        if (!engine.store.readOnly) await runAsync(driver, run(engine.commit()), { check });
        return await scrub({ engine, driver, device: this.device, check }, options);
      });
    } catch (error) {
      throw asNodeError(error, { syscall: 'scrub' });
    }
  }
}
