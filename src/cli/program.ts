/**
 * Program: the commands together, and how each of them ends.
 *
 * Exit status: 0 done, 1 it could not be done, 2 the command line is wrong, 130 and 143
 * interrupted; `check` has fsck's. What went wrong is one line on standard error, or with --json
 * one value there.
 */
import { Command, CommanderError } from 'commander';
import manifest from '../../package.json' with { type: 'json' };
import { addBench } from './commands/bench.ts';
import { addCat } from './commands/cat.ts';
import { addCheck } from './commands/check.ts';
import { addClone } from './commands/clone.ts';
import { addCreate } from './commands/create.ts';
import { addDefrag } from './commands/defrag.ts';
import { addDemo } from './commands/demo.ts';
import { addDiff } from './commands/diff.ts';
import { addDump } from './commands/dump.ts';
import { addExport } from './commands/export.ts';
import { addExtents } from './commands/extents.ts';
import { addImport } from './commands/import.ts';
import { addInfo } from './commands/info.ts';
import { addInstallMountHelper } from './commands/install-mount-helper.ts';
import { addLs } from './commands/ls.ts';
import { addMkdir } from './commands/mkdir.ts';
import { addMount } from './commands/mount.ts';
import { addMv } from './commands/mv.ts';
import { addPut } from './commands/put.ts';
import { addResize } from './commands/resize.ts';
import { addRm } from './commands/rm.ts';
import { addScrub } from './commands/scrub.ts';
import { addSnapshot } from './commands/snapshot.ts';
import { addSpace } from './commands/space.ts';
import { addTop } from './commands/top.ts';
import { addTrace } from './commands/trace.ts';
import { addTrim } from './commands/trim.ts';
import { addUmount } from './commands/umount.ts';
import { explain, Fault, Status } from './faults.ts';
import type { Terminal } from './terminal.ts';

/** In the order in which somebody meets them. */
const COMMANDS = [
  addCreate,
  addImport,
  addExport,
  addLs,
  addCat,
  addPut,
  addMkdir,
  addMv,
  addRm,
  addClone,
  addSnapshot,
  addDiff,
  addSpace,
  addExtents,
  addTrace,
  addMount,
  addUmount,
  addInstallMountHelper,
  addTop,
  addInfo,
  addResize,
  addTrim,
  addCheck,
  addScrub,
  addDefrag,
  addDump,
  addBench,
  addDemo,
];

const OVERVIEW = `
Places: IMG:/path is a path in an image, IMG@SNAPSHOT:/path one in a snapshot, IMG the root.
Sizes:  64k, 1.5M, 10GiB; units are powers of 1024.

Examples:
  ramet create work.img                   make an image
  ramet import node_modules work.img:/m   copy a directory into it
  ramet clone work.img:/m /m-2            clone it in an instant
  ramet diff work.img:/m /m-2             tell what differs

ramet help COMMAND tells more about one.`;

/** Runs one command line, without `node` and the script, and answers the exit status. */
export async function runProgram(args: readonly string[], terminal: Terminal): Promise<number> {
  const help: string[] = [];
  const program = new Command('ramet')
    .description('A copy-on-write filesystem in one image file')
    .version(manifest.version, '-v, --version')
    .addHelpText('after', OVERVIEW)
    .configureOutput({ writeOut: (text) => help.push(text), writeErr: () => {} })
    .configureHelp({ helpWidth: Math.min(terminal.columns, 100) })
    .exitOverride();
  for (const add of COMMANDS) add(program, terminal);
  try {
    await program.parseAsync(args.length === 0 ? ['help'] : args, { from: 'user' });
    await terminal.flush();
    return terminal.status;
  } catch (error) {
    const helped = error instanceof CommanderError && error.exitCode === 0;
    if (helped) await terminal.line(help.join('').trimEnd());
    await terminal.flush();
    return helped ? 0 : fail(error, args, terminal);
  }
}

/** Tells what ended a command. */
function fail(error: unknown, args: readonly string[], terminal: Terminal): number {
  const known = error instanceof CommanderError ? usage(error, args) : explain('run', error);
  if (!(known instanceof Fault)) {
    terminal.fail(`This is a bug in ramet. ${known instanceof Error ? known.stack : known}`);
    return Status.FAILED;
  }
  const { message, code, status } = known;
  if (args.includes('--json')) terminal.note(JSON.stringify({ error: { message, code, status } }));
  else terminal.fail(code === undefined ? message : `${message} (${code})`);
  return status;
}

/** What commander says of a wrong command line, as a fault. */
function usage({ message, code }: CommanderError, args: readonly string[]): Fault {
  const found = message.replace(/^error: /u, '').replace(/\.?\n.*$/su, '');
  const [name = '-'] = args;
  const known = !name.startsWith('-') && code !== 'commander.unknownCommand';
  const help = known ? `ramet help ${name}` : 'ramet help';
  return new Fault(`Cannot understand the command line: ${found}; see ${help}`, {
    status: Status.USAGE,
  });
}
