/**
 * Far diff: a comparison where the engine is, asked for its differences batch by batch.
 */
import type { Change, Locator, LongOptions } from '../../api/index.ts';
import type { ChangeBatch } from '../control/calls.ts';
import { FrameFlag } from '../control/frame.ts';
import type { PortLine } from './port-line.ts';

const SETTLED = { flags: FrameFlag.SETTLE } as const;

export async function* diffLater(
  line: PortLine,
  left: Locator,
  right: Locator,
  { signal }: LongOptions = {},
): AsyncGenerator<Change> {
  const handle = await line.call('diff', [left, right], { ...SETTLED, signal });
  try {
    for (;;) {
      const batch = await line.call('nextChanges', [handle], { signal });
      const { changes, done } = batch as ChangeBatch;
      yield* changes;
      if (done) return;
    }
  } finally {
    line.tell('endDiff', [handle]);
  }
}

export function* diffNow(line: PortLine, left: Locator, right: Locator): Generator<Change> {
  const handle = line.callSync('diff', [left, right], SETTLED);
  try {
    for (;;) {
      const { changes, done } = line.callSync('nextChanges', [handle]) as ChangeBatch;
      yield* changes;
      if (done) return;
    }
  } finally {
    line.tell('endDiff', [handle]);
  }
}
