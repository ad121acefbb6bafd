/**
 * Shutting down: FS_IOC_SHUTDOWN, which ext4 and XFS have for tests of crashes. What is asked for
 * is made durable, and from then on the volume is to this mount as after a power cut: nothing is
 * written any more, not at the end either, and every request fails. The next mount finds what was
 * durable.
 *
 * The number of the request says that its word comes out, though it goes in: the kernel does not
 * bring it, so it is looked for in the memory of whoever asks. A number of ours brings it.
 */
import { type Procedure, run } from '../../api/node/index.ts';
import { FilesystemError } from '../../base/index.ts';
import { ShutDownFlag } from '../constants.ts';
import type { Message } from '../message.ts';
import type { Served } from '../served.ts';
import { IOCTL_IN } from '../wire.ts';
import { begin, end, input } from './ioctl-data.ts';

export function* shutDown(served: Served, message: Message): Procedure<number> {
  if (message.uid !== 0) {
    throw new FilesystemError('EPERM', 'Cannot shut down: only the superuser may');
  }
  const what = whatIsFlushed(served, message);
  const { store } = served.engine;
  if (!served.readOnly) {
    if (what === ShutDownFlag.DEFAULT) yield* run(store.commit());
    else if (what === ShutDownFlag.LOG_FLUSH) yield* run(store.flushLog());
  }
  served.shutDown();
  begin(message);
  return served.answerAfter(message, end(message, 0), {
    names: [],
    nodes: served.nodes.numbers(),
  });
}

/**
 * Where the word cannot be had, as much as there is.
 *
 * @throws {FilesystemError} `EINVAL`
 */
function whatIsFlushed({ options }: Served, message: Message): number {
  const { at } = IOCTL_IN;
  const isThere = message.u32(at.in_size) > 0;
  const word = isThere ? input(message, 4)(0) : options.wordOf?.(message.pid, message.u64(at.arg));
  const flag = word ?? ShutDownFlag.DEFAULT;
  if (flag <= ShutDownFlag.NO_LOG_FLUSH) return flag;
  throw new FilesystemError('EINVAL', `Cannot shut down with flags ${flag}`);
}
