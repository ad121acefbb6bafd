import { expect, it } from 'vitest';
import { struct, TestKernel } from '../../test/fuse/kernel.ts';
import { Opcode } from './constants.ts';
import { PENDING, PRUNE_AT, PRUNE_COUNT, SHARED_WORDS, Upkeep } from './upkeep.ts';
import { READ_IN } from './wire.ts';

const ROOT = 1;

/** A volume whose time is told, and what the other thread would see. */
function rig(): {
  kernel: TestKernel;
  shared: Int32Array;
  /** A request at a time, of a user or of the other thread. */
  at: (ms: number, quiet: boolean, request?: () => void) => void;
  pending: () => number;
  txg: () => number;
} {
  const kernel = TestKernel.start();
  const { engine, driver } = kernel.rig;
  driver.run(engine.commit());
  let time = 0;
  const { served } = kernel.session;
  const shared = new Int32Array(new SharedArrayBuffer(4 * SHARED_WORDS));
  const upkeep = new Upkeep({ engine, driver, served, nodeLimit: 100, shared, now: () => time });
  return {
    kernel,
    shared,
    at: (ms, quiet, request) => {
      time = ms;
      request?.();
      upkeep.after(quiet);
    },
    pending: () => Atomics.load(shared, PENDING),
    txg: () => engine.store.txg,
  };
}

it('commits what was changed half a second after the last request', () => {
  const { kernel, at, pending, txg } = rig();
  const before = txg();
  at(1000, false);
  expect(pending()).toBe(0);
  at(1100, false, () => kernel.create(ROOT, 'a'));
  expect(pending()).toBe(1);
  // What the other thread asks for is not a reason to wait longer.
  at(1300, true);
  at(1500, true);
  expect([txg(), pending()]).toEqual([before, 1]);
  at(1600, true);
  expect(txg()).toBe(before + 1);
  expect(kernel.rig.engine.hasChanges).toBe(false);
});

it('commits every five seconds while more is asked for', () => {
  const { kernel, at, txg } = rig();
  const before = txg();
  for (let ms = 0; ms < 20_000; ms += 10) {
    at(ms, false, () => kernel.create(ROOT, `f${ms}`));
  }
  expect(txg() - before).toBe(3);
});

it('works off what removing has left, and is done then', () => {
  const { kernel, at, pending } = rig();
  const { nodeid } = kernel.create(ROOT, 'a');
  for (let i = 0; i < 8; i++) kernel.write(nodeid, i << 20, new Uint8Array(1 << 20).fill(1));
  kernel.rig.driver.run(kernel.rig.engine.commit());
  at(0, false, () => {
    kernel.ok(Opcode.UNLINK, ROOT, 'a');
    kernel.forget(nodeid, 1);
  });
  let ms = 0;
  for (; pending() !== 0 && ms < 10_000; ms += 200) at(ms, true);
  expect(kernel.rig.engine.reclaim()).toBeUndefined();
  expect(kernel.rig.engine.hasChanges).toBe(false);
  expect(ms).toBeLessThan(3000);
});

it('has nothing to do for whoever only reads', () => {
  const { kernel, at, pending, txg } = rig();
  const before = txg();
  for (let ms = 0; ms < 10_000; ms += 100) {
    at(ms, false, () => kernel.ok(Opcode.READDIR, ROOT, struct(READ_IN, { size: 4096 })));
    expect(pending()).toBe(0);
  }
  expect(txg()).toBe(before);
});

it('has the kernel asked to forget what it has known longest, when it knows too much', () => {
  const { kernel, at, shared } = rig();
  const nodes = Array.from({ length: 100 }, (_, i) => kernel.create(ROOT, `f${i}`).nodeid);
  at(0, true);
  expect(shared[PRUNE_COUNT]).toBe(0);
  for (let i = 100; i < 130; i++) nodes.push(kernel.create(ROOT, `f${i}`).nodeid);
  at(1, true);
  const asked = (): number[] => [...shared.subarray(PRUNE_AT, PRUNE_AT + 30)];
  expect([shared[PRUNE_COUNT], asked()]).toEqual([30, nodes.slice(0, 30)]);
  // Until it was asked there is no other question; then about others, and about all in turn.
  at(2, true);
  expect(asked()).toEqual(nodes.slice(0, 30));
  const seen = new Set<number>();
  for (let i = 0; i < 8; i++) {
    for (const node of shared.subarray(PRUNE_AT, PRUNE_AT + (shared[PRUNE_COUNT] ?? 0))) {
      seen.add(node);
    }
    shared[PRUNE_COUNT] = 0;
    at(3 + i, true);
  }
  expect(seen.size).toBe(130);
});
