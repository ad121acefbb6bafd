/**
 * Places: where something is, as the command line says it.
 *
 *   work.img                 the root of the volume
 *   work.img:/src/main.c     a path in it
 *   work.img@monday:/src     the same path in a snapshot
 *   /mnt/vol/src             a path of this host, on a mount of the volume
 *
 * P1. The first `:/` ends the image's own path.
 * P2. What follows the last `@` of the file's name is a snapshot, unless a file has the whole name.
 * P3. Without `:/`, what lies on a mount of ours is a place there, never an image.
 */
import { existsSync, realpathSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Locator } from '../api/index.ts';
import { usageFault } from './faults.ts';
import { findMount, type MountPoint, ourMounts } from './mounts.ts';
import { escapeControls } from './names.ts';

export interface Place {
  /** Path of the image file. */
  readonly image: string;
  readonly snapshot: string | undefined;
  /** Path in the volume; begins with `/`. */
  readonly path: string;
  /** It was named by a path of this host (P3). */
  readonly onMount?: true;
}

export const PLACE_HELP = 'IMG, IMG:/path or IMG@SNAPSHOT:/path';

/** Reads `IMG`, `IMG:/path`, `IMG@SNAPSHOT`, `IMG@SNAPSHOT:/path`, or a path on a mount. */
export function parsePlace(text: string): Place {
  return placeOnMount(text) ?? parseText(text);
}

/**
 * Reads what stands for an image as a whole: its path, or a mount of the whole volume, which stands
 * for the image that is mounted there.
 */
export function parseImage(text: string): string {
  const place = placeOnMount(text);
  return place?.path === '/' && place.snapshot === undefined ? place.image : text;
}

function placeOnMount(text: string): Place | undefined {
  if (text === '' || text.includes(':/')) return undefined;
  const found = findMount(text);
  if (found === undefined) return undefined;
  const { image, snapshot, path } = placeOfMount(found.mount);
  return { image, snapshot, path: join(path, found.path), onMount: true };
}

/** What is mounted at a mount point. */
export function placeOfMount({ source }: MountPoint): Place {
  return parseText(source);
}

/** Where an image is mounted; undefined if it is not, or if it cannot be seen from here. */
export function mountOf(image: string): MountPoint | undefined {
  let real: string;
  try {
    real = realpathSync(image);
  } catch {
    return undefined;
  }
  return ourMounts().findLast((mount) => {
    const { image: mounted } = placeOfMount(mount);
    return existsSync(mounted) && realpathSync(mounted) === real;
  });
}

function parseText(text: string): Place {
  const cut = text.indexOf(':/');
  const volume = cut < 0 ? text : text.slice(0, cut);
  const path = cut < 0 ? '/' : text.slice(cut + 1);
  const { image, snapshot } = splitSnapshot(volume);
  if (image === '') {
    throw usageFault(`Cannot use ${JSON.stringify(text)}: wanted an image, ${PLACE_HELP}`);
  }
  return { image, snapshot, path };
}

/**
 * Reads a second place: `@SNAPSHOT:/path` or a path in the volume of the first, or a place in the
 * same image in full. If the first is a path of this host, a path is one of this host too.
 */
export function parseSecond(text: string, first: Place): Place {
  const full = text.startsWith('@') ? first.image + text : text;
  const place = first.onMount ? parsePlace(full) : parseText(full);
  if (resolve(place.image) === resolve(first.image)) return { ...place, image: first.image };
  const isPath = !first.onMount && text.startsWith('/') && !text.includes(':/');
  if (isPath) return { image: first.image, snapshot: undefined, path: text };
  throw usageFault(
    `Cannot use ${JSON.stringify(text)} with ${showPlace(first)}: ` +
      'both must be in one image, wanted /path or the same image',
  );
}

/** @throws {Fault} unless the place is in the live volume */
export function checkLive(place: Place, what: string): void {
  if (place.snapshot === undefined) return;
  throw usageFault(`Cannot use ${showPlace(place)} as ${what}: wanted a path in the live volume`);
}

/** A place as the kernel's list of mounts is to have it. */
export function sourceOf({ image, snapshot, path }: Place): string {
  const volume = snapshot === undefined ? resolve(image) : `${resolve(image)}@${snapshot}`;
  return path === '/' ? volume : `${volume}:${path}`;
}

/** A place as the API takes it. */
export function locatorOf({ snapshot, path }: Place): Locator {
  return snapshot === undefined ? path : { snapshot, path };
}

/** A place as messages show it. */
export function showPlace({ image, snapshot, path }: Place): string {
  return escapeControls(`${image}${snapshot === undefined ? '' : `@${snapshot}`}:${path}`);
}

function splitSnapshot(volume: string): { image: string; snapshot: string | undefined } {
  const at = volume.lastIndexOf('@');
  const snapshot = volume.slice(at + 1);
  const whole = at <= 0 || snapshot === '' || snapshot.includes('/') || existsSync(volume);
  return whole ? { image: volume, snapshot: undefined } : { image: volume.slice(0, at), snapshot };
}
