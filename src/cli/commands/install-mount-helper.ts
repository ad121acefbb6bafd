/** ramet install-mount-helper: makes mount(8) and fstab know volumes. */
import { readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { errorCode } from '../../base/index.ts';
import { addCommand, type CommonOptions } from '../command.ts';
import { doing, Fault, usageFault } from '../faults.ts';
import type { Terminal } from '../terminal.ts';

interface Options extends CommonOptions {
  readonly path: string;
  readonly remove?: true;
}

/** Where mount(8) looks for who mounts things of the type `fuse.ramet`. */
const PATH = '/sbin/mount.fuse.ramet';
const MARK = '# ramet mount helper';

export function addInstallMountHelper(program: Command, terminal: Terminal): void {
  addCommand(program, {
    name: 'install-mount-helper',
    summary: 'let mount(8) and fstab mount volumes',
    notes:
      'Writes a small script that mount(8) calls for the type fuse.ramet. It names the node and ' +
      'the ramet that are running now: install it again when either has moved.',
    examples: [
      ['install-mount-helper', 'then: mount -t fuse.ramet work.img /mnt/vol -o noatime'],
      ['install-mount-helper --remove', 'take it away again'],
    ],
  })
    .option('--path <file>', 'where to write it', PATH)
    .option('--remove', 'remove it')
    .action(async ({ path, remove, json }: Options) => {
      const verb = remove ? 'remove' : 'install';
      await doing(`${verb} the mount helper ${path}`, () => {
        if (remove) removeHelper(path);
        else install(path);
      });
      if (json) await terminal.json({ [remove ? 'removed' : 'installed']: path });
      else await terminal.line(`${path} is ${remove ? 'removed' : 'installed'}`);
    });
}

function install(path: string): void {
  const main = process.argv[1];
  if (main === undefined) throw usageFault('Cannot install a mount helper: there is no program');
  checkOurs(path);
  const temporary = `${path}.new`;
  writeFileSync(temporary, script(process.execPath, realpathSync(main)), { mode: 0o755 });
  renameSync(temporary, path);
}

function removeHelper(path: string): void {
  if (checkOurs(path)) rmSync(path);
  else throw new Fault(`Cannot remove ${path}: it does not exist`, { code: 'ENOENT' });
}

/** False if there is nothing. @throws {Fault} `EEXIST` if it is somebody else's */
function checkOurs(path: string): boolean {
  try {
    if (readFileSync(path, 'utf8').includes(MARK)) return true;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw error;
  }
  throw new Fault(`Cannot write ${path}: it is something else`, { code: 'EEXIST' });
}

/** mount(8) gives the source and the directory first, then its own switches and `-o`. */
function script(node: string, main: string): string {
  return `#!/bin/sh
${MARK}
image=$1 directory=$2 options=
shift 2
while [ $# -gt 0 ]; do
  case $1 in
    -o) options=$2; shift ;;
    -N | -t) shift ;;
    -f) exit 0 ;;
  esac
  shift
done
exec ${quoted(node)} ${quoted(main)} \\
  mount --background -o "$options" -- "$image" "$directory" > /dev/null
`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
