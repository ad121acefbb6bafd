/**
 * volume: inodes, names, links, clones, snapshots and what deleting leaves to do.
 * {@link Engine} is the whole of it; it answers with operations, which a driver runs.
 */
export {
  type CreateOptions,
  FlushDevice,
  type FoundLog,
  Mount,
  type Mounted,
  newSuperblock,
  Probe,
  ReadLog,
  Resize,
  Trim,
  type Trimmed,
  Wipe,
} from '../store/index.ts';
export { assembleEngine, type EngineOptions, type VolumeParts } from './assemble.ts';
export { ReadExtended } from './attributes.ts';
export { checkFile, Told, WriteFile, WriteFileDirect } from './data.ts';
export { type Comparer, Dedupe, type DedupeResult } from './dedupe.ts';
export {
  CompareDirectories,
  compareInodes,
  type EntryPair,
  type InodeDifference,
} from './diff.ts';
export { checkName, type DirectoryEntry } from './directories.ts';
export { Engine } from './engine.ts';
export { type Extent, ExtentFlag, type ExtentType, ReadExtents } from './extents.ts';
export { FormatVolume, type RootAttributes } from './format-volume.ts';
export { Fsync } from './fsync.ts';
export { type Inventory, TakeInventory } from './inventory.ts';
export type { Journal } from './log-records.ts';
export { glance, Look, lookup, peek, readEntries, readTarget } from './look.ts';
export { Pin, Unpin } from './pin.ts';
export { recover } from './recovery.ts';
export { Sync } from './sync.ts';
export { MeasureUsage, type Usage } from './usage.ts';
export { Realm, TYPE_BITS, Vnode } from './vnode.ts';
