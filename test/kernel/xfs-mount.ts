/**
 * XfsMount: an XFS of its own, on a loop device. Needs root and mkfs.xfs.
 *
 * Once a descriptor holds it, the mount is taken off its folder and image and folder are removed.
 * It ends with the processes that use it, however they end, so that nothing is ever left behind.
 */
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  constants,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Little more than the least that mkfs.xfs accepts. Sparse. */
const SIZE = 320 * 2 ** 20;

export class XfsMount implements Disposable {
  /** A descriptor of the folder. */
  readonly fd: number;
  /** The folder, as this process reaches it. */
  readonly path: string;

  private constructor(folder: string) {
    this.fd = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
    this.path = `/proc/self/fd/${this.fd}`;
  }

  /** Mounts one; the reason if that cannot be. */
  static start(): XfsMount | string {
    if (process.getuid?.() !== 0) return 'this needs root';
    const folder = mkdtempSync(join(tmpdir(), 'ramet-xfs-'));
    const mountPoint = join(folder, 'xfs');
    try {
      const reason = mountAt(mountPoint, join(folder, 'image'));
      if (reason !== undefined) return reason;
      try {
        return new XfsMount(mountPoint);
      } finally {
        run('umount', '--lazy', mountPoint);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
  }
}

/** The reason if it cannot be mounted. Space is allocated to the block, not ahead. */
function mountAt(mountPoint: string, image: string): string | undefined {
  mkdirSync(mountPoint);
  const fd = openSync(image, 'w');
  ftruncateSync(fd, SIZE);
  closeSync(fd);
  return (
    run('mkfs.xfs', '-q', '-m', 'reflink=1', '-b', 'size=4096', image) ??
    run('mount', '-t', 'xfs', '-o', 'loop,allocsize=4096', image, mountPoint)
  );
}

function run(command: string, ...args: string[]): string | undefined {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (status === 0) return undefined;
  return `${command}: ${String(error?.message ?? stderr).trim()}`;
}
