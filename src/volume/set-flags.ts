/**
 * Flags of inodes: what chattr(1) sets. IMMUTABLE and APPEND keep an inode as it is; every change
 * looks at them ({@link checkMutable}), and only this one can take them away.
 */
import { FilesystemError, type Plan } from '../base/index.ts';
import { InodeFlag, SETTABLE_FLAGS, type SetFlagsMutation } from '../format/index.ts';
import type { Engine } from './engine.ts';
import { checkMutable, checkWritable, GUARDS, Mutate, markGuardsBelow } from './mutate.ts';
import type { Vnode } from './vnode.ts';

export class SetFlags extends Mutate<void> {
  readonly #record: SetFlagsMutation;
  readonly #target: Vnode;

  constructor(engine: Engine, record: SetFlagsMutation) {
    super(engine, record, 'normal');
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
    return this.engine.inodes.planClaim(target, plan);
  }

  protected override change(): void {
    const { inodes } = this.engine;
    const target = this.#target;
    const { flags, project, time } = this.#record;
    inodes.claim(target);
    target.flags = ((target.flags & ~SETTABLE_FLAGS) | flags) >>> 0;
    target.project = project;
    target.ctime = time;
    target.change++;
    inodes.touch(target);
    if ((flags & GUARDS) !== 0 && !target.unlinked) {
      markGuardsBelow(this.engine, target.isDirectory ? target : target.parent);
    }
  }
}
