/**
 * What the thread that has the clock and the thread that has the engine tell each other.
 */

export interface WorkerOptions {
  readonly image: string;
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

/** The descriptor to serve; without one, the mount has failed and there is nothing to do. */
export interface ToWorker {
  readonly fd: number | undefined;
}

export type FromWorker =
  | { readonly type: 'opened'; readonly readOnly: boolean }
  | { readonly type: 'ended' }
  | {
      readonly type: 'failed' | 'broken';
      readonly message: string;
      readonly code: string | undefined;
    };
