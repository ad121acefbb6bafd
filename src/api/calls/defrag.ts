/**
 * Defragment: files whose data lies in many short extents get it in few long ones.
 */
import { BLOCK_SIZE, FilesystemError } from '../../base/index.ts';
import { InodeKind } from '../../format/index.ts';
import { Defragment, Writeback } from '../../iomap/index.ts';
import { type Engine, lookup, type Vnode } from '../../volume/index.ts';
import type { Context } from '../context.ts';
import { holding } from '../context.ts';
import { hasCode } from '../errors.ts';
import { type PathArgument, pathBytes, resolve } from '../path.ts';
import { type Procedure, run } from '../procedure.ts';
import { readExtents } from '../reports.ts';
import { list } from './directories.ts';

export interface DefragReport {
  /** Files that were looked at, and those of them with data that was moved. */
  readonly files: number;
  readonly changed: number;
  /** Bytes that were moved. */
  readonly moved: number;
  /** Extents of all files, before and after. */
  readonly before: number;
  readonly after: number;
}

type Sums = { -readonly [Key in keyof DefragReport]: DefragReport[Key] };

/** Defragments a file, or everything below a directory. */
export function* defragment(
  context: Context,
  path: PathArgument,
  each: (report: DefragReport) => void,
): Procedure<DefragReport> {
  const sums: Sums = { files: 0, changed: 0, moved: 0, before: 0, after: 0 };
  const top = yield* resolve(context.walk(true), pathBytes(path));
  if (top.isDirectory) yield* defragmentTree(context, top, sums, each);
  else yield* holding(top, () => defragmentFile(context, top, sums));
  return sums;
}

/** Takes over the hold of `top`. Of a file with several names the first one counts. */
function* defragmentTree(
  context: Context,
  top: Vnode,
  sums: Sums,
  each: (report: DefragReport) => void,
): Procedure<void> {
  const directories = [top];
  const linked = new Set<string>();
  try {
    for (let at = directories.pop(); at !== undefined; at = directories.pop()) {
      const directory = at;
      yield* holding(directory, function* () {
        for (const { name, kind } of yield* list(context, directory)) {
          if (kind !== InodeKind.FILE && kind !== InodeKind.DIRECTORY) continue;
          const child = yield* ifThere(run(lookup(context.engine, directory, name)));
          if (child === undefined) continue;
          if (child.isDirectory) directories.push(child);
          else if (isFirst(child, linked)) {
            yield* holding(child, () => ifThere(defragmentFile(context, child, sums)));
            each(sums);
          } else child.holds--;
        }
      });
    }
  } finally {
    for (const directory of directories) directory.holds--;
  }
}

function isFirst({ nlink, realm, ino }: Vnode, linked: Set<string>): boolean {
  if (nlink === 1) return true;
  const identity = `${realm.id}.${ino}`;
  if (linked.has(identity)) return false;
  linked.add(identity);
  return true;
}

/** What was removed meanwhile needs nothing. */
function* ifThere<Result>(procedure: Procedure<Result>): Procedure<Result | undefined> {
  try {
    return yield* procedure;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

function* defragmentFile({ engine }: Context, vnode: Vnode, sums: Sums): Procedure<void> {
  if (vnode.kind !== InodeKind.FILE) {
    throw new FilesystemError('EINVAL', 'Cannot defragment what is neither file nor directory');
  }
  sums.files++;
  const before = yield* countExtents(engine, vnode);
  let after = before;
  // The blocks of a file that is pinned stay where they are.
  const moves = before > 1 && !vnode.pinned;
  const blocks = moves ? yield* run(new Defragment(vnode)) : 0;
  if (blocks > 0) {
    yield* run(new Writeback(engine.pool, { only: (file) => file === vnode }));
    after = yield* countExtents(engine, vnode);
    sums.changed++;
    sums.moved += blocks * BLOCK_SIZE;
  }
  sums.before += before;
  sums.after += after;
}

function* countExtents(engine: Engine, vnode: Vnode): Procedure<number> {
  const extents = yield* readExtents(engine, vnode);
  return extents.filter(({ type }) => type === 'data').length;
}
