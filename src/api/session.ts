/**
 * Session: whether a volume, or a view of it, is open, and which calls are under way.
 */
import { FilesystemError } from '../base/index.ts';

export class Session {
  readonly #what: string;
  readonly #outer: Session | undefined;
  #open = true;
  #ending = false;
  #calls = 0;
  #quiet: (() => void) | undefined;

  /** A session within another one ends with it. */
  constructor(what: string, outer?: Session) {
    this.#what = what;
    this.#outer = outer;
  }

  /** Calls that are under way. */
  get calls(): number {
    return this.#calls;
  }

  /** @throws {FilesystemError} `EBADF` if it is closed */
  readonly check = (): void => {
    this.#outer?.check();
    if (!this.#open) {
      throw new FilesystemError('EBADF', `Cannot use the ${this.#what}: it is closed`);
    }
  };

  /** The same for calls that take so long that who closes the volume does not wait for them. */
  readonly checkLong = (): void => {
    this.check();
    if (!this.#ending) return;
    throw new FilesystemError('EBADF', `Cannot go on: the ${this.#what} is being closed`);
  };

  /** Runs a call that {@link settled} waits for. */
  async during<Result>(call: () => Promise<Result>): Promise<Result> {
    this.check();
    if (this.#outer !== undefined) return await this.#outer.during(call);
    this.#calls++;
    try {
      return await call();
    } finally {
      if (--this.#calls === 0) this.#quiet?.();
    }
  }

  /** It will be closed when the calls under way have ended; long ones do so at once. */
  end(): void {
    this.#ending = true;
  }

  /** From now on every call fails, those under way at their next step. */
  close(): void {
    this.#open = false;
  }

  /** Resolves when no call is under way. Calls that begin meanwhile are waited for too. */
  async settled(): Promise<void> {
    while (this.#calls > 0) {
      await new Promise<void>((quiet) => {
        this.#quiet = quiet;
      });
    }
  }
}
