/** Names come and go. As all changes they are durable with the next sync, and not before. */
import { FilesystemError, type Plan, PlannedOperation, utf8 } from 'ramet/base';
import { Truncate } from 'ramet/iomap';
import type { LogFile } from './file.ts';
import { KEPT_BLOCKS, type LogFilesystem } from './filesystem.ts';
import { NAME_MAX, SLOTS_PER_BLOCK, TABLES_MAX } from './format.ts';

/** An inode and a table. */
const CREATE_COST = 2;

/** Makes an empty file. */
export class Create extends PlannedOperation<LogFile> {
  readonly #fs: LogFilesystem;
  readonly #name: string;

  /** @throws {FilesystemError} `ENAMETOOLONG`, or `EINVAL` for no name at all */
  constructor(fs: LogFilesystem, name: string) {
    super();
    this.#fs = fs;
    this.#name = name;
    const { length } = utf8(name);
    if (length > NAME_MAX) {
      const finding = `the name has ${length} bytes, at most ${NAME_MAX}`;
      throw new FilesystemError('ENAMETOOLONG', `Cannot create a file: ${finding}`);
    }
    if (length === 0) throw new FilesystemError('EINVAL', 'Cannot create a file without a name');
  }

  /** @throws {FilesystemError} `EEXIST`, `ENOSPC`, `EIO` after a failed sync */
  protected override prepare(plan: Plan): void {
    const [fs, name] = [this.#fs, this.#name];
    if (fs.names.has(name)) {
      throw new FilesystemError('EEXIST', `Cannot create ${name}: the name is taken`);
    }
    if (fs.nextId() >= TABLES_MAX * SLOTS_PER_BLOCK) {
      throw new FilesystemError('ENOSPC', `Cannot create ${name}: ${fs.names.size} files exist`);
    }
    fs.room(KEPT_BLOCKS + CREATE_COST, plan);
  }

  protected override apply(): boolean {
    const file = this.#fs.add(this.#fs.nextId(), this.#name);
    this.#fs.touch(file);
    return this.finish(file);
  }
}

/** Gives all blocks of a file back, and then its name. */
export class Remove extends Truncate {
  /** @throws {FilesystemError} `ENOENT` */
  constructor(fs: LogFilesystem, name: string) {
    const file = fs.open(name);
    super(file, 0, () => fs.forget(file));
  }
}
