import { describe, expect, it } from 'vitest';
import { MIB, type Txg } from '../base/index.ts';
import { type Mutation, planGeometry, timeFromMs } from '../format/index.ts';
import { IntentLog } from './log.ts';

const record: Mutation = { type: 'truncate', target: 1, size: 0, time: timeFromMs(0) };

function newLog(): IntentLog {
  return new IntentLog(planGeometry({ size: 4 * MIB, logBlocks: 16 }), 0n, 5 as Txg);
}

/** A group that closes; what is told from now on belongs to the next one. */
function close(log: IntentLog, txg: number): void {
  log.close(txg as Txg, (txg + 1) as Txg);
}

describe('IntentLog', () => {
  // J2: after a cut before the root of 5 is durable, the frame would follow the root of 4.
  it('keeps back what follows a group without a frame until its root is durable', () => {
    const log = newLog();
    close(log, 5);
    log.append(record);
    expect([log.canSeal, log.needsClosed]).toEqual([false, true]);
    log.committed(5 as Txg);
    expect([log.canSeal, log.needsClosed]).toEqual([true, false]);
    expect(log.seal().operation).toBe(1);
  });

  it('is used by its frames, up to its size, until the root after them is durable', () => {
    const log = newLog();
    expect([log.used, log.size]).toEqual([0, 15]);
    for (let blocks = 0; ; blocks++) {
      expect(log.used).toBe(blocks);
      log.append(record);
      if (!log.canSeal) break;
      log.seal();
    }
    expect(log.used).toBe(log.size);
    close(log, 5);
    log.committed(5 as Txg);
    expect(log.used).toBe(0);
  });

  it('has what follows a group with a frame in the next one', () => {
    const log = newLog();
    log.append(record);
    close(log, 5);
    log.append(record);
    for (const operation of [1, 2]) {
      expect([log.canSeal, log.needsClosed]).toEqual([true, false]);
      expect(log.seal().operation).toBe(operation);
    }
  });
});
