/**
 * format: bytes to values and back, for every structure of an image. Pure: no input or output.
 * docs/FORMAT.md tells the same in prose; where the two differ, a test fails.
 */
export {
  type CountWidth,
  countLimit,
  countTableSize,
  getCount,
  NARROWEST,
  repackCounts,
  setCount,
  WIDEST,
} from './counts.ts';
export {
  MetaInode,
  MetaName,
  RECLAIM_RECORD_SIZE,
  RECLAIM_RESUME,
  RECLAIM_SLOT,
} from './entries.ts';
export {
  blocksMax,
  countSlotSize,
  countSlotStart,
  type Geometry,
  type GeometryRequest,
  GROUP_BLOCKS_MAX,
  GROUP_BLOCKS_MIN,
  groupLength,
  groupReserved,
  indexLength,
  indexPlace,
  isFixedBlock,
  planGeometry,
  resizedGeometry,
  SUPERBLOCKS,
  superblockPlace,
  VOLUME_BLOCKS_MAX,
  VOLUME_BLOCKS_MIN,
} from './geometry.ts';
export {
  type GroupEntry,
  INDEX_ENTRY_SIZE,
  INDEX_ENTRY_WORDS,
  readGroupEntry,
  writeGroupEntry,
} from './group-index.ts';
export * from './keyed-node.ts';
export {
  decodeLogFrame,
  encodeLogFrame,
  isFirstLogFrame,
  isNextLogFrame,
  LOG_HEADER_SIZE,
  LOG_MAGIC,
  type LogFrame,
  type LogFrameHeader,
  logFrameBlocks,
  logFrameChecksum,
  mutationsOf,
  openLogFrame,
  type SealedLogFrame,
  sealLogFrame,
} from './log-frame.ts';
export {
  depthFor,
  EMBEDDED_SLOTS,
  levelSpan,
  MAP_DEPTH_MAX,
  MAP_FANOUT,
  mapCapacity,
  mapIndex,
  mapSlot,
  unwrittenBlocks,
} from './map-node.ts';
export * from './mutation.ts';
export { decodeMutation, encodeMutation, mutationSize, SCHEMAS } from './mutation-codec.ts';
export * from './record.ts';
export * from './slot.ts';
export {
  decodeSuperblock,
  encodeSuperblock,
  hasSaneState,
  INODE_MAX,
  Incompatible,
  imageSeed,
  isFault,
  KNOWN_INCOMPATIBLE,
  KNOWN_READ_ONLY,
  LABEL_MAX,
  MAGIC,
  REALM_MAX,
  type Superblock,
  type SuperblockFault,
  VERSION_MAJOR,
  VERSION_MINOR,
  type VolumeState,
} from './superblock.ts';
export { getTime, setTime, type Time, timeFromMs, timeToMs } from './time.ts';
