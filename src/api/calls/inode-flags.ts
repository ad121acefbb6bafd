/**
 * Calls on the flags of inodes, those that chattr(1) sets.
 */
import { InodeFlag, SETTABLE_FLAGS } from '../../format/index.ts';
import type { Vnode } from '../../volume/index.ts';
import { type Context, holding } from '../context.ts';
import { checkFlag } from '../errors.ts';
import { type PathArgument, pathBytes, resolve } from '../path.ts';
import { type Procedure, run } from '../procedure.ts';

export interface InodeFlags {
  /** Nothing of it can be changed: neither data, names in it, attributes, nor its own names. */
  readonly immutable: boolean;
  /** Data is only appended, and names only added; it is neither removed nor renamed. */
  readonly appendOnly: boolean;
  /** For backups. What is made in such a directory has it too. */
  readonly noDump: boolean;
  /** Times of access stay as they are, on a mount; inherited likewise. */
  readonly noAtime: boolean;
}

const BITS: Readonly<Record<keyof InodeFlags, number>> = {
  immutable: InodeFlag.IMMUTABLE,
  appendOnly: InodeFlag.APPEND,
  noDump: InodeFlag.NODUMP,
  noAtime: InodeFlag.NOATIME,
};

export function* readFlags(context: Context, path: PathArgument): Procedure<InodeFlags> {
  const vnode = yield* resolve(context.walk(true), pathBytes(path));
  vnode.holds--;
  const flags = Object.entries(BITS).map(([name, bit]) => [name, vnode.has(bit)]);
  return Object.fromEntries(flags) as InodeFlags;
}

export function* changeFlags(
  context: Context,
  path: PathArgument,
  change: Partial<InodeFlags>,
): Procedure<void> {
  const names = Object.keys(BITS) as (keyof InodeFlags)[];
  const given = names.filter((name) => change[name] !== undefined);
  const wanted = given.map((name) => checkFlag(`flags.${name}`, change[name]));
  const vnode = yield* resolve(context.walk(true), pathBytes(path));
  let [mask, flags] = [0, 0];
  given.forEach((name, i) => {
    mask |= BITS[name];
    if (wanted[i]) flags |= BITS[name];
  });
  yield* holding(vnode, () => changeBits(context, vnode, mask, flags));
}

/** Sets the flags that `mask` names to what they are in `flags`; others stay. */
export function* changeBits(
  context: Context,
  vnode: Vnode,
  mask: number,
  flags: number,
): Procedure<void> {
  const kept = vnode.flags & SETTABLE_FLAGS & ~mask;
  yield* setFlags(context, vnode, kept | flags, vnode.project);
}

/** Says which flags of {@link SETTABLE_FLAGS} an inode has, and its project. */
export function* setFlags(
  { engine, time }: Pick<Context, 'engine' | 'time'>,
  vnode: Vnode,
  flags: number,
  project: number,
): Procedure<void> {
  yield* run(engine.apply({ type: 'setflags', target: vnode.id, flags, project, time }));
}
