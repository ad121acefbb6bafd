/**
 * File mapping: a file of the host as memory, to be read. Node only.
 *
 * M1. The memory stays mapped for as long as anybody has an array of it, also when the file has
 *     been closed: an address that is gone would end the process. The last array goes, then it.
 * M2. What is stored through it ends the process (SIGSEGV) and never reaches the file.
 * M3. What is read behind the end of the file ends the process (SIGBUS), and so does what the disk
 *     cannot read, unless {@link FileMapping.load} was asked first, which says so.
 */
import { BLOCK_SIZE, FilesystemError, roundDown } from '../base/index.ts';
import { type Libc, loadLibc } from './libc.ts';

const PROT_READ = 1;
const MAP_SHARED = 1;
const MAP_FAILED = 2n ** 64n - 1n;
/** Since Linux 5.14. Unlike an access it answers with an error where there is nothing to be had. */
const MADV_POPULATE_READ = 22;

const unmapping = new FinalizationRegistry<{ address: bigint; length: number }>(
  ({ address, length }) => loadLibc().munmap(address, length),
);

export class FileMapping {
  readonly #libc: Libc;
  readonly #address: bigint;
  readonly #bytes: Uint8Array;

  /**
   * Maps `length` bytes from `position` on, of which the file may have fewer now. Writes to the
   * file are seen at once. The descriptor can be closed, but a lock that came with it is held until
   * the memory goes.
   *
   * @throws {FilesystemError} `ENOTSUP` without koffi, or where files cannot be mapped like this
   */
  constructor(descriptor: number, position: number, length: number) {
    const libc = loadLibc();
    const address = BigInt(libc.mmap(null, length, PROT_READ, MAP_SHARED, descriptor, position));
    if (address === MAP_FAILED) throw refused(`map ${length} bytes of a file`, libc.error());
    const memory = libc.view(address, length);
    unmapping.register(memory, { address, length });
    this.#libc = libc;
    this.#address = address;
    this.#bytes = new Uint8Array(memory);
  }

  /**
   * Brings the 4 KiB blocks of a range into memory, and returns the range.
   *
   * @throws {FilesystemError} `EIO` if the disk does not give it, or the file ends before
   */
  load(start: number, end: number): Uint8Array {
    const { madvise, error } = this.#libc;
    const first = roundDown(start, BLOCK_SIZE);
    if (madvise(this.#address + BigInt(first), end - first, MADV_POPULATE_READ) !== 0) {
      throw refused(`read bytes ${start} to ${end} of a mapping`, error());
    }
    return this.#bytes.subarray(start, end);
  }
}

/** A kernel that knows no such advice says `EINVAL`; what cannot be read is `EFAULT`. */
function refused(what: string, found: string): FilesystemError {
  const code = found === 'EFAULT' || found === 'EIO' || found === 'EHWPOISON' ? 'EIO' : 'ENOTSUP';
  return new FilesystemError(code, `Cannot ${what}: the host says ${found}`);
}
