/**
 * Places: where something is, as the command line says it.
 *
 *   work.img                 the root of the volume
 *   work.img:/src/main.c     a path in it
 *   work.img@monday:/src     the same path in a snapshot
 *
 * P1. The first `:/` ends the image's own path.
 * P2. What follows the last `@` of the file's name is a snapshot, unless a file has the whole name.
 */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Locator } from '../api/index.ts';
import { usageFault } from './faults.ts';
import { escapeControls } from './names.ts';

export interface Place {
  /** Path of the image file. */
  readonly image: string;
  readonly snapshot: string | undefined;
  /** Path in the volume; begins with `/`. */
  readonly path: string;
}

export const PLACE_HELP = 'IMG, IMG:/path or IMG@SNAPSHOT:/path';

/** Reads `IMG`, `IMG:/path`, `IMG@SNAPSHOT` or `IMG@SNAPSHOT:/path`. */
export function parsePlace(text: string): Place {
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
 * same image in full.
 */
export function parseSecond(text: string, first: Place): Place {
  const place = parsePlace(text.startsWith('@') ? first.image + text : text);
  if (resolve(place.image) === resolve(first.image)) return { ...place, image: first.image };
  const isPath = text.startsWith('/') && !text.includes(':/');
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
