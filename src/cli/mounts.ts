/**
 * Mounts: which volume has a path of this host that lies on a mount of ours.
 *
 * The kernel's list of mounts has what was mounted as `ramet mount` has told it: a place with the
 * image's full path. A bind mount of a part of it is a mount too, and says which part.
 */
import { readFileSync, realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';

/** A mount that a server of ours has made. */
export interface MountPoint {
  /** What is mounted there, as a place. */
  readonly source: string;
  /** Directory below the source that is the root of the mount; `/` unless it is a bind mount. */
  readonly root: string;
  readonly directory: string;
  /** Nobody can write to it, at any mount point: the server or the kernel was told so. */
  readonly readOnly: boolean;
}

/** A path on a mount, and where it leads from the root of the mount. */
export interface OnMount {
  readonly mount: MountPoint;
  readonly path: string;
}

interface Line extends MountPoint {
  readonly type: string;
}

/** What a path lies on, if that is a mount of ours. Its last name need not be there. */
export function findMount(path: string): OnMount | undefined {
  const lines = readMounts();
  if (!lines.some(isOurs)) return undefined;
  return onMount(lines, parentResolved(path)) ?? onMount(lines, resolved(path));
}

/** What is mounted at a directory, if it is a mount of ours; no look at the mount itself. */
export function mountAt(directory: string): MountPoint | undefined {
  const path = resolved(directory) ?? parentResolved(directory);
  const line = readMounts().findLast((mount) => mount.directory === path);
  return line !== undefined && isOurs(line) ? line : undefined;
}

/** Everything that is mounted by a server of ours. */
export function ourMounts(): MountPoint[] {
  return readMounts().filter(isOurs);
}

function isOurs({ type }: Line): boolean {
  return type === 'fuse.ramet';
}

/** The mounts of this process, in the order in which they cover each other. */
function readMounts(): Line[] {
  let text: string;
  try {
    text = readFileSync('/proc/self/mountinfo', 'utf8');
  } catch {
    return [];
  }
  return text.split('\n').flatMap((line) => {
    const [before = '', after = ''] = line.split(' - ');
    const [, , , root, directory] = before.split(' ');
    const [type, source, options = ''] = after.split(' ');
    if (root === undefined || directory === undefined) return [];
    if (type === undefined || source === undefined) return [];
    const readOnly = options.split(',').includes('ro');
    const [at, from] = [plain(directory), plain(source)];
    return [{ type, source: from, root: plain(root), directory: at, readOnly }];
  });
}

function onMount(lines: readonly Line[], path: string | undefined): OnMount | undefined {
  if (path === undefined) return undefined;
  let found: Line | undefined;
  for (const line of lines) {
    const length = found?.directory.length ?? 0;
    if (isWithin(path, line.directory) && line.directory.length >= length) found = line;
  }
  if (found === undefined || !isOurs(found)) return undefined;
  return { mount: found, path: join(found.root, path.slice(found.directory.length)) };
}

function isWithin(path: string, directory: string): boolean {
  const start = directory.endsWith('/') ? directory : `${directory}/`;
  return path === directory || path.startsWith(start);
}

/** A path without links; undefined if it leads nowhere, or if nobody answers for it any more. */
function resolved(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}

/** The same, but its last name is left as it is: it may be a link itself, or free. */
function parentResolved(path: string): string | undefined {
  const full = resolve(path);
  const parent = resolved(dirname(full));
  return parent === undefined ? undefined : join(parent, basename(full));
}

/** Spaces and the like are in octal there. */
function plain(text: string): string {
  const bytes = Buffer.from(text, 'utf8').toString('latin1');
  const binary = bytes.replace(/\\([0-7]{3})/gu, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
  return Buffer.from(binary, 'latin1').toString('utf8');
}
