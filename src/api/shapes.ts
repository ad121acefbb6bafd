/**
 * Shapes: the types of `node:fs` for the calls there are here, so that code written for Node's own
 * module type-checks against a volume's.
 */
import type * as nodeFs from 'node:fs';
import type * as nodePromises from 'node:fs/promises';

export type SyncName =
  | 'accessSync'
  | 'appendFileSync'
  | 'chmodSync'
  | 'chownSync'
  | 'closeSync'
  | 'copyFileSync'
  | 'cpSync'
  | 'existsSync'
  | 'fchmodSync'
  | 'fchownSync'
  | 'fdatasyncSync'
  | 'fstatSync'
  | 'fsyncSync'
  | 'ftruncateSync'
  | 'futimesSync'
  | 'lchownSync'
  | 'linkSync'
  | 'lstatSync'
  | 'lutimesSync'
  | 'mkdirSync'
  | 'mkdtempSync'
  | 'openSync'
  | 'opendirSync'
  | 'readFileSync'
  | 'readSync'
  | 'readdirSync'
  | 'readlinkSync'
  | 'readvSync'
  | 'realpathSync'
  | 'renameSync'
  | 'rmSync'
  | 'rmdirSync'
  | 'statSync'
  | 'statfsSync'
  | 'symlinkSync'
  | 'truncateSync'
  | 'unlinkSync'
  | 'utimesSync'
  | 'writeFileSync'
  | 'writeSync'
  | 'writevSync';

export type PromiseName =
  | 'access'
  | 'appendFile'
  | 'chmod'
  | 'chown'
  | 'copyFile'
  | 'cp'
  | 'lchown'
  | 'link'
  | 'lstat'
  | 'lutimes'
  | 'mkdir'
  | 'mkdtemp'
  | 'open'
  | 'opendir'
  | 'readFile'
  | 'readdir'
  | 'readlink'
  | 'realpath'
  | 'rename'
  | 'rm'
  | 'rmdir'
  | 'stat'
  | 'statfs'
  | 'symlink'
  | 'truncate'
  | 'unlink'
  | 'utimes'
  | 'writeFile';

/** `vol.fs.promises`, shaped as `node:fs/promises`. */
export type PromisesFs = Pick<typeof nodePromises, PromiseName> & {
  readonly constants: Record<string, number>;
};

/** `vol.fs`, shaped as the synchronous part of `node:fs`. */
export type SyncFs = Pick<typeof nodeFs, SyncName> & {
  readonly promises: PromisesFs;
  readonly constants: Record<string, number>;
};
