/**
 * Requests that are read while others are under way, on a device that answers in any order: each
 * gets one reply, and what the program changes by its own calls is told apart from what the kernel
 * has asked for.
 */
import { describe, expect, it } from 'vitest';
import { MIB, viewOf } from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { timeFromMs, UnlinkWhat } from '../../src/format/index.ts';
import { Opcode } from '../../src/fuse/constants.ts';
import { StaleWatch } from '../../src/fuse/control/stale.ts';
import { Flights, type LaterTransport } from '../../src/fuse/transport.ts';
import { MKNOD_IN, READ_IN, WRITE_IN } from '../../src/fuse/wire.ts';
import { Random, Schedule, SlowDevice } from '../../src/testing/index.ts';
import { create, makeDriver, mount } from '../volume/rig.ts';
import { entryOf, struct, TestKernel } from './kernel.ts';

const ROOT = 1;

/** A kernel, and a volume on a slow device: requests are taken while others are under way. */
class Rig implements LaterTransport {
  readonly schedule: Schedule;
  readonly kernel: TestKernel;
  readonly watch: StaleWatch;
  readonly #waiting: Uint8Array[] = [];
  /** Most requests that were under way at once. */
  most = 0;

  constructor(random: Random, isOwn = true) {
    const memory = new MemoryDevice({ size: 32 * MIB });
    create(memory);
    this.schedule = new Schedule(random);
    const { engine } = mount(memory);
    const { schedule } = this;
    const driver = makeDriver(new SlowDevice(memory, { schedule }), { schedule });
    this.kernel = new TestKernel({
      rig: { engine, driver },
      async: true,
      own: (procedure) => (isOwn ? this.watch.own(procedure) : procedure),
    });
    this.watch = new StaleWatch(engine, this.kernel.session.served.nodes, driver);
    this.kernel.init();
  }

  async readLater(bytes: Uint8Array): Promise<number | undefined> {
    const { session } = this.kernel;
    this.most = Math.max(this.most, session.inFlight);
    const request = this.#waiting.shift();
    if (request === undefined) return undefined;
    bytes.set(request);
    return request.length;
  }

  /** Takes requests as they come; the replies by the numbers of the requests. */
  async serve(requests: readonly Uint8Array[]): Promise<Map<number, Uint8Array>> {
    this.#waiting.push(...requests);
    const before = this.kernel.replies.length;
    await this.schedule.run(new Flights(this.kernel.session, this).serve(() => {}));
    const replies = this.kernel.replies.slice(before);
    expect(replies.length).toBe(requests.length);
    expect(replies.map(({ error }) => error)).toEqual(requests.map(() => 0));
    return new Map(replies.map(({ unique, body }) => [unique[0], body]));
  }

  /** The replies in the order of the requests. */
  async served(requests: readonly Uint8Array[]): Promise<Uint8Array[]> {
    const bodies = await this.serve(requests);
    return requests.map((request) => bodies.get(viewOf(request).getUint32(8, true)) as Uint8Array);
  }
}

describe('requests that are under way together', () => {
  it('get one reply each, whatever the order in which the device answers', async () => {
    for (let seed = 1; seed <= 8; seed++) {
      const random = new Random(seed);
      const rig = new Rig(random.fork());
      const { kernel } = rig;
      const names = Array.from({ length: 12 }, (_, i) => `f${i}`);
      const mode = 0o100644;
      const made = await rig.served(
        names.map((name) => kernel.request(Opcode.MKNOD, ROOT, struct(MKNOD_IN, { mode }), name)),
      );
      const nodes = made.map((body) => entryOf(body).nodeid);
      const parts = nodes.flatMap((node) =>
        [0, 1, 2].map((part) => ({ node, offset: part * 5000, data: random.bytes(5000) })),
      );
      const shuffled = random.shuffle(parts);
      await rig.served(
        shuffled.map(({ node, offset, data }) => {
          const head = struct(WRITE_IN, { offset, size: data.length });
          return kernel.request(Opcode.WRITE, node, head, data);
        }),
      );
      await rig.schedule.run(kernel.rig.driver.start(kernel.rig.engine.commit()));
      const found = await rig.served(
        parts.map(({ node, offset }) =>
          kernel.request(Opcode.READ, node, struct(READ_IN, { offset, size: 5000 })),
        ),
      );
      for (const [i, { data }] of parts.entries()) {
        expect(Buffer.from(found[i] as Uint8Array).equals(data)).toBe(true);
      }
      expect(kernel.broken).toEqual([]);
      expect(kernel.session.inFlight).toBe(0);
      expect(rig.most).toBeGreaterThan(1);
    }
  });

  it('are not told to the kernel, as what others change meanwhile is', async () => {
    const rig = new Rig(new Random(3));
    const { kernel, watch } = rig;
    const { engine, driver } = kernel.rig;
    let told = 0;
    watch.begin(() => told++);
    const mode = 0o100644;
    const make = (name: string) =>
      kernel.request(Opcode.MKNOD, ROOT, struct(MKNOD_IN, { mode }), name);
    await rig.served([make('a'), make('b')]);
    expect([told, watch.take()]).toEqual([0, { names: [], nodes: [] }]);
    const unlink = (name: string) =>
      engine.apply({
        type: 'unlink',
        parent: engine.live.id,
        name,
        what: UnlinkWhat.FILE,
        time: timeFromMs(1),
      });
    const others = [make('c'), kernel.request(Opcode.UNLINK, ROOT, 'b'), make('d')];
    const [bodies] = await Promise.all([
      rig.served(others),
      rig.schedule.run(driver.start(unlink('a'))),
    ]);
    expect(bodies.length).toBe(3);
    expect(told).toBeGreaterThan(0);
    expect(watch.take().names).toMatchObject([{ parent: ROOT, name: 'a' }]);
    watch.end();
  });

  it('would be told if nobody knew whose they are', async () => {
    const rig = new Rig(new Random(3), false);
    const { kernel, watch } = rig;
    watch.begin();
    const head = struct(MKNOD_IN, { mode: 0o100644 });
    await rig.served([kernel.request(Opcode.MKNOD, ROOT, head, 'a')]);
    expect(watch.take().names).toEqual([{ parent: ROOT, name: 'a' }]);
    watch.end();
  });
});
