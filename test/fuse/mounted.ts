/**
 * Mounted: an image that the command has mounted in a folder of its own, for real programs.
 */
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe } from 'vitest';
import manifest from '../../package.json' with { type: 'json' };
import { whyNoMount } from './real.ts';

export const MAIN = realpathSync(new URL(`../../${manifest.bin.ramet}`, import.meta.url).pathname);

export type Result = SpawnSyncReturns<string>;

/** A group of tests that needs mounts. Where there can be none it says so, and is left out. */
export function describeMounts(title: string, body: () => void): void {
  const reason = whyNoMount();
  if (reason === undefined) {
    describe(title, body);
    return;
  }
  process.stdout.write(`\nNOT TESTED: ${title}: ${reason}\n\n`);
  describe.skip(`${title}: ${reason}`, body);
}

/** Runs the command. */
export function ramet(...args: string[]): Result {
  return spawnSync(process.execPath, [MAIN, ...args], { encoding: 'utf8', timeout: 60_000 });
}

const EXT4 = 0xef53;

/** Whether the folder beside a mount is on an ext4, to compare with; if not, it says so. */
export function isBesideExt4({ folder }: Mounted): boolean {
  if (statfsSync(folder).type === EXT4) return true;
  process.stdout.write(
    '\nNOT TESTED: beside ext4: the temporary folder is on another filesystem\n',
  );
  return false;
}

export class Mounted {
  readonly folder: string = realpathSync(mkdtempSync(join(tmpdir(), 'ramet-mount-')));
  readonly image: string = join(this.folder, 'a.img');
  readonly path: string = join(this.folder, 'mnt');

  constructor(size = '512MiB') {
    mkdirSync(this.path);
    this.ok('create', this.image, '--size', size);
  }

  /** A new image, mounted. */
  static start(...options: string[]): Mounted {
    const mounted = new Mounted();
    mounted.mount(...options);
    return mounted;
  }

  mount(...options: string[]): void {
    this.ok('mount', this.image, this.path, '--background', ...options);
  }

  umount(): void {
    this.ok('umount', this.path);
  }

  /** Runs the command, which must succeed; what it prints. */
  ok(...args: string[]): string {
    const { status, stdout, stderr } = ramet(...args);
    if (status !== 0) throw new Error(`ramet ${args.join(' ')}: ${stdout}${stderr}`);
    return stdout;
  }

  /** Runs a script of bash in the mount; it must succeed, with each of its parts. */
  sh(script: string, folder: string = this.path, timeout = 120_000): string {
    const { status, stdout, stderr } = spawnSync('bash', ['-euo', 'pipefail', '-c', script], {
      encoding: 'utf8',
      cwd: folder,
      timeout,
      maxBuffer: 64 * 2 ** 20,
    });
    if (status !== 0) throw new Error(`${script}\nended with ${status}: ${stdout}${stderr}`);
    return stdout.trimEnd();
  }

  /** A program in Python, in the mount. */
  python(program: string): string {
    return this.sh(`python3 - <<'END'\n${program}\nEND`);
  }

  /** The process that has the image open. */
  get server(): number {
    const { pid } = JSON.parse(readFileSync(`${this.image}.owner`, 'utf8')) as { pid: number };
    return pid;
  }

  /** What the verifier says of the image. */
  check(): string {
    const { stdout, stderr } = ramet('check', this.image);
    return stdout + stderr;
  }

  /** Whatever is left, goes. */
  [Symbol.dispose](): void {
    spawnSync('umount', ['-l', this.path]);
    rmSync(this.folder, { recursive: true, force: true });
  }
}
