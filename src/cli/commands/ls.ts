/** ramet ls: lists what is in an image. */
import type { Command } from 'commander';
import type { SyncFs } from '../../api/index.ts';
import { action, addCommand, type CommonOptions } from '../command.ts';
import {
  type Entry,
  entryJson,
  listEntries,
  minuteText,
  modeText,
  pathOfPlace,
} from '../entries.ts';
import { doing } from '../faults.ts';
import { filesOf, withVolume } from '../images.ts';
import { shownName } from '../names.ts';
import { PLACE_HELP, parsePlace } from '../place.ts';
import { formatSize } from '../sizes.ts';
import type { Paint, Terminal } from '../terminal.ts';

interface Options extends CommonOptions {
  readonly long?: true;
  readonly recursive?: true;
  readonly all?: true;
}

export function addLs(program: Command, terminal: Terminal): void {
  addCommand(program, {
    name: 'ls',
    summary: 'list a directory, or tell about a file',
    notes:
      'To a terminal, control characters in names are shown as \\n or \\x1b; to a pipe or a ' +
      'file names go as they are. JSON has one value a line, with the bytes in hex of a ' +
      'name that is no UTF-8.',
    examples: [
      ['ls work.img', 'names at the root, but for those that begin with a dot'],
      ['ls -l work.img:/src', 'with mode, links, owner, size and time'],
      ['ls -R --json work.img@monday', 'everything in a snapshot, for programs'],
    ],
  })
    .argument('<place>', PLACE_HELP)
    .option('-l, --long', 'mode, links, owner, group, size, time, name')
    .option('-R, --recursive', 'everything below, too')
    .option('-a, --all', 'names that begin with a dot, too')
    .action(async (text: string, options: Options) => {
      const place = parsePlace(text);
      await doing(action('list', place), () =>
        withVolume(place.image, {}, async (volume) => {
          const lister = new Lister(filesOf(volume, place), options, terminal);
          const follow = !options.long || place.path.endsWith('/');
          await lister.list(pathOfPlace(place.path), follow);
        }),
      );
    });
}

class Lister {
  readonly #fs: SyncFs;
  readonly #options: Options;
  readonly #terminal: Terminal;
  #blocks = 0;

  constructor(fs: SyncFs, options: Options, terminal: Terminal) {
    this.#fs = fs;
    this.#options = options;
    this.#terminal = terminal;
  }

  /** Lists a directory; a link to one only if it is to be followed. */
  async list(path: string, follow: boolean): Promise<void> {
    this.#terminal.signal.throwIfAborted();
    const { recursive, json, all } = this.#options;
    const hidden = (name: string): boolean => all !== true && name.startsWith('.');
    const entries = listEntries(this.#fs, path, follow).filter(({ name }) => !hidden(name));
    if (recursive && !json) await this.#title(path);
    await this.#print(entries);
    if (!recursive) return;
    for (const entry of entries) if (entry.stats.isDirectory()) await this.list(entry.path, false);
  }

  async #title(path: string): Promise<void> {
    if (this.#blocks++ > 0) await this.#terminal.line();
    await this.#terminal.line(`${this.#name(path)}:`);
  }

  async #print(entries: readonly Entry[]): Promise<void> {
    const { json, long } = this.#options;
    const terminal = this.#terminal;
    if (json) for (const entry of entries) await terminal.json(entryJson(entry));
    else if (long) await this.#printLong(entries);
    else for (const entry of entries) await terminal.raw(this.#painted(entry));
  }

  async #printLong(entries: readonly Entry[]): Promise<void> {
    const rows = entries.map(({ stats }) => [
      modeText(stats),
      String(stats.nlink),
      String(stats.uid),
      String(stats.gid),
      formatSize(Number(stats.size)),
      minuteText(stats.mtime),
    ]);
    const widths = rows[0]?.map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)));
    for (const [index, entry] of entries.entries()) {
      const cells = rows[index]?.map((cell, at) =>
        at === 0 ? cell : cell.padStart(widths?.[at] ?? 0),
      );
      const link = entry.target === undefined ? '' : ` -> ${this.#name(entry.target)}`;
      await this.#terminal.raw(`${cells?.join(' ')} ${this.#painted(entry)}${link}`);
    }
  }

  #painted(entry: Entry): string {
    return painterOf(entry, this.#terminal.paint)(this.#name(entry.name));
  }

  /** A name as it goes out, a binary string. */
  #name(binary: string): string {
    if (!this.#terminal.isTTY) return binary;
    return Buffer.from(shownName(binary), 'utf8').toString('latin1');
  }
}

function painterOf({ stats }: Entry, paint: Paint): (text: string) => string {
  if (stats.isDirectory()) return paint.blue;
  if (stats.isSymbolicLink()) return paint.cyan;
  if (stats.isFile()) return (Number(stats.mode) & 0o111) === 0 ? String : paint.green;
  return paint.yellow;
}
