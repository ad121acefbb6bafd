/**
 * Flags of inodes: what chattr(1) sets. IMMUTABLE and APPEND keep an inode as it is; every change
 * looks at them ({@link checkMutable}), and only this one can take them away. INPLACE changes
 * nothing of what is there: blocks keep the checksums that they have until they are overwritten.
 */
import { FilesystemError, type Plan } from '../base/index.ts';
import {
  Incompatible,
  InodeFlag,
  InodeKind,
  SETTABLE_FLAGS,
  type SetFlagsMutation,
} from '../format/index.ts';
import type { Engine } from './engine.ts';
import { checkMutable, checkWritable, GUARDS, Mutate, markGuardsBelow } from './mutate.ts';
import { unsettle } from './overwrite.ts';
import { checkUnpinned } from './pin.ts';
import type { Vnode } from './vnode.ts';

/** Kinds of inodes that have the flag INPLACE. */
const POLICED: readonly InodeKind[] = [InodeKind.FILE, InodeKind.DIRECTORY];

export class SetFlags extends Mutate<void> {
  readonly #record: SetFlagsMutation;
  readonly #target: Vnode;

  constructor(engine: Engine, record: SetFlagsMutation) {
    // What keeps others from being deleted can go when the volume is full.
    super(engine, record, (record.flags & GUARDS) === 0 ? 'delete' : 'normal');
    this.#record = record;
    this.#target = engine.vnode(record.target);
    if ((record.flags & ~SETTABLE_FLAGS) !== 0) {
      throw new FilesystemError('ENOTSUP', `Cannot set flags 0x${record.flags.toString(16)}`);
    }
  }

  protected override look(plan: Plan): boolean {
    const target = this.#target;
    const { flags, project } = this.#record;
    checkWritable(target);
    // As long as it stays immutable nothing else of it is changed.
    const others = (target.flags & SETTABLE_FLAGS) !== flags || target.project !== project;
    if ((flags & InodeFlag.IMMUTABLE) !== 0 && others) {
      checkMutable(this.engine, target, InodeFlag.IMMUTABLE);
    }
    if (this.#policyChanges) checkUnpinned(target);
    if (this.#policyChanges && !POLICED.includes(target.kind)) {
      const finding = 'it is neither a file nor a directory';
      throw new FilesystemError('EINVAL', `Cannot have it overwritten in place: ${finding}`);
    }
    return this.engine.inodes.planClaim(target, plan);
  }

  get #policyChanges(): boolean {
    return ((this.#target.flags ^ this.#record.flags) & InodeFlag.INPLACE) !== 0;
  }

  protected override change(): void {
    const { inodes, store } = this.engine;
    const policyChanges = this.#policyChanges;
    const target = this.#target;
    const { flags, project, time } = this.#record;
    inodes.claim(target);
    target.flags = ((target.flags & ~SETTABLE_FLAGS) | flags) >>> 0;
    target.project = project;
    target.ctime = time;
    target.change++;
    inodes.touch(target);
    if (target.has(InodeFlag.INPLACE)) store.require(Incompatible.INPLACE);
    // Without the flag nobody has kept account of what the log was told.
    if (policyChanges) unsettle(store, target, 0);
    if ((flags & GUARDS) !== 0 && !target.unlinked) {
      markGuardsBelow(this.engine, target.isDirectory ? target : target.parent);
    }
  }
}
