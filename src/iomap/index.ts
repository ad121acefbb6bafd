/**
 * iomap: file input and output over mappings.
 *
 * Every read-modify-write has two sides, a destination and its sources (mapping.ts). This room owns
 * the loops, the dirty data and the locks; it knows neither trees nor devices. A filesystem
 * supplies {@link MappingOps} and {@link WritebackOps}, a driver moves the bytes that plans ask
 * for. Any filesystem can use it: `examples/` has two, with the contract field by field.
 */
export { Clear, type ClearRange, Punch, Truncate, ZeroRange } from './clear.ts';
export { CopyOut } from './copy-out.ts';
export { Defragment } from './defragment.ts';
export { DirectRead } from './direct-read.ts';
export { ATOMIC_WRITE_MAX, DirectWrite } from './direct-write.ts';
export {
  BufferPool,
  type BufferPoolOptions,
  type InFlight,
  IomapFile,
  type Memory,
} from './file.ts';
export { MappingIterator } from './iterate.ts';
export { MapStaged, STAGED_MAX } from './map-staged.ts';
export {
  Edge,
  Mapping,
  MappingAnswer,
  MappingFlag,
  type MappingOps,
  MappingRequest,
  MappingType,
  RequestFlag,
  type UnmapRange,
  type WriteOutcome,
} from './mapping.ts';
export { attempt } from './nowait.ts';
export { EVERYTHING, type LockRange, RangeLock } from './range-lock.ts';
export { BufferedRead } from './read.ts';
export { Seek } from './seek.ts';
export { type RevokeReason, StagedView, type ViewKeeper } from './staged-view.ts';
export type { TracedMapping, TraceEvent, Tracer } from './trace.ts';
export { MakeWritable, Unshare } from './unshare.ts';
export { answerFault, validated } from './validate.ts';
export { MapView, VIEW_MAX, View } from './view.ts';
export { BufferedWrite, DirtyChunk } from './write.ts';
export {
  type Ioend,
  type Placement,
  Writeback,
  type WritebackOps,
  type WritebackOptions,
} from './writeback.ts';
