/**
 * Overlay layout: the bytes of an overlay's layer.
 *
 * The layer is cut into blocks of 4 KiB. A zone is a bitmap block and the 32,768 blocks (128 MiB)
 * that its bits speak for. Each block has its own place whether it is present or not, so a layer
 * grows by whole zones, and what it holds is a sparse file as long as the host has those.
 *
 *   layer block         content
 *   0                   header, in its first 48 bytes
 *   1 + 32769 z         bitmap of zone z: bit b of byte B is set if block 8 B + b of it is present
 *   2 + 32769 z ...     the blocks of zone z
 *
 *   offset  size  field of the header, little-endian
 *        0     8  magic         "RAMETOVL"
 *        8     4  version       1
 *       12     4  blockSize     4096
 *       16     8  size          bytes of the overlay, not less than baseSize
 *       24     8  baseSize      bytes of the base
 *       32     8  baseChecksum  XXH64, seed 0, of the base's first 64 KiB and then its last 16 KiB
 *       40     8  checksum      XXH64, seed 0, of the 40 bytes before
 *
 * An image keeps superblocks in both of those places, and every commit writes one. So a base that
 * has committed anything since is recognised as another one.
 */
import {
  BLOCK_SIZE,
  CorruptionError,
  checksum64,
  DeviceError,
  fromUtf8,
  getU64,
  hex,
  KIB,
  setU64,
  utf8,
  viewOf,
} from '../base/index.ts';

/** Blocks that one bitmap block speaks for. */
export const ZONE_BLOCKS = BLOCK_SIZE * 8;

/** Bytes at both ends of the base that identify it. */
export const IDENTITY_HEAD = 64 * KIB;
export const IDENTITY_TAIL = 16 * KIB;

const ZONE_SIZE = (1 + ZONE_BLOCKS) * BLOCK_SIZE;
const MAGIC = utf8('RAMETOVL');
const VERSION = 1;
const CHECKED_LENGTH = 40;
const SEED = 0n;

/** Where the bitmap of a zone lies in the layer. */
export function bitmapAddress(zone: number): number {
  return BLOCK_SIZE + zone * ZONE_SIZE;
}

/** Where byte `position` of the overlay lies in the layer, if its block is present. */
export function dataAddress(position: number): number {
  const zone = zoneOf(Math.floor(position / BLOCK_SIZE));
  return position + BLOCK_SIZE * (2 + zone);
}

export function zoneOf(block: number): number {
  return Math.floor(block / ZONE_BLOCKS);
}

/** Zones of an overlay of `size` bytes. */
export function zonesFor(size: number): number {
  return Math.ceil(size / (ZONE_BLOCKS * BLOCK_SIZE));
}

/** Bytes that the layer of an overlay of `size` bytes has at least. */
export function layerSize(size: number): number {
  if (size === 0) return BLOCK_SIZE;
  return dataAddress(Math.ceil(size / BLOCK_SIZE) * BLOCK_SIZE - 1) + 1;
}

export interface OverlayHeader {
  readonly size: number;
  readonly baseSize: number;
  readonly baseChecksum: bigint;
}

/** The identity of a base, from the bytes at its two ends. */
export function baseChecksum(head: Uint8Array, tail: Uint8Array): bigint {
  const ends = new Uint8Array(head.length + tail.length);
  ends.set(head);
  ends.set(tail, head.length);
  return checksum64(ends, SEED);
}

/** The header's block. */
export function encodeHeader(header: OverlayHeader): Uint8Array {
  const block = new Uint8Array(BLOCK_SIZE);
  const view = viewOf(block);
  block.set(MAGIC);
  view.setUint32(8, VERSION, true);
  view.setUint32(12, BLOCK_SIZE, true);
  setU64(view, 16, header.size);
  setU64(view, 24, header.baseSize);
  view.setBigUint64(32, header.baseChecksum, true);
  view.setBigUint64(40, checksum64(block.subarray(0, CHECKED_LENGTH), SEED), true);
  return block;
}

/**
 * Reads a header's block.
 *
 * @throws {DeviceError} `EINVAL` if there is no overlay, or one of a version we do not know
 * @throws {CorruptionError} if the header is damaged
 */
export function decodeHeader(block: Uint8Array, layerName: string): OverlayHeader {
  const view = viewOf(block);
  if (fromUtf8(block.subarray(0, 8)) !== fromUtf8(MAGIC)) {
    throw overlayError(`${layerName} does not begin with an overlay's header`);
  }
  const version = view.getUint32(8, true);
  if (version !== VERSION) {
    throw overlayError(`${layerName} has overlay version ${version}, supported is ${VERSION}`);
  }
  const found = view.getBigUint64(40, true);
  const wanted = checksum64(block.subarray(0, CHECKED_LENGTH), SEED);
  if (found !== wanted) {
    const finding = `checksum is ${found.toString(16)}, wanted ${wanted.toString(16)}`;
    throw new CorruptionError('overlay header', 0, finding);
  }
  const header = {
    size: getU64(view, 16),
    baseSize: getU64(view, 24),
    baseChecksum: view.getBigUint64(32, true),
  };
  if (view.getUint32(12, true) !== BLOCK_SIZE || header.size < header.baseSize) {
    throw new CorruptionError('overlay header', 0, `block size or size ${hex(header.size)} is off`);
  }
  return header;
}

/** Why an overlay cannot be opened. */
export function overlayError(finding: string): DeviceError {
  return new DeviceError('EINVAL', { operation: 'open', position: 0, length: 0, finding });
}
