/**
 * Peers: what else copies a tree, measured on the same tree in the same run.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import * as host from 'node:fs';
import { join as joinPath } from 'node:path';
import { MIB } from '../../base/index.ts';
import { join, pathOf } from '../names.ts';

const MAKE_XFS = 'mkfs.xfs';
const UNMOUNT = 'umount';

/** What one copy came to. */
export interface PeerMeasure {
  readonly ms: number;
  readonly bytes: number;
}

/** A peer that could not be measured, and why. */
export interface Skipped {
  readonly skipped: string;
}

/** Runs a program to its end. @throws {Error} with the last line that it printed */
export async function runTool(
  tool: string,
  args: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const child = spawn(tool, args, { stdio: ['ignore', 'ignore', 'pipe'], signal });
  let complaint = '';
  child.stderr.on('data', (data: Buffer) => {
    complaint += data.toString();
  });
  // A signal ends both this program and the child; the reason is then the signal's.
  const [status] = (await once(child, 'close').catch((error) => {
    throw signal.aborted ? signal.reason : error;
  })) as [number | null];
  if (status === 0) return;
  signal.throwIfAborted();
  throw new Error(`${tool} says ${complaint.trim().split('\n').at(-1) ?? `status ${status}`}`);
}

/** Has the host write to its disk what it holds back: else whoever flushes next pays for it. */
export async function settleHost(folder: string, signal: AbortSignal): Promise<void> {
  try {
    await runTool('sync', ['-f', folder], signal);
  } catch {
    // A host whose sync knows no -f. The figures then vary more.
    signal.throwIfAborted();
  }
}

/** `cp -R`. Its bytes are what the host takes for the copy. */
export async function measureCopy(
  source: string,
  target: string,
  signal: AbortSignal,
): Promise<PeerMeasure> {
  const start = performance.now();
  await runTool('cp', ['-R', source, target], signal);
  const ms = performance.now() - start;
  return { ms, bytes: bytesTaken(target) };
}

/** `cp -R --reflink=always` on an XFS of its own, in a file, if we may mount one. */
export async function measureReflink(
  source: string,
  folder: string,
  size: number,
  signal: AbortSignal,
): Promise<PeerMeasure | Skipped> {
  if (process.getuid?.() !== 0) return { skipped: 'to mount an XFS takes root' };
  if (spawnSync(MAKE_XFS, ['-V']).error !== undefined) {
    return { skipped: `${MAKE_XFS} is not installed` };
  }
  const image = joinPath(folder, 'xfs.img');
  const mount = joinPath(folder, 'xfs');
  host.mkdirSync(mount);
  host.writeFileSync(image, '');
  host.truncateSync(image, Math.max(512 * MIB, 3 * size));
  try {
    await runTool(MAKE_XFS, ['-q', '-m', 'reflink=1', image], signal);
    await runTool('mount', ['-o', 'loop', image, mount], signal);
  } catch (error) {
    signal.throwIfAborted();
    return { skipped: (error as Error).message };
  }
  try {
    return await measureOn(mount, source, signal);
  } finally {
    // In this turn: nothing else may be removed while it is mounted.
    spawnSync(UNMOUNT, [mount]);
  }
}

async function measureOn(mount: string, source: string, signal: AbortSignal): Promise<PeerMeasure> {
  const first = joinPath(mount, 'first');
  await runTool('cp', ['-R', source, first], signal);
  const before = await usedBytes(mount, signal);
  const start = performance.now();
  await runTool('cp', ['-R', '--reflink=always', first, joinPath(mount, 'second')], signal);
  const ms = performance.now() - start;
  return { ms, bytes: (await usedBytes(mount, signal)) - before };
}

async function usedBytes(mount: string, signal: AbortSignal): Promise<number> {
  await settleHost(mount, signal);
  const { bsize, blocks, bfree } = host.statfsSync(mount);
  return (blocks - bfree) * bsize;
}

/** What a tree takes on the host, as `du` counts it. */
function bytesTaken(root: string): number {
  let bytes = host.lstatSync(pathOf(root)).blocks * 512;
  const options = { withFileTypes: true, encoding: 'latin1' } as const;
  for (const entry of host.readdirSync(pathOf(root), options)) {
    const path = join(root, entry.name);
    bytes += entry.isDirectory() ? bytesTaken(path) : host.lstatSync(pathOf(path)).blocks * 512;
  }
  return bytes;
}
