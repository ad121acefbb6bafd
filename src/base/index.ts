/**
 * base: what every room may use. Errors, assertions, operations, byte guards, units, checksums.
 *
 * It knows nothing of filesystems, devices or the host, and imports no other room.
 */
export { AssertionError, assert, unreachable } from './assert.ts';
export {
  binaryBytes,
  binaryFromText,
  binaryString,
  copyBinary,
  equalBytes,
  fromUtf8,
  getU64,
  high32,
  join64,
  low32,
  setU64,
  TWO_32,
  textFromBinary,
  utf8,
  viewOf,
  wordsOf,
} from './bytes.ts';
export { checksum32, checksum64, checksumFault, HASH_BITS, hashName } from './checksum.ts';
export {
  argumentError,
  CorruptionError,
  DeviceError,
  ERRNO,
  type ErrorCode,
  type ErrorContext,
  errorCode,
  FilesystemError,
  hex,
} from './errors.ts';
export {
  currentRound,
  Io,
  type IoKind,
  type Operation,
  PlainIo,
  Plan,
  PlannedOperation,
} from './operation.ts';
export {
  BLOCK_SHIFT,
  BLOCK_SIZE,
  BLOCK_WORDS,
  type Block,
  blocksFor,
  type Frame,
  GIB,
  type InodeNumber,
  KIB,
  MAX_OFFSET,
  MIB,
  NO_FRAME,
  type RealmId,
  roundDown,
  roundUp,
  type Txg,
} from './units.ts';
