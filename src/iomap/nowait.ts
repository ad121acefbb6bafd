/**
 * Nowait: an operation that is done now or not at all.
 */
import { FilesystemError, type Operation } from '../base/index.ts';

/**
 * Runs an operation as far as it comes without waiting, and ends it there: the meaning of Linux's
 * NOWAIT. Returns its result; a read or a write that has come to a part of its range returns that.
 * No transfer is made, and nothing is held afterwards.
 *
 * @throws {FilesystemError} `EAGAIN` if it would have to wait before it has done anything
 */
export function attempt<Result>(operation: Operation<Result>): Result {
  if (!operation.step()) {
    const { io, after } = operation.plan;
    const finding = `${io.length} transfers and ${after.length} operations come first`;
    operation.fail(new FilesystemError('EAGAIN', `Cannot finish without waiting: ${finding}`));
  }
  return operation.result;
}
