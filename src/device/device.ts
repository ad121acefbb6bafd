/**
 * Device: where an image's bytes live.
 *
 * D1. A method either finishes before it returns (`undefined`) or returns a promise. A device that
 *     declares `sync` never returns a promise, so nothing is in flight when JavaScript goes back to
 *     its event loop.
 * D2. Until `flush` has succeeded, any subset of the writes issued since the last flush may survive
 *     a power cut, each torn at 512 bytes. After it, all of them do.
 * D3. A write in flight owns its buffers until it completes; the caller does not change them.
 * D4. Reads and writes are all or nothing to the caller: a short transfer is continued or fails.
 *
 * Positions and lengths are bytes. The engine uses multiples of 4 KiB only.
 */

/** `undefined`: done before the call returned. */
export type Completion = Promise<void> | undefined;

export interface Device {
  /** What the device is called in messages: a path, `memory`, ... */
  readonly name: string;
  /** True if every method completes before it returns (D1). */
  readonly sync: boolean;
  readonly readOnly: boolean;
  /** Bytes the device holds now. */
  readonly size: number;

  /**
   * Fills `buffer` from `position`. Rejects with `EIO` if the device fails, `EINVAL` past the end.
   */
  read(position: number, buffer: Uint8Array): Completion;
  /** Fills the buffers one after the other with the bytes from `position` on. */
  readv(position: number, buffers: readonly Uint8Array[]): Completion;
  /** Writes `buffer` at `position`. `EROFS` on a read-only device, `ENOSPC` if the host is full. */
  write(position: number, buffer: Uint8Array): Completion;
  writev(position: number, buffers: readonly Uint8Array[]): Completion;
  /** Makes every completed write durable (D2). */
  flush(): Completion;
  /**
   * The caller no longer needs these bytes; they may read as anything afterwards. A device gives
   * them back to its host, as far as it can in units of its own, or rejects with `ENOTSUP`.
   */
  discard(position: number, length: number): Completion;
  /**
   * The caller is about to write here and does not need what is there now: a device that can make
   * the coming writes and flushes cheaper does so. Like {@link discard}, it may change the bytes.
   */
  prepare(position: number, length: number): Completion;
  /** Makes the device at least `size` bytes long. The new bytes read as zeros. */
  grow(size: number): Completion;
  /**
   * Cuts what is behind `size` off, on a device that can be shorter; others stay as they are, or do
   * not have the call. What is added later reads as zeros. Durable with the next flush.
   */
  shrink?(size: number): Completion;
  /**
   * Of a device that is memory: the bytes from `position` on as they lie there, `length` of them or
   * as many as follow each other, at least to the end of the 4 KiB block; undefined if they take no
   * memory yet. Writes to the device are seen in them. Valid until the device ends before them.
   */
  view?(position: number, length: number): Uint8Array | undefined;
  /** Lets go of the device. Does not flush. Further calls are `EBADF`. Idempotent. */
  close(): Completion;
  /** On a device with a queue that can be waited for in place: completes everything in flight. */
  drain?(): void;
}
