/**
 * What the thread that has the clock and the thread that has the engine tell each other.
 */
import type { MessagePort } from 'node:worker_threads';
import type { ImageLoan } from '../device/node.ts';
import type { Stale } from './control/stale.ts';
import type { MountOptions } from './mount.ts';

export interface WorkerOptions {
  readonly image: string;
  /** The image, if it is open already. */
  readonly loan: ImageLoan | undefined;
  readonly extentSize: number | undefined;
  readonly snapshot: string | undefined;
  /** Directory of the volume that becomes the root, a binary string. */
  readonly path: string;
  readonly readOnly: boolean;
  readonly cacheBytes: number | undefined;
  readonly validSeconds: number;
  readonly writeback: boolean;
  readonly acl: boolean;
  readonly locks: boolean;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  readonly noatime: boolean;
  /** See upkeep.ts. */
  readonly nodeLimit: number;
  /** Memory of both threads, see upkeep.ts. */
  readonly shared: SharedArrayBuffer;
}

/**
 * First the descriptor to serve; without one, the mount has failed and there is nothing to do. With
 * a port, others than the kernel have their turn too (control/). Then, once nothing is served any
 * more, that the volume may be closed.
 */
export type ToWorker =
  | {
      readonly type: 'serve';
      readonly fd: number | undefined;
      readonly desk: MessagePort | undefined;
    }
  | { readonly type: 'close' };

export type FromWorker =
  | { readonly type: 'opened'; readonly readOnly: boolean }
  /** Nothing is served any more; the image is still locked. */
  | { readonly type: 'served' }
  | { readonly type: 'ended' }
  /** Of the kernel's memory; then the reply is to be sent. */
  | {
      readonly type: 'stale';
      readonly stale: Stale;
      readonly reply: Uint8Array<ArrayBuffer>;
    }
  | {
      readonly type: 'failed' | 'broken';
      readonly message: string;
      readonly code: string | undefined;
    };

/** For the thread that looks after the mount of a volume of this process. */
export interface ThreadOptions {
  readonly options: Omit<MountOptions, 'onBroken' | 'onWarning' | 'onControl'>;
  /** Where the volume's own thread asks for calls. */
  readonly port: MessagePort;
  /** See client/words.ts. */
  readonly words: SharedArrayBuffer;
}

export type FromMountThread =
  | { readonly type: 'mounted' | 'ended' }
  | { readonly type: 'broken' | 'warning'; readonly message: string }
  | { readonly type: 'failed'; readonly message: string; readonly code: string | undefined };

/** What an error is told by. */
export function told(error: unknown): Told {
  const { message, code } = error as { message?: unknown; code?: unknown };
  return {
    message: error instanceof Error ? String(message) : String(error),
    code: typeof code === 'string' ? code : undefined,
  };
}

/** The error that another thread has told. */
export function errorOf({ message, code }: Told): Error {
  return Object.assign(new Error(message), { name: 'FilesystemError', code });
}

export interface Told {
  readonly message: string;
  readonly code: string | undefined;
}
