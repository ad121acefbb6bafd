/**
 * Owner file: who holds an image, in words for whoever is refused. Node only.
 *
 * `<image>.owner` is JSON beside the image. It decides nothing, the lock does: a file without a
 * lock is stale and is replaced by the next holder. Several readers may share an image; then the
 * file names the one that came last. Everything here is best effort, because an image in a
 * directory that we may not write to must open all the same.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename } from 'node:path';
import type { LockMode } from './file-lock.ts';

interface Owner {
  readonly pid: number;
  readonly host: string;
  readonly command: string;
  /** ISO 8601. */
  readonly since: string;
  readonly mode: LockMode;
}

const COMMAND_LENGTH_MAX = 80;

export function ownerPath(image: string): string {
  return `${image}.owner`;
}

/**
 * Writes our name beside the image, in place of any other, and answers how to remove it again,
 * unless another reader has replaced it. Both are for whoever holds the lock, while it holds it.
 */
export function writeOwner(image: string, mode: LockMode): () => void {
  const path = ownerPath(image);
  const owner: Owner = {
    pid: process.pid,
    host: hostname(),
    command: commandLine(process.argv),
    since: new Date().toISOString(),
    mode,
  };
  const text = `${JSON.stringify(owner)}\n`;
  attempt(() => {
    // Never written through whatever may lie there, which could be a link to another file.
    rmSync(path, { force: true });
    writeFileSync(path, text, { flag: 'wx' });
  });
  return () => {
    attempt(() => {
      if (readFileSync(path, 'utf8') === text) rmSync(path);
    });
  };
}

/** How the image is taken, for a sentence that begins `<image> is`. */
export function describeOwner(image: string): string {
  const owner = readOwner(image);
  if (owner === undefined) return 'in use by another process, which left no name';
  const { pid, host, command, since, mode } = owner;
  const self = pid === process.pid && host === hostname();
  const who = `${self ? 'this process' : `process ${pid}`} (${command}) on ${host} since ${since}`;
  return mode === 'exclusive' ? `in use by ${who}` : `open for reading, last by ${who}`;
}

function readOwner(image: string): Owner | undefined {
  return attempt(() => {
    const owner: Partial<Owner> = JSON.parse(readFileSync(ownerPath(image), 'utf8'));
    return typeof owner.pid === 'number' ? (owner as Owner) : undefined;
  });
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}

/** `node main.js mount x.img`: programs without their folders, cut to a line's length. */
function commandLine(argv: readonly string[]): string {
  const words = argv.map((word, index) => (index < 2 ? basename(word) : word));
  const text = words.join(' ');
  return text.length > COMMAND_LENGTH_MAX ? `${text.slice(0, COMMAND_LENGTH_MAX - 3)}...` : text;
}
