/**
 * Operations on directories: their entries, bare or with the attributes of what they name.
 *
 * A cookie says where to go on: 1 and 2 follow "." and "..", from there on it is the volume's own
 * cookie and {@link OWN_COOKIES}. It depends on the name alone, so nothing is kept for an open
 * directory, and names that come and go meanwhile make nobody be listed twice or left out.
 */
import { type Procedure, run } from '../../api/node/index.ts';
import { copyBinary, ERRNO, FilesystemError, setU64 } from '../../base/index.ts';
import { glance, peek, readEntries, type Vnode } from '../../volume/index.ts';
import { direntType, putEntry, putInode } from '../attributes.ts';
import { OpenFlag } from '../constants.ts';
import { DATA_MAX, type Message, REPLY_BODY } from '../message.ts';
import type { Answer, Served } from '../served.ts';
import { DIRENT, ENTRY_OUT, OPEN_OUT, READ_IN } from '../wire.ts';
import { accessed } from './attributes.ts';

const OWN_COOKIES = 2;
const ALIGNMENT = 8;

/** As for files: the kernel need not ask, and keeps what it was told of a directory. */
export function opendir(served: Served, { out }: Message): Answer {
  if (served.opendirsUnasked) return -ERRNO.ENOSYS[0];
  for (let i = 0; i < OPEN_OUT.size; i += 4) out.setUint32(REPLY_BODY + i, 0, true);
  const flags = OpenFlag.CACHE_DIR | OpenFlag.KEEP_CACHE;
  out.setUint32(REPLY_BODY + OPEN_OUT.at.open_flags, flags, true);
  return OPEN_OUT.size;
}

export function readdir(served: Served, message: Message): Answer {
  return list(served, message, false);
}

export function readdirplus(served: Served, message: Message): Answer {
  return list(served, message, true);
}

/** The entries that fit into what the kernel has room for; none at the end. */
function* list(served: Served, message: Message, plus: boolean): Procedure<number> {
  const directory = served.vnode(message);
  if (!directory.isDirectory) throw new FilesystemError('ENOTDIR', 'Cannot list a file');
  const size = Math.min(message.u32(READ_IN.at.size), DATA_MAX);
  const offset = message.u64(READ_IN.at.offset);
  const listing = new Listing(served, message, size, plus);
  if (offset === 0 && !listing.addOwn('.', directory, 1)) return listing.length;
  const above = directory === served.nodes.root ? directory : (directory.parent ?? directory);
  if (offset <= 1 && !listing.addOwn('..', above, OWN_COOKIES)) return listing.length;
  try {
    yield* addEntries(served, listing, directory, Math.max(0, offset - OWN_COOKIES));
    yield* accessed(served, directory, message.u32(READ_IN.at.flags));
  } catch (error) {
    // Lookups were counted for what is in the reply: it has to be sent.
    if (listing.length === 0) throw error;
  }
  return listing.length;
}

function* addEntries(
  served: Served,
  listing: Listing,
  directory: Vnode,
  start: number,
): Procedure<void> {
  const { engine } = served;
  for (let cookie = start; ; ) {
    const entries = yield* run(readEntries(engine, directory, cookie));
    if (entries.length === 0) return;
    for (const { name, cookie: next } of entries) {
      if (!listing.fits(name)) return;
      let vnode = glance(engine, directory, name);
      if (vnode === undefined) vnode = yield* run(peek(engine, directory, name));
      cookie = next;
      // Removed since it was listed.
      if (vnode !== null) listing.add(name, vnode, next + OWN_COOKIES);
    }
  }
}

/** A reply of entries. */
class Listing {
  length = 0;
  readonly #served: Served;
  readonly #message: Message;
  readonly #size: number;
  readonly #plus: boolean;

  constructor(served: Served, message: Message, size: number, plus: boolean) {
    this.#served = served;
    this.#message = message;
    this.#size = size;
    this.#plus = plus;
  }

  fits(name: string): boolean {
    return this.length + this.#entryLength(name) <= this.#size;
  }

  /** Adds an entry that fits. The hold of the vnode is taken. */
  add(name: string, vnode: Vnode, cookie: number): void {
    const { out } = this.#message;
    const start = REPLY_BODY + this.length;
    if (this.#plus) putEntry(this.#served, out, start, vnode);
    else vnode.holds--;
    this.#put(name, vnode, cookie);
  }

  /** Adds "." or "..", of which the kernel counts no lookup. False if it does not fit. */
  addOwn(name: string, vnode: Vnode, cookie: number): boolean {
    if (!this.fits(name)) return false;
    const { out } = this.#message;
    const start = REPLY_BODY + this.length;
    if (this.#plus) {
      for (let i = 0; i < ENTRY_OUT.size; i += 4) out.setUint32(start + i, 0, true);
    }
    this.#put(name, vnode, cookie);
    return true;
  }

  #put(name: string, vnode: Vnode, cookie: number): void {
    const { out, reply } = this.#message;
    const { at, size } = DIRENT;
    const start = REPLY_BODY + this.length + (this.#plus ? ENTRY_OUT.size : 0);
    putInode(this.#served, out, start + at.ino, vnode);
    setU64(out, start + at.off, cookie);
    out.setUint32(start + at.namelen, name.length, true);
    out.setUint32(start + at.type, direntType(vnode), true);
    copyBinary(name, reply, start + size);
    const end = this.length + this.#entryLength(name);
    reply.fill(0, start + size + name.length, REPLY_BODY + end);
    this.length = end;
  }

  #entryLength(name: string): number {
    const length = DIRENT.size + name.length;
    const padded = Math.ceil(length / ALIGNMENT) * ALIGNMENT;
    return this.#plus ? ENTRY_OUT.size + padded : padded;
  }
}
