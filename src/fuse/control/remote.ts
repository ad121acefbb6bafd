/**
 * Remote volume: a volume that another thread or process has open, in the shape of `Volume`.
 *
 * Whoever uses it need not know where the volume is: calls take and answer the same, and fail with
 * the same errors. Open files and views belong to the connection, and go with it.
 */
import type {
  Change,
  DefragOptions,
  DefragReport,
  Extent,
  Locator,
  LongOptions,
  PathArgument,
  ScrubOptions,
  ScrubReport,
  SnapshotInfo,
  SnapshotOptions,
  SpaceReport,
  SyncFs,
  TrimOptions,
  Volume,
} from '../../api/index.ts';
import { constants } from '../../api/index.ts';
import { type ChangeBatch, type Hello, PROTOCOL, type Welcome } from './calls.ts';
import { FrameFlag, REQUEST_MAX } from './frame.ts';
import { Line } from './line.ts';
import type { MountReport } from './report.ts';

/** What a volume can do wherever it is. */
export type OpenVolume = Pick<
  Volume,
  | 'fs'
  | 'label'
  | 'readOnly'
  | 'cloneSync'
  | 'snapshotSync'
  | 'snapshotsSync'
  | 'deleteSnapshotSync'
  | 'extentsSync'
  | 'extents'
  | 'space'
  | 'diff'
  | 'diffSync'
  | 'reclaim'
  | 'resize'
  | 'shorten'
  | 'trim'
  | 'defrag'
  | 'scrub'
  | 'sync'
  | 'close'
> & { openSnapshotSync(name: string): { readonly fs: SyncFs; close(): void } };

export class RemoteVolume implements OpenVolume {
  readonly fs: SyncFs;
  readonly label: string;
  readonly readOnly: boolean;
  readonly #line: Line;

  private constructor(line: Line, { label, readOnly }: Welcome) {
    this.#line = line;
    this.label = label;
    this.readOnly = readOnly;
    this.fs = remoteFs(line, undefined);
  }

  /**
   * The volume of an image that is mounted; undefined if it is not, or only to be read. What
   * programs have written to the mount by now is in it, unless `flags` ask for less.
   */
  static async open(
    image: string,
    user: Omit<Hello, 'protocol'>,
    flags: number = FrameFlag.SETTLE,
  ): Promise<RemoteVolume | undefined> {
    const line = await Line.open(image);
    if (line === undefined) return undefined;
    try {
      const hello: Hello = { protocol: PROTOCOL, ...user };
      const welcome = line.callSync('hello', [hello], flags);
      return new RemoteVolume(line, welcome as Welcome);
    } catch (error) {
      line.close();
      throw error;
    }
  }

  cloneSync(source: Locator, destination: PathArgument): void {
    this.#line.callSync('cloneSync', [source, destination], FrameFlag.SETTLE);
  }

  snapshotSync(name: string, options: SnapshotOptions = {}): void {
    this.#line.callSync('snapshotSync', [name, options], FrameFlag.SETTLE);
  }

  snapshotsSync(): SnapshotInfo[] {
    return this.#line.callSync('snapshotsSync', []) as SnapshotInfo[];
  }

  deleteSnapshotSync(name: string): void {
    this.#line.callSync('deleteSnapshotSync', [name]);
  }

  openSnapshotSync(name: string): { readonly fs: SyncFs; close(): void } {
    const view = this.#line.callSync('openView', [name]) as number;
    const close = (): void => void this.#line.callSync('closeView', [view]);
    return { fs: remoteFs(this.#line, view), close };
  }

  extentsSync(locator: Locator): Extent[] {
    return this.#line.callSync('extents', [locator]) as Extent[];
  }

  async extents(locator: Locator, { signal }: LongOptions = {}): Promise<Extent[]> {
    return (await this.#line.call('extents', [locator], { signal })) as Extent[];
  }

  async space(locator: Locator, { signal }: LongOptions = {}): Promise<SpaceReport> {
    return (await this.#line.call('space', [locator], { signal })) as SpaceReport;
  }

  async *diff(left: Locator, right: Locator, { signal }: LongOptions = {}): AsyncGenerator<Change> {
    const handle = await this.#line.call('diff', [left, right], { signal });
    try {
      for (;;) {
        const batch = await this.#line.call('nextChanges', [handle], { signal });
        const { changes, done } = batch as ChangeBatch;
        yield* changes;
        if (done) return;
      }
    } finally {
      await this.#line.call('endDiff', [handle]);
    }
  }

  *diffSync(left: Locator, right: Locator): Generator<Change> {
    const handle = this.#line.callSync('diff', [left, right]);
    try {
      for (;;) {
        const { changes, done } = this.#line.callSync('nextChanges', [handle]) as ChangeBatch;
        yield* changes;
        if (done) return;
      }
    } finally {
      this.#line.callSync('endDiff', [handle]);
    }
  }

  async reclaim({ signal }: LongOptions = {}): Promise<void> {
    await this.#line.call('reclaim', [], { signal });
  }

  async resize(size: number): Promise<number> {
    return (await this.#line.call('resize', [size])) as number;
  }

  async shorten(): Promise<number> {
    return (await this.#line.call('shorten', [])) as number;
  }

  async trim({ signal, ...options }: TrimOptions = {}): Promise<number> {
    return (await this.#line.call('trim', [options], { signal })) as number;
  }

  async defrag(path: PathArgument = '/', options: DefragOptions = {}): Promise<DefragReport> {
    const { signal, progress, ...rest } = options;
    const use = { signal, progress: progress as ((value: unknown) => void) | undefined };
    return (await this.#line.call('defrag', [path, rest], use)) as DefragReport;
  }

  async scrub(options: ScrubOptions = {}): Promise<ScrubReport> {
    const { signal, progress, ...rest } = options;
    const use = { signal, progress: progress as ((value: unknown) => void) | undefined };
    return (await this.#line.call('scrub', [rest], use)) as ScrubReport;
  }

  async sync(): Promise<void> {
    await this.#line.call('sync', []);
  }

  /** How its mount is doing. */
  async report(): Promise<MountReport> {
    return (await this.#line.call('report', [])) as MountReport;
  }

  /** The first blocks of its image. */
  superblocks(): Uint8Array {
    return this.#line.callSync('superblocks', []) as Uint8Array;
  }

  /** Lets go of it: open files and views are closed. It stays mounted. */
  close(): Promise<void> {
    this.#line.close();
    return Promise.resolve();
  }
}

/** Bytes of one request; whoever writes more is told so. */
const WRITE_MAX = REQUEST_MAX / 2;

type Part = readonly [
  fd: number,
  buffer: Uint8Array,
  offset: number,
  length: number,
  position: number | null,
];

/** The synchronous `fs` of the live volume, or of a view. Names are those of {@link SyncFs}. */
function remoteFs(line: Line, view: number | undefined): SyncFs {
  const fs = {
    constants,
    readSync: (...[fd, buffer, offset, length, position]: Part): number => {
      const bytes = line.callSync('fs', [view, 'readSync', fd, length, position]) as Uint8Array;
      buffer.set(bytes, offset);
      return bytes.length;
    },
    writeSync: (...[fd, buffer, offset, length, position]: Part): number => {
      const bytes = buffer.subarray(offset, offset + Math.min(length, WRITE_MAX));
      const call = [view, 'writeSync', fd, bytes, 0, bytes.length, position];
      return line.callSync('fs', call) as number;
    },
  };
  return new Proxy(fs, {
    get: (known, name) => {
      if (typeof name !== 'string' || Object.hasOwn(known, name)) {
        return known[name as keyof typeof known];
      }
      if (!name.endsWith('Sync')) return undefined;
      return (...args: unknown[]) => line.callSync('fs', [view, name, ...args]);
    },
  }) as unknown as SyncFs;
}
