/**
 * Volume VFS: SQLite's files on a volume. What SQLite asks for is what `vol.fs` has: it opens,
 * reads, writes, truncates, syncs and deletes, all in one turn.
 */
import type { Volume } from '../../src/api/index.ts';
import { errorCode } from '../../src/base/index.ts';

/** Result codes and flags of SQLite. */
const OK = 0;
const IOERR = 10;
const IOERR_SHORT_READ = 522;
const IOERR_FSYNC = 1034;
const CANTOPEN = 14;
const FULL = 13;
const NOTFOUND = 12;
const OPEN_READWRITE = 2;
const OPEN_CREATE = 4;
const OPEN_DELETEONCLOSE = 8;

interface OpenFile {
  readonly fd: number;
  readonly path: string;
  readonly flags: number;
}

/** A VFS as wa-sqlite has it: `x` methods whose results are codes. */
export class VolumeVfs {
  readonly name: string;
  readonly mxPathName = 256;
  readonly #volume: Volume;
  readonly #files = new Map<number, OpenFile>();
  #temporary = 0;

  constructor(name: string, volume: Volume) {
    this.name = name;
    this.#volume = volume;
  }

  xOpen(name: string | null, id: number, flags: number, out: DataView): number {
    const path = name === null ? `/temporary-${this.#temporary++}` : `/${name}`;
    const { fs } = this.#volume;
    const write = (flags & OPEN_READWRITE) !== 0;
    return attempt(CANTOPEN, () => {
      const create = (flags & OPEN_CREATE) !== 0 && !fs.existsSync(path);
      const fd = fs.openSync(path, create ? 'wx+' : write ? 'r+' : 'r');
      this.#files.set(id, { fd, path, flags });
      out.setInt32(0, flags, true);
    });
  }

  xClose(id: number): number {
    const { fs } = this.#volume;
    const { fd, path, flags } = this.#file(id);
    this.#files.delete(id);
    return attempt(IOERR, () => {
      fs.closeSync(fd);
      if ((flags & OPEN_DELETEONCLOSE) !== 0) fs.unlinkSync(path);
    });
  }

  xRead(id: number, data: Uint8Array, offset: number): number {
    let count = 0;
    const code = attempt(IOERR, () => {
      count = this.#volume.fs.readSync(this.#file(id).fd, data, 0, data.length, offset);
    });
    if (code !== OK || count === data.length) return code;
    data.fill(0, count);
    return IOERR_SHORT_READ;
  }

  xWrite(id: number, data: Uint8Array, offset: number): number {
    return attempt(IOERR, () => {
      this.#volume.fs.writeSync(this.#file(id).fd, data, 0, data.length, offset);
    });
  }

  xTruncate(id: number, size: number): number {
    return attempt(IOERR, () => this.#volume.fs.ftruncateSync(this.#file(id).fd, size));
  }

  xSync(id: number): number {
    return attempt(IOERR_FSYNC, () => this.#volume.fs.fdatasyncSync(this.#file(id).fd));
  }

  xFileSize(id: number, out: DataView): number {
    return attempt(IOERR, () => {
      const { size } = this.#volume.fs.fstatSync(this.#file(id).fd);
      out.setBigInt64(0, BigInt(size as number), true);
    });
  }

  xDelete(name: string, syncDirectory: number): number {
    const { fs } = this.#volume;
    return attempt(IOERR, () => {
      fs.unlinkSync(`/${name}`);
      if (syncDirectory === 0) return;
      const fd = fs.openSync('/', 'r');
      fs.fsyncSync(fd);
      fs.closeSync(fd);
    });
  }

  xAccess(name: string, _flags: number, out: DataView): number {
    out.setInt32(0, this.#volume.fs.existsSync(`/${name}`) ? 1 : 0, true);
    return OK;
  }

  /** One connection at a time: nobody else is there. */
  xLock = (): number => OK;
  xUnlock = (): number => OK;

  xCheckReservedLock(_id: number, out: DataView): number {
    out.setInt32(0, 0, true);
    return OK;
  }

  xFileControl = (): number => NOTFOUND;
  xSectorSize = (): number => 4096;
  /** No promise about what a power cut leaves of a write that was not synced. */
  xDeviceCharacteristics = (): number => 0;

  #file(id: number): OpenFile {
    return this.#files.get(id) as OpenFile;
  }
}

/** What the volume refuses is the code that SQLite has for it. */
function attempt(failed: number, body: () => void): number {
  try {
    body();
    return OK;
  } catch (error) {
    const code = errorCode(error);
    if (code === undefined) throw error;
    return code === 'ENOSPC' ? FULL : failed;
  }
}
