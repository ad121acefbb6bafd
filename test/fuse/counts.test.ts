/**
 * What a session counts of the requests that it serves, and what a client of the socket is told.
 */
import { describe, expect, it } from 'vitest';
import { MIB } from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { Opcode } from '../../src/fuse/constants.ts';
import { percentile } from '../../src/fuse/index.ts';
import type { RequestTotals } from '../../src/fuse/request-counts.ts';
import { FSYNC_IN, READ_IN } from '../../src/fuse/wire.ts';
import { GatedDevice } from '../iomap/gated-device.ts';
import { makeDriver, mount } from '../volume/rig.ts';
import { DeskRig } from './desk.ts';
import { entryOf, struct, TestKernel } from './kernel.ts';

const ROOT = 1;

/** How many there were of each kind. */
function countsOf({ kinds }: RequestTotals): Record<string, number> {
  return Object.fromEntries(
    kinds.map(({ name, buckets }) => [
      name,
      buckets.reduce((sum, count, i) => sum + (i % 2 === 1 ? count : 0), 0),
    ]),
  );
}

/** The buckets of one kind. */
function spread({ kinds }: RequestTotals, wanted: string): number[] {
  const counts: number[] = [];
  const { buckets } = kinds.find(({ name }) => name === wanted) as { buckets: readonly number[] };
  for (let i = 0; i < buckets.length; i += 2) {
    counts[buckets[i] as number] = buckets[i + 1] as number;
  }
  return Array.from(counts, (count) => count ?? 0);
}

describe('a session', () => {
  it('counts each request once, by its kind, well answered or not', () => {
    const kernel = TestKernel.start();
    const { nodeid } = kernel.create(ROOT, 'f');
    for (let i = 0; i < 3; i++) kernel.getattr(nodeid);
    kernel.ask(Opcode.LOOKUP, ROOT, 'none');
    kernel.ask(Opcode.BMAP, ROOT);
    kernel.ask(99, ROOT);
    kernel.ask(100_000, ROOT);
    kernel.forget(nodeid, 1);
    kernel.send(kernel.request(Opcode.NOTIFY_REPLY, nodeid));
    const bytes = kernel.request(Opcode.GETATTR, ROOT);
    kernel.send(bytes.subarray(0, 8));
    expect(countsOf(kernel.session.counts.read())).toEqual({
      ...{ init: 1, mknod: 1, getattr: 3, lookup: 1, bmap: 1, forget: 1, other: 2 },
    });
  });

  it('counts the bytes that were moved, not those that were asked for', () => {
    const kernel = TestKernel.start();
    const { nodeid } = kernel.create(ROOT, 'f');
    kernel.write(nodeid, 0, 'x'.repeat(5000));
    kernel.write(nodeid, 4990, 'y'.repeat(20));
    kernel.read(nodeid, 0, 65536);
    kernel.read(nodeid, 5000, 65536);
    kernel.read(nodeid, 9000, 10);
    expect(kernel.write(77, 0, 'z').error).toBeLessThan(0);
    expect(kernel.session.counts.read()).toMatchObject({ bytesRead: 5020, bytesWritten: 5020 });
  });

  it('takes the time from a request to its reply', () => {
    let now = 1000;
    const steps = [5, 0.25, 0.25, 0.25];
    let reading = 0;
    // Read twice for each request; time passes between the two.
    const clock = (): number => {
      if (reading++ % 2 === 1) now += steps[(reading >> 1) - 1] as number;
      return now;
    };
    const kernel = new TestKernel({ clock });
    kernel.init();
    for (let i = 0; i < 3; i++) kernel.getattr(ROOT);
    const totals = kernel.session.counts.read();
    expect(totals.kinds.map(({ name, ms }) => [name, ms])).toEqual([
      ['getattr', 0.75],
      ['init', 5],
    ]);
    expect(percentile(spread(totals, 'getattr'), 0.99)).toBeCloseTo(0.26, 2);
    expect(percentile(spread(totals, 'init'), 0.99)).toBeCloseTo(5.12, 2);
  });

  it('tells what was in memory from what had to be loaded', () => {
    const device = new MemoryDevice({ size: 32 * MIB });
    const first = TestKernel.start({ device });
    const { nodeid } = first.create(ROOT, 'f');
    first.write(nodeid, 0, new Uint8Array(8 * 4096).fill(7));
    first.ok(Opcode.FSYNC, nodeid, struct(FSYNC_IN));
    first.ok(Opcode.SYNCFS, ROOT, new Uint8Array(8));
    const kernel = TestKernel.start({ rig: mount(device) });
    const memory = (): number => kernel.session.counts.read().fromMemory;
    const node = kernel.lookup(ROOT, 'f').nodeid;
    let before = memory();
    kernel.read(node, 0, 4096);
    expect(memory()).toBe(before);
    kernel.read(node, 0, 4096);
    expect(memory()).toBe(++before);
  });

  it('times each of those that wait for the device by itself', async () => {
    let now = 0;
    const memory = new MemoryDevice({ size: 32 * MIB });
    const first = TestKernel.start({ device: memory });
    first.write(first.create(ROOT, 'f').nodeid, 0, new Uint8Array(8192).fill(7));
    first.rig.driver.run(first.rig.engine.commit());
    const gate = new GatedDevice(memory);
    const rig = { engine: mount(memory).engine, driver: makeDriver(gate) };
    const kernel = TestKernel.start({ rig, async: true, clock: () => now });
    const lookup = await kernel.flown(kernel.request(Opcode.LOOKUP, ROOT, 'f'));
    const node = entryOf(lookup.body).nodeid;
    gate.shut();
    for (const offset of [0, 4096]) {
      kernel.send(kernel.request(Opcode.READ, node, struct(READ_IN, { offset, size: 4096 })));
      now++;
    }
    now = 5;
    await gate.open();
    await Promise.all(kernel.flights);
    const { kinds, bytesRead } = kernel.session.counts.read();
    expect(kinds.find(({ name }) => name === 'read')?.ms).toBe(5 + 4);
    expect(bytesRead).toBe(8192);
  });
});

describe('a client of the socket', () => {
  it('is told how the mount is doing', async () => {
    await using rig = await DeskRig.start();
    const client = rig.connect();
    await client.hello();
    const before = (await client.call(2, 'report')) as Record<string, unknown>;
    expect(before).toMatchObject({
      kinds: [],
      size: 64 * MIB,
      clones: 0,
      logUsed: 0,
      failed: false,
    });
    await client.call(3, 'fs', undefined, 'mkdirSync', '/d');
    await client.call(4, 'fs', undefined, 'writeFileSync', '/d/f', new Uint8Array(100_000));
    await client.call(5, 'cloneSync', '/d', '/e');
    const dirty = (await client.call(6, 'report')) as Record<string, number>;
    expect(dirty).toMatchObject({ clones: 1, txg: before['txg'] });
    expect((dirty['dirtyData'] as number) + (dirty['dirtyNodes'] as number)).toBeGreaterThan(0);
    client.send({ id: 7, call: 'sync', args: [] });
    await client.next();
    const after = (await client.call(8, 'report')) as Record<string, number>;
    expect(after).toMatchObject({ dirtyData: 0, dirtyNodes: 0, clones: 1 });
    expect(after['txg']).toBeGreaterThan(before['txg'] as number);
    expect(after['commitAge']).toBeLessThan(60_000);
    expect(after['free']).toBeLessThan(before['free'] as number);
  });
});
