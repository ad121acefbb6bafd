/**
 * Line: a client's connection with whoever has an image mounted.
 *
 * A call waits for its answer in this turn, as calls of `node:fs` do, or gives up its turn. Node
 * has no synchronous sockets; but a connected one is a descriptor like any other, and once it
 * blocks it is read and written like a file. Node's own reading of it never begins.
 *
 * L1. One call is under way at a time: what is read is its answer, or its progress. Who calls while
 *     another call has given up its turn waits for that, or is refused if it cannot wait.
 */
import { read, readSync, writeSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { promisify } from 'node:util';
import { errorCode, FilesystemError } from '../../base/index.ts';
import type { Answer } from './calls.ts';
import { ANSWER_MAX, decodeFrame, encodeFrame, FrameReader } from './frame.ts';
import { SocketPlace } from './socket-path.ts';

/** What Node's handle of a connected socket has beside its public face. */
interface Handle {
  readonly fd: number;
  setBlocking(on: boolean): number;
}

export interface CallOptions {
  /** See `FrameFlag`. */
  readonly flags?: number;
  readonly signal?: AbortSignal | undefined;
  /** What it throws ends the call, and is thrown. */
  readonly progress?: ((value: unknown) => void) | undefined;
}

const CHUNK = 1 << 20;
const readLater = promisify(read);

export class Line {
  readonly #socket: Socket;
  readonly #fd: number;
  readonly #reader = new FrameReader(ANSWER_MAX);
  readonly #chunk = Buffer.allocUnsafeSlow(CHUNK);
  readonly #frames: Uint8Array[] = [];
  #nextId = 1;
  #last: Promise<unknown> = Promise.resolve();
  #isBusy = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    const { _handle: handle } = socket as unknown as { _handle: Handle };
    handle.setBlocking(true);
    this.#fd = handle.fd;
  }

  /** A connection with whoever has an image mounted; undefined if there is no such. */
  static async open(image: string): Promise<Line | undefined> {
    let place: SocketPlace;
    try {
      place = new SocketPlace(image);
    } catch {
      return undefined;
    }
    try {
      if (!place.isOurs) return undefined;
      return new Line(await connected(place.address));
    } catch (error) {
      // Left by a server that was killed, or of somebody else.
      if (['ENOENT', 'ECONNREFUSED', 'EACCES'].includes(errorCode(error) ?? '')) return undefined;
      throw error;
    } finally {
      place.close();
    }
  }

  /** Calls, and waits in this turn. */
  callSync(call: string, args: readonly unknown[], flags = 0): unknown {
    if (this.#isBusy) {
      throw new FilesystemError('EBUSY', `Cannot call ${call}: another call is under way`);
    }
    const id = this.#send(call, args, flags);
    for (;;) {
      const answer = this.#answerTo(id, this.#frames.shift());
      if (answer !== undefined) return valueIn(answer);
      this.#take(readSync(this.#fd, this.#chunk));
    }
  }

  /** Calls, and gives up the turn. */
  call(call: string, args: readonly unknown[], options: CallOptions = {}): Promise<unknown> {
    const turn = this.#last.then(() => this.#call(call, args, options));
    this.#last = turn.catch(() => {});
    return turn;
  }

  close(): void {
    this.#socket.destroy();
  }

  async #call(call: string, args: readonly unknown[], options: CallOptions): Promise<unknown> {
    const { flags = 0, signal, progress } = options;
    signal?.throwIfAborted();
    const id = this.#send(call, args, flags);
    const cancel = (): void => this.#write(encodeFrame({ id, cancel: true }));
    signal?.addEventListener('abort', cancel, { once: true });
    let thrown: { readonly error: unknown } | undefined;
    this.#isBusy = true;
    try {
      for (;;) {
        const frame = this.#frames.shift();
        if (frame === undefined) {
          const { bytesRead } = await readLater(this.#fd, this.#chunk, 0, CHUNK, null);
          this.#take(bytesRead);
          continue;
        }
        const answer = this.#answerTo(id, frame);
        if (answer === undefined) continue;
        if ('progress' in answer) {
          try {
            progress?.(answer.progress);
          } catch (error) {
            if (thrown === undefined) cancel();
            thrown ??= { error };
          }
          continue;
        }
        if (thrown !== undefined) throw thrown.error;
        if (signal?.aborted === true && 'error' in answer) throw signal.reason;
        return valueIn(answer);
      }
    } finally {
      this.#isBusy = false;
      signal?.removeEventListener('abort', cancel);
    }
  }

  #send(call: string, args: readonly unknown[], flags: number): number {
    const id = this.#nextId++;
    this.#write(encodeFrame({ id, call, args }, flags));
    return id;
  }

  #write(frame: Uint8Array): void {
    try {
      for (let at = 0; at < frame.length; ) at += writeSync(this.#fd, frame, at);
    } catch (error) {
      throw hungUp(error);
    }
  }

  #take(length: number): void {
    if (length === 0) throw hungUp(undefined);
    const bytes = new Uint8Array(this.#chunk.subarray(0, length));
    this.#frames.push(...this.#reader.push(bytes));
  }

  /** An answer to an earlier call that was given up is passed over. */
  #answerTo(id: number, frame: Uint8Array | undefined): Answer | undefined {
    if (frame === undefined) return undefined;
    const answer = decodeFrame(frame) as Answer;
    return answer.id === id ? answer : undefined;
  }
}

function valueIn(answer: Answer): unknown {
  if ('error' in answer) throw answer.error;
  return answer.value;
}

function hungUp(cause: unknown): FilesystemError {
  const message = 'Cannot go on: whoever had the volume mounted has ended';
  return new FilesystemError('EIO', message, { cause });
}

function connected(address: string): Promise<Socket> {
  const socket = connect({ path: address });
  // Nobody but this file reads from it.
  socket.pause();
  return new Promise((resolve, reject) => {
    socket.once('connect', () => resolve(socket));
    socket.once('error', reject);
  });
}
