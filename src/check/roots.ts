/**
 * Roots: which root a mount would take, and what is wrong with the others.
 *
 * The mount rule: of all superblocks that are whole, at the start of the image and where they say
 * its end is, the newest one whose group index and meta root verify. It is told again here, and not
 * asked of the code that mounts. While the size of a volume changes, they name several ends.
 */
import { BLOCK_SIZE, checksum32, checksum64, wordsOf } from '../base/index.ts';
import type { Steps } from '../device/index.ts';
import {
  decodeSuperblock,
  type Geometry,
  hasSaneState,
  imageSeed,
  indexLength,
  indexPlace,
  isFault,
  KNOWN_READ_ONLY,
  SlotKind,
  SUPERBLOCKS,
  type Superblock,
  type SuperblockFault,
  slotBlock,
  slotChecksum,
  slotFlags,
  slotKind,
  superblockPlace,
  TWIN,
} from '../format/index.ts';
import type { IssueList } from './report.ts';
import type { Answer, Session } from './session.ts';

/** What a check starts from. */
export interface Root {
  readonly superblock: Superblock;
  /** The group index it names. */
  readonly index: Uint32Array;
  /** Its place in the ring. */
  readonly ring: number;
}

/** A place of the ring as it was found: a superblock, or why it is none. */
export interface Place {
  readonly block: number;
  /** Place in the ring. */
  readonly ring: number;
  readonly superblock: Superblock | undefined;
  readonly fault: SuperblockFault | undefined;
  /** Nothing but zeros: a place that was not used yet. */
  readonly empty: boolean;
}

export class RootFinder {
  /** Undefined if there is no volume, or none that can be checked: an issue says why. */
  root: Root | undefined;
  /** Every place of the ring, at the start and where the newest superblock of the place ends. */
  places: readonly Place[] = [];
  readonly #session: Session;
  readonly #issues: IssueList;

  /** `issues`: where to tell what is wrong, if not in the session's own list. */
  constructor(session: Session, issues: IssueList = session.issues) {
    this.#session = session;
    this.#issues = issues;
  }

  *find(): Steps {
    const { device } = this.#session;
    const issues = this.#issues;
    const deviceBlocks = Math.floor(device.size / BLOCK_SIZE);
    if (deviceBlocks < 2 * SUPERBLOCKS) {
      issues.add('no-volume', { finding: `the image has ${device.size} bytes` });
      return;
    }
    const found: Place[] = [];
    yield* this.#read(0, found);
    const stated = new Set(found.flatMap((place) => place.superblock?.geometry.blockCount ?? []));
    for (const end of stated.size === 0 ? [deviceBlocks] : stated) {
      if (end <= deviceBlocks) yield* this.#read(superblockPlace(end, 0, 1), found);
    }
    const newest = newestOf(found);
    if (newest === undefined) {
      this.#reportNone(found);
      return;
    }
    const wanted = newest.geometry.blockCount * BLOCK_SIZE;
    if (wanted > device.size) {
      issues.add('image-cut', { size: device.size, wanted });
      return;
    }
    this.places = counting(found, newest);
    this.#reportPlaces(this.places, newest);
    const roots = candidates(found, newest);
    yield* this.#choose(
      roots.filter(({ superblock }) => superblock.geometry.blockCount <= deviceBlocks),
    );
  }

  *#read(first: number, into: Place[]): Steps {
    const { reader } = this.#session;
    const blocks = Array.from({ length: SUPERBLOCKS }, (_, ring) => first + ring);
    yield* reader.read(blocks);
    blocks.forEach((block, ring) => {
      const bytes = reader.bytes.slice(reader.at(ring), reader.at(ring) + BLOCK_SIZE);
      const error = reader.error(ring);
      let decoded: Superblock | SuperblockFault =
        error === undefined ? decodeSane(bytes) : { kind: 'damaged', finding: error.message };
      if (!isFault(decoded) && first > 0 && !isCopyAt(decoded, block, ring)) {
        decoded = { kind: 'damaged', finding: 'it says that the volume ends elsewhere' };
      }
      into.push({
        block,
        ring,
        superblock: isFault(decoded) ? undefined : decoded,
        fault: isFault(decoded) ? decoded : undefined,
        empty: error === undefined && bytes.every((byte) => byte === 0),
      });
    });
  }

  #reportNone(found: readonly Place[]): void {
    const issues = this.#issues;
    const newer = found.find(({ fault }) => fault?.kind === 'newer');
    const damaged = found.find(({ fault }) => fault?.kind === 'damaged');
    const finding = (newer ?? damaged ?? found[0])?.fault?.finding ?? 'nothing can be read';
    issues.add(newer === undefined ? 'no-volume' : 'newer-format', { finding });
  }

  /** Damage that a mount does not mind: some other place of the ring serves. */
  #reportPlaces(found: readonly Place[], newest: Superblock): void {
    const issues = this.#issues;
    const uuid = imageSeed(newest.uuid);
    for (const place of found) {
      const { block, superblock, fault, empty } = place;
      const other = found.find(({ ring }, i) => ring === place.ring && found[i] !== place);
      const twin = other?.superblock;
      if (superblock === undefined) {
        if (empty && twin === undefined) continue;
        issues.add('superblock-damaged', { block, finding: fault?.finding ?? 'it is missing' });
      } else if (imageSeed(superblock.uuid) !== uuid) {
        issues.add('superblock-damaged', { block, finding: 'it belongs to another volume' });
      } else if (!sameLayout(superblock.geometry, newest.geometry)) {
        issues.add('superblock-damaged', { block, finding: 'its geometry is another one' });
      } else if (twin !== undefined && twin.state.txg > superblock.state.txg) {
        const { txg } = superblock.state;
        issues.add('superblock-stale', { block, txg, newest: twin.state.txg });
      }
    }
    const bits = newest.readOnlyCompatible;
    if (bits !== KNOWN_READ_ONLY) issues.add('unknown-feature', { bits });
  }

  /** Takes the first root that is whole. */
  *#choose(candidates: readonly Candidate[]): Steps {
    const issues = this.#issues;
    const damage: { txg: number; finding: string }[] = [];
    for (const { superblock, ring } of candidates) {
      const index = yield* this.#readIndex(superblock);
      const finding =
        index === undefined
          ? 'no copy of its group index has its checksum'
          : yield* this.#rootFault(superblock);
      if (finding === undefined && index !== undefined) {
        for (const facts of damage) issues.add('root-damaged', facts);
        this.root = { superblock, index: wordsOf(index.bytes), ring };
        if (index.damaged !== undefined) issues.add('index-copy', { block: index.damaged });
        return;
      }
      damage.push({ txg: superblock.state.txg, finding: finding as string });
    }
    issues.add('no-root', { finding: damage[0]?.finding ?? 'there is none' });
  }

  /** Both copies of the index; undefined if neither has its checksum. */
  *#readIndex(superblock: Superblock): Answer<Index | undefined> {
    const { geometry, state, uuid } = superblock;
    let good: Uint8Array | undefined;
    let damaged: number | undefined;
    for (const copy of [0, 1] as const) {
      const block = indexPlace(geometry, state.indexPlace, copy);
      const bytes = yield* this.#session.readRun(block, indexLength(geometry));
      const matches =
        bytes instanceof Uint8Array && checksum64(bytes, imageSeed(uuid)) === state.indexChecksum;
      if (matches) good ??= bytes;
      else damaged = block;
    }
    return good === undefined ? undefined : { bytes: good, damaged };
  }

  *#rootFault(superblock: Superblock): Answer<string | undefined> {
    const { geometry, state, uuid } = superblock;
    const { reader } = this.#session;
    const root = state.metaRoot;
    const block = slotBlock(root, 0);
    if (slotKind(root, 0) !== SlotKind.NODE) return 'its meta root is not a node';
    if (block + 2 > geometry.blockCount) return 'its meta root is outside the volume';
    const copies = (slotFlags(root, 0) & TWIN) === 0 ? [block] : [block, block + 1];
    yield* reader.read(copies);
    const good = copies.some((_, i) => {
      const bytes = reader.bytes.subarray(reader.at(i), reader.at(i) + BLOCK_SIZE);
      const found = checksum32(bytes, imageSeed(uuid));
      return reader.error(i) === undefined && found === slotChecksum(root, 0);
    });
    return good ? undefined : 'no copy of its meta root has its checksum';
  }
}

/** Of each place of the ring, the first block and the one where the newest has its second copy. */
function counting(found: readonly Place[], newest: Superblock): Place[] {
  const id = imageSeed(newest.uuid);
  return found.filter(({ block, ring }, i) => {
    if (i < SUPERBLOCKS) return true;
    const own = found.filter(
      ({ ring: other, superblock }) =>
        other === ring && superblock !== undefined && imageSeed(superblock.uuid) === id,
    );
    return isCopyAt(newestOf(own) ?? newest, block, ring);
  });
}

/** True if the superblock of a place of the ring has its second copy in `block`. */
function isCopyAt({ geometry }: Superblock, block: number, ring: number): boolean {
  return superblockPlace(geometry.blockCount, ring, 1) === block;
}

interface Index {
  readonly bytes: Uint8Array;
  /** First block of a copy that is damaged while the other is not. */
  readonly damaged: number | undefined;
}

/** A superblock with counters that no volume comes to is none: no mount takes it. */
function decodeSane(bytes: Uint8Array): Superblock | SuperblockFault {
  const decoded = decodeSuperblock(bytes);
  if (isFault(decoded) || hasSaneState(decoded)) return decoded;
  return { kind: 'damaged', finding: 'its counters cannot be' };
}

export function newestOf(found: readonly Place[]): Superblock | undefined {
  let newest: Superblock | undefined;
  for (const { superblock } of found) {
    if (superblock === undefined) continue;
    if (newest === undefined || superblock.state.txg > newest.state.txg) newest = superblock;
  }
  return newest;
}

/** Superblocks of the newest one's volume, newest first, each txg once. */
interface Candidate {
  readonly superblock: Superblock;
  readonly ring: number;
}

function candidates(found: readonly Place[], newest: Superblock): Candidate[] {
  const byTxg = new Map<number, Candidate>();
  for (const { superblock, ring } of found) {
    if (superblock === undefined || imageSeed(superblock.uuid) !== imageSeed(newest.uuid)) continue;
    if (!sameLayout(superblock.geometry, newest.geometry)) continue;
    const { txg } = superblock.state;
    if (!byTxg.has(txg)) byTxg.set(txg, { superblock, ring });
  }
  return [...byTxg.values()].sort((a, b) => b.superblock.state.txg - a.superblock.state.txg);
}

/** The size apart. */
function sameLayout(left: Geometry, right: Geometry): boolean {
  const { blockCount, groupCount } = right;
  const resized: Geometry = { ...left, blockCount, groupCount };
  return (Object.keys(right) as (keyof Geometry)[]).every((key) => resized[key] === right[key]);
}
