import { describe, expect, it } from 'vitest';
import { seeded } from '../../test/volume/seeds.ts';
import { type Lock, LockTable, LockType } from './lock-table.ts';

const NODE = 5;
const { READ, WRITE, UNLOCK } = LockType;

function lock(owner: number, type: number, start = 0, end = Number.MAX_SAFE_INTEGER): Lock {
  return { owner: [owner, 0], flock: false, type, start, end, pid: owner };
}

function table(): { table: LockTable; granted: number[] } {
  const granted: number[] = [];
  return { table: new LockTable(([low]) => granted.push(low)), granted };
}

seeded('ranges are whose a model of bytes says they are', { count: 20 }, (random) => {
  const { table: locks } = table();
  const BYTES = 24;
  const OWNERS = 3;
  const model = Array.from({ length: OWNERS }, () => new Array<number>(BYTES).fill(UNLOCK));
  for (let i = 0; i < 300; i++) {
    const owner = random.below(OWNERS);
    const type = random.pick([READ, READ, WRITE, UNLOCK]);
    const start = random.below(BYTES);
    const end = Math.min(BYTES - 1, start + random.below(BYTES));
    const inTheWay = model.some(
      (bytes, other) =>
        other !== owner &&
        type !== UNLOCK &&
        bytes
          .slice(start, end + 1)
          .some((held) => held !== UNLOCK && (held === WRITE || type === WRITE)),
    );
    const wanted = lock(owner, type, start, end);
    expect(locks.conflict(NODE, wanted) !== undefined && type !== UNLOCK).toBe(inTheWay);
    expect(locks.set(NODE, wanted)).toBe(!inTheWay);
    if (!inTheWay) model[owner]?.fill(type, start, end + 1);
  }
});

describe('LockTable', () => {
  it('keeps the two kinds apart, and both halves of an owner', () => {
    const { table: locks } = table();
    expect(locks.set(NODE, lock(1, WRITE))).toBe(true);
    expect(locks.set(NODE, { ...lock(2, WRITE), flock: true })).toBe(true);
    expect(locks.set(NODE, { ...lock(1, WRITE), owner: [1, 1] })).toBe(false);
    expect(locks.set(NODE + 1, lock(2, WRITE))).toBe(true);
    locks.drop(NODE, [1, 0], true);
    expect(locks.set(NODE, lock(3, READ))).toBe(false);
    locks.drop(NODE, [1, 0], false);
    expect(locks.set(NODE, lock(3, READ))).toBe(true);
  });

  it('gives those who wait their locks in order, as many as can have them', () => {
    const { table: locks, granted } = table();
    locks.set(NODE, lock(1, WRITE));
    locks.wait(NODE, lock(2, READ), [20, 0]);
    locks.wait(NODE, lock(3, WRITE, 50, 60), [30, 0]);
    locks.wait(NODE, lock(4, READ), [40, 0]);
    locks.set(NODE, lock(1, READ));
    expect(granted).toEqual([20, 40]);
    locks.set(NODE, lock(1, UNLOCK));
    locks.drop(NODE, [2, 0], false);
    expect(granted).toEqual([20, 40]);
    locks.set(NODE, lock(4, UNLOCK, 50, 60));
    expect(granted).toEqual([20, 40, 30]);
  });

  it('forgets who gives up, once', () => {
    const { table: locks, granted } = table();
    locks.set(NODE, lock(1, WRITE));
    locks.wait(NODE, lock(2, WRITE), [20, 0]);
    expect(locks.giveUp([20, 1])).toBe(false);
    expect(locks.giveUp([20, 0])).toBe(true);
    expect(locks.giveUp([20, 0])).toBe(false);
    locks.set(NODE, lock(1, UNLOCK));
    expect(granted).toEqual([]);
    expect(locks.set(NODE, lock(3, WRITE))).toBe(true);
  });
});
