/**
 * api/node: volumes in image files of the host, with what belongs to a process: user and umask.
 * The door of Node's own part of the API, and of what serves an open volume to others: the
 * procedures below the calls, on inodes.
 */

export type { CallName } from '../call-sites.ts';
export { siteOf } from '../call-sites.ts';
export { type AttributeChange, setAttributes } from '../calls/attributes.ts';
export { type ReadPart, readDirectly, readInto, readPart } from '../calls/files.ts';
export { setFlags } from '../calls/inode-flags.ts';
export { copyBetween } from '../calls/ranges.ts';
export type { Entries } from '../dir.ts';
export { abortError, asNodeError } from '../errors.ts';
export { Caller, type RemoteCalls } from '../fs.ts';
export {
  isPromise,
  type Procedure,
  promiseError,
  run,
  runAsync,
  runSync,
  signalOf,
} from '../procedure.ts';
export { FinelyTimed, Kinded, Timed } from '../stats.ts';
export type { VolumeEngine } from '../volume.ts';
export { trim } from '../volume-size.ts';
export { imageOf, NodeVolume, ServedVolume } from './volume.ts';
