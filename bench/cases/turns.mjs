/** What iterating costs, what waits together, and how long a turn is. */
import { MemoryDevice } from '../../dist/device.js';
import { Volume } from '../../dist/index.js';
import { MappingIterator } from '../../dist/iomap.js';
import { DelayDevice } from '../delay-device.mjs';
import { longestTurn, median, randomOf, row, timeUs } from '../report.mjs';

const MIB = 2 ** 20;
const BLOCK = 4096;
const WRITERS = 8;
const SCATTERED = 16_384;
/** More than the cache of a volume. */
const WARM = 176 * MIB;
const OPTIONS = { commitIntervalMs: 0 };

export async function* run() {
  yield iterating();
  yield await writersTogether();
  yield await turnLength();
}

/** A filesystem that answers at once: every second block is a hole. */
function iterating() {
  const ops = {
    begin(_file, { offset }, answer) {
      for (let i = 0; i < 16; i++) {
        const at = offset + i * BLOCK;
        answer.addSource().set(i % 2 === 0 ? 2 : 0, at, BLOCK);
      }
      return true;
    },
  };
  const file = { ops, pool: { trace: undefined } };
  const plan = { ready: true };
  const iterator = new MappingIterator();
  const bare = { offset: 0, length: 0 };
  const answer = iteratorAnswer();
  const steps = 1600;
  const through = () => {
    let sum = 0;
    iterator.begin(file, 0, 0, steps * BLOCK);
    for (let at = iterator.step(plan); at !== undefined; at = iterator.step(plan)) sum += at.length;
    return sum;
  };
  const without = () => {
    let sum = 0;
    for (let at = 0; at < steps * BLOCK; at += 16 * BLOCK) {
      bare.offset = at;
      answer.clear();
      ops.begin(file, bare, answer);
      for (let i = 0; i < 16; i++) sum += answer.sources[i].length;
    }
    return sum;
  };
  timeUs(2000, 3, through);
  timeUs(2000, 3, without);
  const ns = (1000 * (timeUs(1000, 9, through) - timeUs(1000, 9, without))) / steps;
  const before = process.memoryUsage().heapUsed;
  for (let i = 0; i < 200; i++) through();
  const grown = process.memoryUsage().heapUsed - before;
  const bytes = Math.max(0, grown) / (200 * steps);
  return row({
    name: `a step of the iterator, ${bytes.toFixed(2)} bytes of heap`,
    unit: 'ns',
    ours: Math.max(0, ns),
    target: '<= 100 ns, nothing allocated',
    ok: ns <= 100 && bytes < 1,
  });
}

/** An answer such as the iterator has. */
function iteratorAnswer() {
  const mapping = () => ({
    length: 0,
    set(type, offset, length) {
      this.type = type;
      this.flags = 0;
      this.offset = offset;
      this.length = length;
      this.address = 0;
      this.checksums = undefined;
      this.inline = undefined;
      this.twin = false;
      return this;
    },
  });
  return {
    sources: Array.from({ length: 16 }, mapping),
    count: 0,
    clear() {
      this.count = 0;
    },
    addSource() {
      return this.sources[this.count++];
    },
  };
}

/**
 * Touches all memory of the cache, as any process has that is not new: the first touch of a page
 * costs more than what is measured here.
 */
async function warm(vol) {
  const handle = await vol.fs.promises.open('/warm', 'r');
  const buffer = Buffer.alloc(MIB);
  for (let at = 0; at < WARM; at += MIB) await handle.read(buffer, 0, MIB, at);
  await handle.close();
}

/** Unaligned writes of 1 MiB to shared blocks of one file, none of which is in memory. */
async function writersTogether() {
  const memory = new MemoryDevice({ size: 512 * MIB });
  let vol = Volume.openSync(memory, { create: true, ...OPTIONS });
  vol.fs.writeFileSync('/warm', Buffer.alloc(WARM, 3));
  vol.fs.writeFileSync('/base', Buffer.alloc(4 * WRITERS * MIB, 1));
  for (let i = 0; i < 60; i++) vol.cloneSync('/base', `/clone-${i}`);
  vol.closeSync();
  const data = Buffer.alloc(MIB, 2);
  let clone = 0;
  const ms = async (count) => {
    const device = new DelayDevice(memory, 5);
    vol = await Volume.open(device, OPTIONS);
    await warm(vol);
    const handle = await vol.fs.promises.open(`/clone-${clone++}`, 'r+');
    const start = performance.now();
    const writes = Array.from({ length: count }, (_, i) =>
      handle.write(data, 0, MIB, i * 4 * MIB + 100),
    );
    await Promise.all(writes);
    const taken = performance.now() - start;
    await handle.close();
    await vol.close();
    return taken;
  };
  const ones = [];
  const eights = [];
  for (let i = 0; i < 9; i++) {
    ones.push(await ms(1));
    eights.push(await ms(WRITERS));
  }
  const [one, eight] = [median(ones), median(eights)];
  return row({
    name: `${WRITERS} writes of 1 MiB to one file, 5 ms device`,
    unit: 'ms',
    ours: eight,
    peer: one,
    peerName: 'one such write',
    target: '< 1.5x',
    ok: eight < 1.5 * one,
  });
}

/** The longest time in which nothing else could run while scattered blocks are written back. */
async function turnLength() {
  const memory = new MemoryDevice({ size: 512 * MIB });
  const vol = await Volume.open(new DelayDevice(memory, 0), { create: true, ...OPTIONS });
  const handle = await vol.fs.promises.open('/f', 'w+');
  const block = Buffer.alloc(BLOCK, 3);
  const longest = [];
  for (let round = 0; round < 6; round++) {
    // One block in each of as many folios, in no order.
    for (const i of shuffled(SCATTERED, round + 1)) {
      await handle.write(block, 0, BLOCK, i * 65_536 + (round % 16) * BLOCK);
    }
    const most = await longestTurn(() => vol.sync());
    // The first round is of memory that nobody has touched.
    if (round > 0) longest.push(most);
  }
  await handle.close();
  await vol.close();
  const ours = median(longest);
  return row({
    name: `longest turn, ${SCATTERED.toLocaleString('en')} scattered blocks complete`,
    unit: 'ms',
    ours,
    target: '<= 5 ms',
    ok: ours <= 5,
  });
}

function shuffled(count, seed) {
  const random = randomOf(seed);
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const k = random(i + 1);
    [order[i], order[k]] = [order[k], order[i]];
  }
  return order;
}
