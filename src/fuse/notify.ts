/**
 * Notify: what the kernel is told unasked, by a thread that serves nothing.
 *
 * While the kernel takes a message it may wait for locks that a program has, whose request waits to
 * be answered: the thread that answers must never write one. Every message fails if the connection
 * has just ended, or if the kernel knows nothing of what it is about; neither matters.
 */
import { write, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import { errorCode, setU64, viewOf } from '../base/index.ts';
import { Notify } from './constants.ts';
import {
  NOTIFY_DELETE_OUT,
  NOTIFY_INVAL_ENTRY_OUT,
  NOTIFY_INVAL_INODE_OUT,
  NOTIFY_PRUNE_OUT,
  NOTIFY_RETRIEVE_OUT,
  OUT_HEADER,
} from './wire.ts';

/** Numbers of nodes in one message. */
const PRUNE_BATCH = 512;
const BODY = OUT_HEADER.size;
const send = promisify(write);

export class Notifier {
  readonly #fd: number;
  readonly #retrieve = notification(Notify.RETRIEVE, NOTIFY_RETRIEVE_OUT.size);

  constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * Asks the kernel for no bytes of a file: it sends that to the serving thread, which looks up
   * from its waiting. Nothing waits for it, and the mount is not looked at, which could not be
   * unmounted meanwhile.
   *
   * @throws what the kernel says; `ENOENT` if it does not know the file
   */
  ask(node: number): void {
    const { bytes, view } = this.#retrieve;
    view.setInt32(BODY + NOTIFY_RETRIEVE_OUT.at.nodeid, node, true);
    writeSync(this.#fd, bytes);
  }

  /** Asks the kernel to forget nodes; those in use it keeps. Ends if there is nobody to ask. */
  async prune(numbers: Int32Array): Promise<void> {
    for (let at = 0; at < numbers.length; at += PRUNE_BATCH) {
      const part = numbers.subarray(at, at + PRUNE_BATCH);
      const { bytes, view } = notification(Notify.PRUNE, NOTIFY_PRUNE_OUT.size + 8 * part.length);
      view.setUint32(BODY + NOTIFY_PRUNE_OUT.at.count, part.length, true);
      const start = BODY + NOTIFY_PRUNE_OUT.size;
      for (const [i, node] of part.entries()) view.setInt32(start + 8 * i, node, true);
      await send(this.#fd, bytes);
    }
  }

  /** A name is not what the kernel knows it to be: there or not, or leading elsewhere. */
  async staleName(parent: number, name: string): Promise<void> {
    const text = Buffer.from(name, 'latin1');
    const { at, size } = NOTIFY_INVAL_ENTRY_OUT;
    // The name ends with a zero that its length does not count.
    const { bytes, view } = notification(Notify.INVAL_ENTRY, size + text.length + 1);
    setU64(view, BODY + at.parent, parent);
    view.setUint32(BODY + at.namelen, text.length, true);
    bytes.set(text, BODY + size);
    await this.#tell(bytes);
  }

  /**
   * A name went, and the inode with it: who watches that, or is in that directory, is told. False
   * if the kernel cannot say so: it is not what the name leads to, or something below is in use.
   */
  async goneName(parent: number, name: string, child: number): Promise<boolean> {
    const text = Buffer.from(name, 'latin1');
    const { at, size } = NOTIFY_DELETE_OUT;
    const { bytes, view } = notification(Notify.DELETE, size + text.length + 1);
    setU64(view, BODY + at.parent, parent);
    setU64(view, BODY + at.child, child);
    view.setUint32(BODY + at.namelen, text.length, true);
    bytes.set(text, BODY + size);
    return await send(this.#fd, bytes).then(
      () => true,
      () => false,
    );
  }

  /** Attributes and data of a node are not what the kernel knows. Dirty data is written back. */
  async staleNode(node: number): Promise<void> {
    const { at, size } = NOTIFY_INVAL_INODE_OUT;
    const { bytes, view } = notification(Notify.INVAL_INODE, size);
    setU64(view, BODY + at.ino, node);
    // From byte 0 on, and no length: all of it.
    await this.#tell(bytes);
  }

  /** Sends the reply to a request. */
  async reply(bytes: Uint8Array): Promise<void> {
    await this.#tell(bytes);
  }

  async #tell(bytes: Uint8Array): Promise<void> {
    try {
      await send(this.#fd, bytes);
    } catch (error) {
      const code = errorCode(error);
      const nobody = code === 'ENOENT' || code === 'ENODEV' || code === 'ENOTCONN';
      if (!nobody && code !== 'ENOTDIR') throw error;
    }
  }
}

/** A message of the server's own; its body is to be filled in. */
function notification(code: number, bodyLength: number): { bytes: Uint8Array; view: DataView } {
  const bytes = new Uint8Array(BODY + bodyLength);
  const view = viewOf(bytes);
  view.setUint32(OUT_HEADER.at.len, bytes.length, true);
  view.setInt32(OUT_HEADER.at.error, code, true);
  return { bytes, view };
}
