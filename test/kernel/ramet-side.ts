/** RametSide: steps on the files of a volume, by the synchronous calls of the public API. */
import { constants } from '../../src/api/flags.ts';
import { errorCode } from '../../src/base/index.ts';
import { checkSync, describeIssue } from '../../src/check/index.ts';
import { MemoryDevice, Volume, type VolumeOptions } from '../../src/index.ts';
import {
  bytesOf,
  FILES,
  type FileName,
  isDirect,
  type Operation,
  type Outcome,
  type Step,
} from './steps.ts';

const SIZE = 96 * 2 ** 20;

type Change = (volume: Volume, fd: number, offset: number, length: number) => void;

/** What changes a range, or the size, and says no more. */
const CHANGES = {
  truncate: (volume, fd, offset) => volume.fs.ftruncateSync(fd, offset),
  punch: (volume, fd, offset, length) => volume.punchSync(fd, offset, length),
  zero: (volume, fd, offset, length) => volume.zeroRangeSync(fd, offset, length),
  'zero-keep': (volume, fd, offset, length) =>
    volume.zeroRangeSync(fd, offset, length, { keepSize: true }),
  collapse: (volume, fd, offset, length) => volume.collapseRangeSync(fd, offset, length),
  insert: (volume, fd, offset, length) => volume.insertRangeSync(fd, offset, length),
  allocate: (volume, fd, offset, length) => volume.allocateSync(fd, offset, length),
  'allocate-keep': (volume, fd, offset, length) =>
    volume.allocateSync(fd, offset, length, { keepSize: true }),
  unshare: (volume, fd, offset, length) => volume.unshareRangeSync(fd, offset, length),
} satisfies Readonly<Partial<Record<Operation, Change>>>;

type Call = (side: RametSide, step: Step) => Outcome;

const CALLS: Readonly<Record<Exclude<Operation, keyof typeof CHANGES>, Call>> = {
  read: (side, step) => {
    const { file, offset, length } = step;
    const bytes = new Uint8Array(length);
    return { bytes: side.read(file, offset, length, bytes, isDirect(step)) };
  },
  write: (side, step) => {
    const bytes = bytesOf(step);
    const fd = side.fd(step.file, isDirect(step));
    return { value: side.volume.fs.writeSync(fd, bytes, 0, bytes.length, step.offset) };
  },
  clone: (side, { source, file, sourceOffset, offset, length }) => {
    const range = { sourceOffset, offset, length: length || undefined };
    side.volume.cloneRangeSync(side.fd(source), side.fd(file), range);
    return {};
  },
  dedupe: (side, { source, file, sourceOffset, offset, length }) => {
    const range = { sourceOffset, offset, length };
    const found = side.volume.dedupeRangeSync(side.fd(source), side.fd(file), range);
    return { value: found.bytes, differs: found.differs };
  },
  copy: (side, { source, file, sourceOffset, offset, length }) => {
    const range = { sourceOffset, offset, length };
    return { value: side.volume.copyRangeSync(side.fd(source), side.fd(file), range) };
  },
  'seek-data': (side, { file, offset }) => ({
    value: side.volume.seekSync(side.fd(file), offset, 'data'),
  }),
  'seek-hole': (side, { file, offset }) => ({
    value: side.volume.seekSync(side.fd(file), offset, 'hole'),
  }),
  'clone-file': (side, { source, file }) => {
    side.close(file);
    side.volume.fs.unlinkSync(`/${file}`);
    side.volume.cloneSync(`/${source}`, `/${file}`);
    return {};
  },
  reopen: (side, { file }) => side.close(file),
  sync: (side) => {
    side.volume.syncSync();
    return {};
  },
  remount: (side) => side.remount(),
  compare: () => ({}),
};

/** The least there may be, so that much has to be read again. */
const CACHE_BYTES = 4 * 2 ** 20;
/**
 * Where counts reach their limit after three clones, a node that is changed has all its blocks
 * copied at once: with the least memory, and dirty data in it, that may be `ENOMEM`.
 */
const CACHE_BYTES_COPYING = 16 * 2 ** 20;

export class RametSide implements Disposable {
  volume: Volume;
  readonly #device = new MemoryDevice({ size: SIZE });
  readonly #cacheBytes: number;
  readonly #fds = new Map<FileName, number>();
  readonly #directFds = new Map<FileName, number>();
  readonly #free: number;

  constructor(options: VolumeOptions) {
    this.#cacheBytes = options.countCap === undefined ? CACHE_BYTES : CACHE_BYTES_COPYING;
    this.volume = this.#open({ ...options, create: true });
    this.#free = this.#freeBlocks();
    for (const file of FILES) this.volume.fs.writeFileSync(`/${file}`, '');
  }

  /** What it says to a step. Only what a caller may be told is an outcome; the rest is thrown. */
  apply(step: Step): Outcome {
    try {
      const { operation, file, offset, length } = step;
      if (!isChange(operation)) return CALLS[operation](this, step);
      CHANGES[operation](this.volume, this.fd(file), offset, length);
      return {};
    } catch (error) {
      const code = errorCode(error);
      if (code === undefined || !/^E[A-Z]+$/.test(code)) throw error;
      return { code };
    }
  }

  fd(file: FileName, direct = false): number {
    const fds = direct ? this.#directFds : this.#fds;
    const open = fds.get(file);
    if (open !== undefined) return open;
    const { O_RDWR, O_DIRECT } = constants;
    const fd = this.volume.fs.openSync(`/${file}`, direct ? O_RDWR | O_DIRECT : O_RDWR);
    fds.set(file, fd);
    return fd;
  }

  close(file: FileName): Outcome {
    for (const fds of [this.#fds, this.#directFds]) {
      const fd = fds.get(file);
      if (fd !== undefined) this.volume.fs.closeSync(fd);
      fds.delete(file);
    }
    return {};
  }

  remount(): Outcome {
    for (const file of FILES) this.close(file);
    this.volume.closeSync();
    this.volume = this.#open({});
    return {};
  }

  size(file: FileName): number {
    return this.volume.fs.statSync(`/${file}`).size;
  }

  /** What is there of so many bytes. They are in `bytes`. */
  read(
    file: FileName,
    offset: number,
    length: number,
    bytes = new Uint8Array(length),
    direct = false,
  ): Uint8Array {
    const count = this.volume.fs.readSync(this.fd(file, direct), bytes, 0, length, offset);
    return bytes.subarray(0, count);
  }

  /** Where data begins and ends, by turns. */
  runs(file: FileName): number[] {
    const found: number[] = [];
    const size = this.size(file);
    for (let at = 0; at < size; ) {
      const start = this.#nextData(file, at);
      if (start === undefined) break;
      at = this.volume.seekSync(this.fd(file), start, 'hole');
      found.push(start, at);
    }
    return found;
  }

  /** True if the bytes of a file are in its inode. */
  isInline(file: FileName): boolean {
    return this.volume.extentsSync(`/${file}`).some(({ type }) => type === 'inline');
  }

  /** What the verifier says, and whether all space comes back. Nothing is left afterwards. */
  faults(): string[] {
    this.remount();
    this.volume.syncSync();
    const issues = checkSync(this.#device).issues.map(describeIssue);
    for (const file of FILES) this.volume.fs.unlinkSync(`/${file}`);
    const lost = this.#free - this.#freeBlocks();
    return lost === 0 ? issues : [...issues, `${lost} blocks are missing after all was deleted`];
  }

  [Symbol.dispose](): void {
    try {
      this.volume.closeSync();
    } catch {
      // Of a volume that failed, the first failure is the one to see.
    }
  }

  #open(options: VolumeOptions): Volume {
    return Volume.openSync(this.#device, {
      cacheBytes: this.#cacheBytes,
      commitIntervalMs: 0,
      ...options,
    });
  }

  /** Blocks that are free once everything that was deleted has been given back. */
  #freeBlocks(): number {
    // A node may have been made without its second copy, where no two blocks in a row were known
    // to be free; it gets one when it is made again.
    for (let i = 0; i < 2; i++) {
      this.volume.fs.mkdirSync('/for a moment');
      this.volume.fs.rmdirSync('/for a moment');
      this.volume.reclaimSync();
      this.volume.syncSync();
    }
    return this.volume.fs.statfsSync('/').bfree as number;
  }

  #nextData(file: FileName, from: number): number | undefined {
    try {
      return this.volume.seekSync(this.fd(file), from, 'data');
    } catch (error) {
      if (errorCode(error) === 'ENXIO') return undefined;
      throw error;
    }
  }
}

function isChange(operation: Operation): operation is keyof typeof CHANGES {
  return Object.hasOwn(CHANGES, operation);
}
