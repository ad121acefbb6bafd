/** Loop mounts of other filesystems, to measure beside. Needs root, mkfs.xfs and mkfs.btrfs. */
import { spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';

const KINDS = {
  xfs: ['mkfs.xfs', '-q', '-m', 'reflink=1'],
  btrfs: ['mkfs.btrfs', '-q'],
};

export class Mounts {
  #folder;
  #mounted = new Map();
  #reasons = [];

  constructor(folder, sizeBytes = 12 * 2 ** 30) {
    this.#folder = folder;
    if (process.getuid?.() !== 0) {
      this.#reasons.push('Left out: XFS and btrfs beside us, since this needs root.');
      return;
    }
    for (const kind of Object.keys(KINDS)) this.#mount(kind, sizeBytes);
  }

  /** The folder where a filesystem is mounted; undefined if it is not. */
  at(kind) {
    return this.#mounted.get(kind);
  }

  describe() {
    return this.#reasons;
  }

  close() {
    for (const path of this.#mounted.values()) spawnSync('umount', ['-l', path]);
    this.#mounted.clear();
  }

  #mount(kind, sizeBytes) {
    const image = join(this.#folder, `${kind}.img`);
    const path = join(this.#folder, kind);
    mkdirSync(path);
    const fd = openSync(image, 'w');
    ftruncateSync(fd, sizeBytes);
    closeSync(fd);
    const [command, ...options] = KINDS[kind];
    const made = spawnSync(command, [...options, image], { encoding: 'utf8' });
    const mounted =
      made.status === 0
        ? spawnSync('mount', ['-o', 'loop', image, path], { encoding: 'utf8' })
        : made;
    if (mounted.status === 0) this.#mounted.set(kind, path);
    else {
      const reason = String(mounted.stderr ?? mounted.error).trim();
      this.#reasons.push(`Left out: ${kind} beside us (${reason}).`);
    }
  }
}
