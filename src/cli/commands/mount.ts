/** ramet mount: a volume as a filesystem of this host. */
import { spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import {
  checkHandedOver,
  descriptorIn,
  mountVolume,
  remount,
  type ServedMount,
} from '../../fuse/index.ts';
import { action, addCommand, type CommonOptions } from '../command.ts';
import { doing, Fault, usageFault } from '../faults.ts';
import { type GivenOptions, parseMountOptions } from '../mount-options.ts';
import { binaryOf } from '../names.ts';
import { PLACE_HELP, type Place, parsePlace, showPlace, sourceOf } from '../place.ts';
import { parseSize } from '../sizes.ts';
import type { Terminal } from '../terminal.ts';

interface Options extends CommonOptions {
  readonly background?: true;
  readonly readOnly?: true;
  readonly options?: string;
  readonly cache?: number;
}

export function addMount(program: Command, terminal: Terminal): void {
  addCommand(program, {
    name: 'mount',
    summary: 'make a volume a filesystem of this host, for every program',
    notes:
      'Linux only, /dev/fuse must be there; without root it takes fusermount3. Serves the mount ' +
      'until it is unmounted, or until a signal asks for that. fsync makes a file durable; ' +
      'everything else is durable a second after the last change, and sync(1) alone does not ' +
      'make it so. docs/MOUNT.md says what is promised. Options for -o are those of mount(8), ' +
      'acl, locks, writeback.',
    examples: [
      ['mount work.img /mnt/vol', 'and serve it until it is unmounted'],
      ['mount work.img /mnt/vol --background', 'the same, and return once it answers'],
      ['mount work.img@monday /mnt/old', 'a snapshot, read-only'],
      ['mount work.img /dev/fd/3', 'for a caller that has mounted descriptor 3, of /dev/fuse'],
    ],
  })
    .argument('<place>', PLACE_HELP)
    .argument('<directory>', 'where to mount it; /dev/fd/N serves what is mounted by descriptor N')
    .option('-b, --background', 'return when the mount answers, and go on serving it')
    .option('-r, --read-only', 'change nothing')
    .option('-o, --options <list>', 'options of the mount, separated by commas')
    .option('--cache <size>', 'memory for the volume; 256 MiB if it is left out', (text) =>
      parseSize(text, 'cache'),
    )
    .action(async (text: string, directory: string, options: Options) => {
      const place = parsePlace(text);
      const given = parseMountOptions(options.options);
      await doing(`${action('mount', place)} at ${directory}`, () => {
        if (given.remount) return mountAgain(directory, options, given);
        if (options.background) return startInBackground(text, directory, options, terminal);
        return serve({ place, directory, given }, options, terminal);
      });
      if (!given.remount && !options.background) return;
      await announce(place, directory, options, terminal);
    });
}

async function announce(
  place: Place,
  directory: string,
  options: Options,
  terminal: Terminal,
): Promise<void> {
  const shown = showPlace(place);
  if (options.json) await terminal.json({ mounted: shown, directory });
  else await terminal.line(`${shown} is mounted at ${directory}`);
  await terminal.flush();
}

/** Gives a mount other options: those that are the kernel's. */
async function mountAgain(
  directory: string,
  options: Options,
  { readOnly, own, others }: GivenOptions,
): Promise<void> {
  if (own.length > 0) throw usageFault(`Cannot change ${own.join()} of what is mounted`);
  const access = readOnly ?? options.readOnly;
  await remount(directory, [...(access === undefined ? [] : [access ? 'ro' : 'rw']), ...others]);
}

/** Mounts and serves; returns when it was unmounted. */
async function serve(
  { place, directory, given }: { place: Place; directory: string; given: GivenOptions },
  options: Options,
  terminal: Terminal,
): Promise<void> {
  const { image, snapshot, path } = place;
  const { writeback, acl, locks, uid, gid, others } = given;
  const mount = await mountVolume({
    image,
    snapshot: snapshot === undefined ? undefined : binaryOf(snapshot),
    path: binaryOf(path),
    directory,
    source: sourceOf(place),
    readOnly: options.readOnly ?? given.readOnly ?? snapshot !== undefined,
    cacheBytes: options.cache,
    writeback,
    acl,
    locks,
    uid,
    gid,
    options: others,
    onBroken: (message) => terminal.warn(`This is a bug in ramet. ${message}`),
    onWarning: (message) => terminal.warn(message),
  });
  await announce(place, directory, options, terminal);
  const { signal } = terminal;
  const stop = (): void => void end(mount, terminal);
  if (signal.aborted) stop();
  signal.addEventListener('abort', stop, { once: true });
  await mount.ended;
}

/**
 * After a signal. Who is still using the mount keeps it; it is taken off its directory, and served
 * until the last one is done.
 */
async function end(mount: ServedMount, terminal: Terminal): Promise<void> {
  try {
    await mount.unmount();
  } catch (error) {
    terminal.warn(`${(error as Error).message}; it is served until nobody uses it`);
    await mount.unmount(true).catch(() => {});
  }
}

/**
 * The same command as a process of its own, which outlives this one. It tells by its first line
 * that the mount answers. What it complains of goes to a file: nobody may be there to read a pipe.
 */
async function startInBackground(
  text: string,
  directory: string,
  options: Options,
  terminal: Terminal,
): Promise<void> {
  const main = process.argv[1];
  if (main === undefined) throw usageFault('Cannot mount in the background: there is no program');
  const folder = mkdtempSync(join(tmpdir(), 'ramet-mount-'));
  const complaints = join(folder, 'stderr');
  const fd = openSync(complaints, 'w+');
  try {
    const handed = descriptorIn(directory);
    const at = handed === undefined ? directory : '/dev/fd/3';
    const args = [realpathSync(main), 'mount', text, at, ...argumentsOf(options)];
    if (handed !== undefined) checkHandedOver(handed);
    const child = spawn(process.execPath, args, {
      detached: true,
      stdio: ['ignore', 'pipe', fd, ...(handed === undefined ? [] : [handed])],
    });
    const started = await new Promise<boolean>((resolve) => {
      child.stdout?.once('data', () => resolve(true));
      child.once('exit', () => resolve(false));
    });
    const said = readFileSync(complaints, 'utf8').trimEnd();
    if (!started) throw faultIn(said);
    if (said !== '') terminal.note(said);
    child.stdout?.destroy();
    child.unref();
  } finally {
    closeSync(fd);
    rmSync(folder, { recursive: true, force: true });
  }
}

function argumentsOf({ readOnly, options, cache }: Options): string[] {
  return [
    ...(readOnly ? ['--read-only'] : []),
    ...(options === undefined ? [] : ['--options', options]),
    ...(cache === undefined ? [] : ['--cache', String(cache)]),
  ];
}

/** The fault that the other process has told: `ramet: Cannot ...: reason (CODE)`. */
function faultIn(complaints: string): Fault {
  const line = complaints.trim().split('\n').at(-1) ?? '';
  const [, message = line, code] = /^(?:ramet: )?(.*?)(?: \((E[A-Z0-9]+)\))?$/u.exec(line) ?? [];
  return new Fault(message === '' ? 'Cannot mount: the server has ended' : message, {
    ...(code === undefined ? {} : { code }),
  });
}
