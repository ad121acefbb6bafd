/**
 * realpath, in Node's two ways: its own, which walks link by link and takes `..` by the text of the
 * path, and the system's, which walks as every other call does.
 */
import { binaryString, textFromBinary } from '../../base/index.ts';
import { InodeFlag, InodeKind } from '../../format/index.ts';
import { readTarget, type Vnode } from '../../volume/index.ts';
import { type Context, holding } from '../context.ts';
import { decodeName, encodingOf } from '../encoding.ts';
import { within } from '../errors.ts';
import { normalize, type PathArgument, pathBytes, resolve } from '../path.ts';
import { type Procedure, run } from '../procedure.ts';

/** The path without links, `.` and `..`. */
export function* realpathNative(
  context: Context,
  path: PathArgument,
  options?: unknown,
): Procedure<string | Uint8Array> {
  const encoding = encodingOf(options);
  const vnode = yield* resolve(context.walk(true), pathBytes(path));
  vnode.holds--;
  const names: string[] = [];
  let at: Vnode | undefined = vnode;
  if (vnode.has(InodeFlag.LINKED)) {
    names.unshift(vnode.name);
    at = vnode.namedIn;
  }
  for (; at !== undefined && at !== context.root; at = at.parent) names.unshift(at.name);
  return decodeName(`/${names.join('/')}`, encoding);
}

/** The same; an error names the part of the path that it came from. */
export function* realpath(
  context: Context,
  path: PathArgument,
  options?: unknown,
): Procedure<string | Uint8Array> {
  const encoding = encodingOf(options);
  let names = normalize(pathBytes(path)).split('/').slice(1);
  let base = '';
  for (let i = 0; i < names.length && names[0] !== ''; i++) {
    const next = `${base}/${names[i]}`;
    const target = yield* linkTarget(context, next);
    if (target === undefined) {
      base = next;
      continue;
    }
    const rest = names.slice(i + 1);
    const start = target.startsWith('/') ? target : `${base}/${target}`;
    names = normalize([start, ...rest].join('/'))
      .split('/')
      .slice(1);
    base = '';
    i = -1;
  }
  return decodeName(base === '' ? '/' : base, encoding);
}

/** Where a symbolic link leads, which must be somewhere; undefined if it is none. */
function* linkTarget(context: Context, path: string): Procedure<string | undefined> {
  const shown = textFromBinary(path);
  const vnode = yield* within(
    { syscall: 'lstat', path: shown },
    resolve(context.walk(false), path),
  );
  return yield* holding(vnode, function* () {
    if (vnode.kind !== InodeKind.SYMLINK) return undefined;
    const end = yield* within({ syscall: 'stat', path: shown }, resolve(context.walk(true), path));
    end.holds--;
    return binaryString(yield* run(readTarget(context.engine, vnode)));
  });
}
