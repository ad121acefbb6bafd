/**
 * Served: what the operations of one mount have in common, and how they answer.
 */
import type { Procedure } from '../api/node/index.ts';
import { type Time, timeFromMs } from '../format/index.ts';
import type { BufferedRead } from '../iomap/index.ts';
import type { Engine, Vnode, WriteFile } from '../volume/index.ts';
import type { Opaque } from './layout.ts';
import { LockTable } from './lock-table.ts';
import type { Message } from './message.ts';
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
  /** Let times of access be as they are. */
  readonly noatime: boolean;
  /** Whose all inodes are, as replies have it. */
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
}

export class Served {
  readonly engine: Engine;
  readonly nodes: NodeTable;
  readonly locks: LockTable;
  readonly options: ServedOptions;
  /** Operations that have ended and can be used again. */
  readonly reads: BufferedRead[] = [];
  readonly writes: WriteFile[] = [];
  /** Sends the reply to a request that has waited; the session sets it. */
  answerLater: (unique: Opaque, answer: number) => void = () => {};
  /** What INIT has settled. */
  minor = 0;
  setxattrExtended = false;
  opensUnasked = false;
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

  vnode(message: Message): Vnode {
    return this.nodes.get(message.node);
  }
}
