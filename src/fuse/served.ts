/**
 * Served: what the operations of one mount have in common, and how they answer.
 */
import type { Procedure } from '../api/node/index.ts';
import { FilesystemError } from '../base/index.ts';
import { type Time, timeFromMs } from '../format/index.ts';
import type { BufferedRead, DirectRead } from '../iomap/index.ts';
import type { Engine, Vnode, WriteFile } from '../volume/index.ts';
import type { Stale } from './control/stale.ts';
import type { Opaque } from './layout.ts';
import { LockTable } from './lock-table.ts';
import { type Message, NO_REPLY } from './message.ts';
import { NodeTable } from './node-table.ts';

/**
 * What a handler answers: the length of the reply's body, a negative errno, `NO_REPLY`, or a
 * procedure that comes to one of them. What is answered at once costs no more than the call.
 */
export type Answer = number | Procedure<number>;
export type Handler = (served: Served, message: Message) => Answer;

export interface ServedOptions {
  readonly engine: Engine;
  /** The directory that is the root of the mount. */
  readonly root: Vnode;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Seconds for which the kernel may believe a name or an attribute. */
  readonly validSeconds: number;
  /** Let the kernel keep written data for a while, and decide about sizes and times. */
  readonly writeback: boolean;
  /** Keep access control lists, by which the kernel judges then. */
  readonly acl: boolean;
  /** Keep the locks of fcntl(2) and flock(2); otherwise the kernel does, for this mount alone. */
  readonly locks: boolean;
  /** A number that other mounts of the volume are not likely to have; 32 bits. */
  readonly generation: number;
  /** Let times of access be as they are. */
  readonly noatime: boolean;
  /** Whose all inodes are, as replies have it. */
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  /** A word in the memory of the process that has made a request, if it is to be had. */
  readonly wordOf?: ((pid: number, address: number) => number | undefined) | undefined;
}

export class Served {
  readonly engine: Engine;
  readonly nodes: NodeTable;
  readonly locks: LockTable;
  readonly options: ServedOptions;
  /** Operations that have ended and can be used again. */
  readonly reads: BufferedRead[] = [];
  readonly directReads: DirectRead[] = [];
  readonly writes: WriteFile[] = [];
  /** Sends the reply to a request that has waited; the session sets it. */
  answerLater: (unique: Opaque, answer: number) => void = () => {};
  /**
   * Tells the kernel what it knows wrong, and sends a reply after that; whoever mounts sets it.
   * Nobody who serves requests may do either, since the kernel may wait for him.
   */
  tellFirst: ((stale: Stale, reply: Uint8Array<ArrayBuffer>) => void) | undefined;
  /** Every request fails from now on, and nothing is written. */
  isShutDown = false;
  /** What INIT has settled. */
  minor = 0;
  setxattrExtended = false;
  opensUnasked = false;
  opendirsUnasked = false;
  acl = false;

  constructor(options: ServedOptions) {
    this.options = options;
    this.engine = options.engine;
    this.locks = new LockTable((unique) => this.answerLater(unique, 0));
    this.nodes = new NodeTable(options.engine, options.root);
  }

  get time(): Time {
    return timeFromMs(this.options.now());
  }

  get readOnly(): boolean {
    return this.engine.store.readOnly || this.nodes.root.realm.readOnly;
  }

  shutDown(): void {
    this.isShutDown = true;
    this.engine.store.latch(new FilesystemError('EIO', 'Cannot go on: it was shut down'));
  }

  /** Answers, once the kernel knows what has become stale by the request. */
  answerAfter(message: Message, answer: number, stale: Stale): number {
    if (this.tellFirst === undefined) return answer;
    const length = message.seal(answer);
    this.tellFirst(stale, message.reply.slice(0, length) as Uint8Array<ArrayBuffer>);
    return NO_REPLY;
  }

  vnode(message: Message): Vnode {
    return this.nodes.get(message.node);
  }
}
