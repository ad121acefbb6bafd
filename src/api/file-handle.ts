/**
 * FileHandle: an open file with promises, as `node:fs/promises` has it.
 */
import type { CallName } from './call-sites.ts';
import { isPieces } from './calls/whole-files.ts';
import { asBuffer } from './encoding.ts';
import type { Caller } from './fs.ts';
import { signalOf } from './procedure.ts';
import type { BigIntStats, Stats } from './stats.ts';

interface ReadInto {
  readonly buffer?: ArrayBufferView;
  readonly offset?: number | null;
  readonly length?: number | null;
  readonly position?: number | bigint | null;
}

const READ_BUFFER = 16384;

export class FileHandle {
  readonly #caller: Caller;
  #fd: number;

  constructor(caller: Caller, fd: number) {
    this.#caller = caller;
    this.#fd = fd;
  }

  /** Number of the open file; -1 once it is closed. */
  get fd(): number {
    return this.#fd;
  }

  async appendFile(data: unknown, options?: unknown): Promise<void> {
    await this.writeFile(data, options);
  }

  async chmod(mode: number | string): Promise<void> {
    await this.#call('fchmod', mode);
  }

  async chown(uid: number, gid: number): Promise<void> {
    await this.#call('fchown', uid, gid);
  }

  /** Closes the file. Further calls are `EBADF`. */
  async close(): Promise<void> {
    if (this.#fd < 0) return;
    const closing = this.#call('close');
    this.#fd = -1;
    await closing;
  }

  async datasync(): Promise<void> {
    await this.#call('fdatasync');
  }

  /** Reads into a buffer, of 16 KiB if none is given. */
  async read(
    bufferOrOptions?: ArrayBufferView | ReadInto,
    offset?: number | null | ReadInto,
    length?: number | null,
    position?: number | bigint | null,
  ): Promise<{ bytesRead: number; buffer: ArrayBufferView }> {
    const isView = ArrayBuffer.isView(bufferOrOptions);
    const options: ReadInto = isView
      ? typeof offset === 'object' && offset !== null
        ? offset
        : pick(offset, length, position)
      : (bufferOrOptions ?? {});
    const buffer = isView
      ? bufferOrOptions
      : (options.buffer ?? asBuffer(new Uint8Array(READ_BUFFER)));
    const bytesRead = (await this.#call('read', buffer, options)) as number;
    return { bytesRead, buffer };
  }

  async readFile(options?: unknown): Promise<string | Uint8Array> {
    return (await this.#call('readFile', options)) as string | Uint8Array;
  }

  async readv(
    buffers: readonly ArrayBufferView[],
    position?: number | null,
  ): Promise<{ bytesRead: number; buffers: readonly ArrayBufferView[] }> {
    return { bytesRead: (await this.#call('readv', buffers, position)) as number, buffers };
  }

  async stat(options?: { bigint?: boolean }): Promise<Stats | BigIntStats> {
    return (await this.#call('fstat', options)) as Stats | BigIntStats;
  }

  async sync(): Promise<void> {
    await this.#call('fsync');
  }

  async truncate(length?: number): Promise<void> {
    await this.#call('ftruncate', length);
  }

  async utimes(atime: number | string | Date, mtime: number | string | Date): Promise<void> {
    await this.#call('futimes', atime, mtime);
  }

  async write(
    data: ArrayBufferView | string,
    offsetOrPosition?: unknown,
    lengthOrEncoding?: unknown,
    position?: unknown,
  ): Promise<{ bytesWritten: number; buffer: ArrayBufferView | string }> {
    const args = [data, offsetOrPosition, lengthOrEncoding, position];
    return { bytesWritten: (await this.#call('write', ...args)) as number, buffer: data };
  }

  /** Writes from where the file stands on; what it had before is not cut off. */
  async writeFile(data: unknown, options?: unknown): Promise<void> {
    await this.#call(isPieces(data) ? 'writePieces' : 'writeFile', data, options);
  }

  async writev(
    buffers: readonly ArrayBufferView[],
    position?: number | null,
  ): Promise<{ bytesWritten: number; buffers: readonly ArrayBufferView[] }> {
    return { bytesWritten: (await this.#call('writev', buffers, position)) as number, buffers };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #call(name: CallName, ...args: unknown[]): Promise<unknown> {
    if (this.#fd >= 0) return await this.#caller.async(name, [this.#fd, ...args], signalOf(args));
    const syscall = name === 'writePieces' ? 'writeFile' : name;
    throw Object.assign(new Error('file closed'), { code: 'EBADF', syscall });
  }
}

function pick(
  offset: number | null | undefined,
  length: number | null | undefined,
  position: number | bigint | null | undefined,
): ReadInto {
  return { offset: offset ?? null, length: length ?? null, position: position ?? null };
}
