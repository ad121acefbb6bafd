/**
 * Faces: the synchronous `node:fs` in the shape of `node:fs/promises`, so that what is written for
 * the one runs on the other.
 */
import type { PromisesFs, SyncFs } from '../api/index.ts';

type Calls = Record<string, (...args: unknown[]) => unknown>;

/** Methods of a handle, with the synchronous call that does the same. */
const METHODS: Readonly<Record<string, string>> = {
  chmod: 'fchmodSync',
  chown: 'fchownSync',
  close: 'closeSync',
  datasync: 'fdatasyncSync',
  readFile: 'readFileSync',
  stat: 'fstatSync',
  sync: 'fsyncSync',
  truncate: 'ftruncateSync',
  utimes: 'futimesSync',
  writeFile: 'writeFileSync',
  appendFile: 'appendFileSync',
};

/** Reads and writes answer with the buffer too. */
const TRANSFERS: Readonly<Record<string, { call: string; count: string; data: string }>> = {
  read: { call: 'readSync', count: 'bytesRead', data: 'buffer' },
  readv: { call: 'readvSync', count: 'bytesRead', data: 'buffers' },
  write: { call: 'writeSync', count: 'bytesWritten', data: 'buffer' },
  writev: { call: 'writevSync', count: 'bytesWritten', data: 'buffers' },
};

/**
 * Calls named as those of the promise face, and handles instead of numbers, but everything is done
 * and thrown at once.
 */
export function handlesOf(fs: SyncFs): PromisesFs {
  const calls = fs as unknown as Calls;
  const face: Record<string, unknown> = { constants: fs.constants };
  for (const name of Object.keys(calls)) {
    if (name.endsWith('Sync')) face[name.slice(0, -4)] = calls[name];
  }
  face['realpath'] = (fs.realpathSync as unknown as { native: unknown }).native;
  face['open'] = (...args: unknown[]) => {
    const fd = (calls['openSync'] as (...args: unknown[]) => unknown)(...args);
    return handleOf(calls, fd as number);
  };
  return face as unknown as PromisesFs;
}

/** The same with promises. */
export function promisesOf(fs: SyncFs): PromisesFs {
  const face = promised(handlesOf(fs) as unknown as Calls);
  const open = face['open'] as (...args: unknown[]) => Promise<Calls>;
  face['open'] = async (...args: unknown[]) => promised(await open(...args));
  return face as unknown as PromisesFs;
}

function promised(calls: Calls): Calls {
  const face: Calls = {};
  for (const [name, call] of Object.entries(calls)) {
    face[name] = typeof call === 'function' ? async (...args) => call(...args) : call;
  }
  return Object.assign(face, 'fd' in calls ? { fd: calls['fd'] } : {});
}

function handleOf(calls: Calls, fd: number): Record<string, unknown> {
  const handle: Record<string, unknown> = { fd };
  for (const [method, name] of Object.entries(METHODS)) {
    const call = calls[name] as (...args: unknown[]) => unknown;
    handle[method] = (...args: unknown[]) => call(fd, ...args);
  }
  for (const [method, { call: name, count, data }] of Object.entries(TRANSFERS)) {
    const call = calls[name] as (...args: unknown[]) => unknown;
    handle[method] = (first: unknown, ...args: unknown[]) => ({
      [count]: call(fd, first, ...args),
      [data]: first,
    });
  }
  return handle;
}
