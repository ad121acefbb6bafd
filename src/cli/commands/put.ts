/** ramet put: writes a file of the host, or standard input, into an image. */
import * as host from 'node:fs';
import type { Readable } from 'node:stream';
import type { Command } from 'commander';
import type { SyncFs } from '../../api/index.ts';
import { MIB } from '../../base/index.ts';
import { addCommand, type CommonOptions } from '../command.ts';
import { doing, Fault, usageFault } from '../faults.ts';
import { filesOf, withVolume } from '../images.ts';
import { baseName, join } from '../names.ts';
import { PLACE_HELP, parsePlace, showPlace } from '../place.ts';
import { formatSize } from '../sizes.ts';
import { writeAll } from '../sparse.ts';
import type { Terminal } from '../terminal.ts';

interface Options extends CommonOptions {
  /** commander's name for --no-clobber. */
  readonly clobber: boolean;
}

export function addPut(program: Command, terminal: Terminal): void {
  addCommand(program, {
    name: 'put',
    summary: 'write a file, or what is piped in, to a file of an image',
    notes:
      'A file that is there is replaced once the new one is complete: at every moment, and ' +
      'after every crash, the name leads to all of the old file or to all of the new one.',
    examples: [
      ['put notes.txt work.img:/notes.txt', 'a file'],
      ['put notes.txt work.img:/docs', 'into a directory, under its own name'],
      ['put - work.img:/log', 'standard input'],
    ],
  })
    .argument('<file>', 'file of the host, or - for standard input')
    .argument('<place>', PLACE_HELP)
    .option('-n, --no-clobber', 'fail if the file is there')
    .action(async (file: string, text: string, options: Options) => {
      const place = parsePlace(text);
      const name = file === '-' ? 'standard input' : file;
      const { path, bytes } = await doing(`put ${name} to ${showPlace(place)}`, () =>
        withVolume(place.image, { write: true }, async (volume) => {
          const fs = filesOf(volume, place);
          const path = targetOf(fs, place.path, file);
          return { path, bytes: await replace(fs, path, file, options, terminal) };
        }),
      );
      const to = showPlace({ ...place, path });
      if (options.json) await terminal.json({ from: file, to, bytes });
      else await terminal.line(`${name} -> ${to}: ${formatSize(bytes)}`);
    });
}

/** A directory stands for a file in it with the source's own name. */
function targetOf(fs: SyncFs, path: string, file: string): string {
  const isDirectory = fs.statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  if (!isDirectory) return fs.existsSync(path) ? fs.realpathSync(path) : path;
  if (file !== '-') return join(path, baseName(file));
  throw usageFault(`Cannot put standard input to ${path}: it is a directory, wanted a file name`);
}

/** Name of a file that is not complete yet, beside the one it will replace. */
const PART_NAME = '.ramet-part';

async function replace(
  fs: SyncFs,
  path: string,
  file: string,
  { clobber }: Options,
  terminal: Terminal,
): Promise<number> {
  const there = fs.lstatSync(path, { throwIfNoEntry: false });
  if (there?.isDirectory()) {
    throw new Fault(`Cannot put to ${path}: it is a directory`, { code: 'EISDIR' });
  }
  if (there !== undefined && !clobber) {
    throw new Fault(`Cannot put to ${path}: the file is there, and -n was given`, {
      code: 'EEXIST',
    });
  }
  const part = join(path.slice(0, path.lastIndexOf('/') + 1) || '/', PART_NAME);
  const fd = fs.openSync(part, 'w', 0o666);
  try {
    const { mode, size } = await fill({ fs, fd }, file, terminal);
    const kept = there === undefined ? mode : there.mode & 0o7777;
    if (kept !== undefined) fs.fchmodSync(fd, kept);
    fs.renameSync(part, path);
    return size;
  } catch (error) {
    fs.rmSync(part, { force: true });
    throw error;
  } finally {
    fs.closeSync(fd);
  }
}

/** Writes everything there is; answers the mode of the source, if it has one. */
async function fill(
  to: { fs: SyncFs; fd: number },
  file: string,
  { stdin, signal }: Terminal,
): Promise<{ size: number; mode: number | undefined }> {
  let size = 0;
  const write = (bytes: Uint8Array): void => {
    signal.throwIfAborted();
    writeAll(to, bytes, size);
    size += bytes.length;
  };
  if (file === '-') {
    for await (const bytes of abortable(stdin, signal)) write(bytes as Uint8Array);
    return { size, mode: undefined };
  }
  const fd = host.openSync(file, 'r');
  try {
    const stats = host.fstatSync(fd);
    if (stats.isDirectory()) {
      throw new Fault(`Cannot put ${file}: it is a directory; ramet import copies one`, {
        code: 'EISDIR',
      });
    }
    const buffer = Buffer.allocUnsafe(MIB);
    for (let count = 1; count > 0; ) {
      count = host.readSync(fd, buffer, 0, MIB, null);
      write(buffer.subarray(0, count));
    }
    return { size, mode: stats.isFile() ? stats.mode & 0o777 & ~process.umask() : undefined };
  } finally {
    host.closeSync(fd);
  }
}

/** A stream that ends with the signal's reason, even if nothing comes any more. */
function abortable(stream: Readable, signal: AbortSignal): Readable {
  signal.addEventListener('abort', () => stream.destroy(signal.reason as Error), { once: true });
  return stream;
}
