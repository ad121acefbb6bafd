/**
 * Operations on locks. They are only asked for with the option `locks`; otherwise the kernel keeps
 * the locks of a mount by itself.
 */
import { ERRNO, high32, low32 } from '../../base/index.ts';
import { LK_FLOCK, RELEASE_FLOCK_UNLOCK } from '../constants.ts';
import type { Opaque } from '../layout.ts';
import { type Lock, LockType } from '../lock-table.ts';
import { type Message, NO_REPLY, REPLY_BODY } from '../message.ts';
import type { Answer, Served } from '../served.ts';
import { FLUSH_IN, LK_IN, LK_OUT, RELEASE_IN } from '../wire.ts';

/** The last byte that there can be, as the kernel has it. */
const END_HIGH = 0x7fffffff;
const END_LOW = 0xffffffff;

export function getlk(served: Served, message: Message): Answer {
  served.vnode(message);
  const wanted = lockIn(message);
  const found = served.locks.conflict(message.node, wanted);
  const { out } = message;
  const { at, size } = LK_OUT;
  const put = (offset: number, value: number): void =>
    out.setUint32(REPLY_BODY + offset, value, true);
  const { start, end, pid } = found ?? wanted;
  const whole = end >= Number.MAX_SAFE_INTEGER;
  put(at.start, low32(start));
  put(at.start + 4, high32(start));
  put(at.end, whole ? END_LOW : low32(end));
  put(at.end + 4, whole ? END_HIGH : high32(end));
  put(at.type, found?.type ?? LockType.UNLOCK);
  put(at.pid, pid);
  return size;
}

export function setlk(served: Served, message: Message): Answer {
  served.vnode(message);
  return served.locks.set(message.node, lockIn(message)) ? 0 : -ERRNO.EAGAIN[0];
}

/** Waits in the table; whoever takes a lock away, or INTERRUPT, sends the reply. */
export function setlkw(served: Served, message: Message): Answer {
  served.vnode(message);
  const lock = lockIn(message);
  if (served.locks.set(message.node, lock)) return 0;
  served.locks.wait(message.node, lock, [message.uniqueLow, message.uniqueHigh]);
  return NO_REPLY;
}

/** A process has closed one of its descriptors: its locks of fcntl(2) go, whichever it was. */
export function flush(served: Served, message: Message): Answer {
  if (!served.options.locks) return -ERRNO.ENOSYS[0];
  served.locks.drop(message.node, opaqueAt(message, FLUSH_IN.at.lock_owner), false);
  return 0;
}

/** The last descriptor of an open file is closed: its lock of flock(2) goes. */
export function release(served: Served, message: Message): Answer {
  if ((message.u32(RELEASE_IN.at.release_flags) & RELEASE_FLOCK_UNLOCK) !== 0) {
    served.locks.drop(message.node, opaqueAt(message, RELEASE_IN.at.lock_owner), true);
  }
  return 0;
}

function lockIn(message: Message): Lock {
  const { at } = LK_IN;
  return {
    owner: opaqueAt(message, at.owner),
    flock: (message.u32(at.lk_flags) & LK_FLOCK) !== 0,
    type: message.u32(at.type),
    start: message.u64(at.start),
    end: message.u64(at.end),
    pid: message.u32(at.pid),
  };
}

function opaqueAt(message: Message, at: number): Opaque {
  return [message.u32(at), message.u32(at + 4)];
}
