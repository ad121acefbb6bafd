/**
 * A mount of the real kernel, served by this thread: the requests are those that programs cause.
 *
 * A shell does the work in a process of its own, and unmounts at the end. Nobody else in this
 * process may touch the mount meanwhile, since nobody would answer.
 */
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Message } from '../../src/fuse/message.ts';
import type { Session } from '../../src/fuse/session.ts';
import { DeviceTransport, serve, type Transport } from '../../src/fuse/transport.ts';

/** Why there can be no mount here, if there cannot. */
export function whyNoMount(): string | undefined {
  if (process.platform !== 'linux') return 'this needs Linux';
  if (process.getuid?.() !== 0) return 'this needs root';
  if (!existsSync('/dev/fuse')) return 'there is no /dev/fuse';
  try {
    closeSync(openSync('/dev/fuse', 'r+'));
    return undefined;
  } catch (error) {
    return `/dev/fuse cannot be opened: ${(error as Error).message}`;
  }
}

export interface Work {
  /** What a shell does, in the mount. */
  readonly script: string;
  /** Makes the session, given where replies go. */
  readonly session: (transport: Transport) => Session;
  /** Sees every transfer. */
  readonly wrap?: (transport: Transport) => Transport;
}

/** Serves a mount while a shell works in it. Returns what the shell has printed. */
export function serveWork({ script, session: make, wrap }: Work): string {
  const folder = mkdtempSync(join(tmpdir(), 'ramet-fuse-'));
  const fd = openSync('/dev/fuse', 'r+');
  const output = openSync(join(folder, 'output'), 'w+');
  try {
    const point = join(folder, 'mnt');
    spawnSync('mkdir', [point]);
    const options = 'fd=3,rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other';
    const { status, stderr } = spawnSync(
      'mount',
      ['-i', '-t', 'fuse.ramet', '-o', options, 'test', point],
      { stdio: ['ignore', 'ignore', 'pipe', fd], encoding: 'utf8' },
    );
    if (status !== 0) throw new Error(`mount: ${stderr}`);
    const end = `echo "status $?"; cd /; umount '${point}'`;
    const text = `cd '${point}' && (set -e\n${script}\n) 2>&1; ${end}`;
    spawn('bash', ['-c', text], { stdio: ['ignore', output, output] });
    const device = new DeviceTransport(fd);
    const transport = wrap?.(device) ?? device;
    void serve(make(transport), transport, new Message(), () => undefined);
    return readFileSync(join(folder, 'output'), 'utf8');
  } finally {
    closeSync(output);
    closeSync(fd);
    spawnSync('umount', ['-l', join(folder, 'mnt')]);
    rmSync(folder, { recursive: true, force: true });
  }
}
