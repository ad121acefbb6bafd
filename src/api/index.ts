/**
 * api: volumes for people who write programs, in the shapes of `node:fs`.
 * Everything here runs in browsers too; what needs Node is in api/node/.
 */

export type { ScrubProgress, ScrubReport } from '../check/index.ts';
export type { RevokeReason, TracedMapping, TraceEvent, Tracer } from '../iomap/index.ts';
export { ATOMIC_WRITE_MAX } from '../iomap/index.ts';
export type { Comparer, DedupeResult, Extent, ExtentType } from '../volume/index.ts';
export { ExtentFlag } from '../volume/index.ts';
export type { DefragReport } from './calls/defrag.ts';
export type { InodeFlags } from './calls/inode-flags.ts';
export type { AllocateOptions, CloneRangeOptions, DedupeOptions } from './calls/ranges.ts';
export type { OpenFileArgument } from './calls/tmpfile.ts';
export type { FileArgument } from './calls/whole-files.ts';
export { Dir } from './dir.ts';
export type { NodeError } from './errors.ts';
export { FileHandle } from './file-handle.ts';
export { constants } from './flags.ts';
export type { Locator } from './locator.ts';
export { DEFAULT_SIZE, type VolumeOptions } from './mount.ts';
export type { PathArgument } from './path.ts';
export { PinnedFile } from './placement.ts';
export type { Change, InodeType, SpaceReport } from './reports.ts';
export type { ScrubOptions } from './scrub.ts';
export type { PromisesFs, SyncFs } from './shapes.ts';
export { BigIntStats, Dirent, type StatFs, Stats } from './stats.ts';
export type { DefragOptions, LongOptions } from './upkeep.ts';
export { FileView, type MapOptions, WritableFileView } from './views.ts';
export {
  type SnapshotInfo,
  type SnapshotOptions,
  SnapshotView,
  Volume,
} from './volume.ts';
export type { TrimOptions } from './volume-size.ts';
