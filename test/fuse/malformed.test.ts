/**
 * Requests that no kernel sends: cut short, with wrong lengths, numbers and names. Each gets an
 * error, and the volume stays what it is.
 */
import { expect, it } from 'vitest';
import { ERRNO, MIB, viewOf } from '../../src/base/index.ts';
import { checkSync } from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { Opcode } from '../../src/fuse/constants.ts';
import { decode } from '../../src/fuse/layout.ts';
import { OPERATIONS } from '../../src/fuse/operations/index.ts';
import { IN_HEADER, INIT_IN, WRITE_IN } from '../../src/fuse/wire.ts';
import type { Random } from '../../src/testing/index.ts';
import { seeded } from '../volume/seeds.ts';
import { struct, TestKernel } from './kernel.ts';
import { readRecording } from './recording.ts';

const ROOT = 1;
const ONE_WAY: readonly number[] = [
  Opcode.FORGET,
  Opcode.BATCH_FORGET,
  Opcode.INTERRUPT,
  Opcode.NOTIFY_REPLY,
];

const recorded = readRecording().map(({ request }) => request);

/** A request with its length put right in the header. */
function lengthened(request: Uint8Array): Uint8Array {
  viewOf(request).setUint32(IN_HEADER.at.len, request.length, true);
  return request;
}

it('a request that is cut short anywhere is refused', () => {
  const kernel = TestKernel.start();
  const before = kernel.rig.engine.records;
  for (const request of recorded) {
    const { opcode } = decode(IN_HEADER, viewOf(request), 0);
    const least = OPERATIONS[opcode]?.least ?? 0;
    for (let length = IN_HEADER.size; length < IN_HEADER.size + least; length++) {
      kernel.replies.length = 0;
      kernel.send(lengthened(request.slice(0, length)));
      expect([opcode, length, kernel.replies[0]?.error]).toEqual([
        opcode,
        length,
        -ERRNO.EINVAL[0],
      ]);
    }
  }
  expect(kernel.rig.engine.records).toBe(before);
});

it('a header that gives another length is refused, and one that is no header has no reply', () => {
  const kernel = TestKernel.start();
  const request = kernel.request(Opcode.STATFS, ROOT);
  viewOf(request).setUint32(IN_HEADER.at.len, 41, true);
  kernel.replies.length = 0;
  kernel.send(request);
  expect(kernel.replies).toMatchObject([{ error: -ERRNO.EINVAL[0] }]);
  for (let length = 0; length < IN_HEADER.at.nodeid; length++) {
    kernel.send(request.slice(0, length));
  }
  expect(kernel.replies).toHaveLength(1);
});

it('a name without an end, a write of more than there is, an unknown request', () => {
  const kernel = TestKernel.start();
  const { nodeid } = kernel.create(ROOT, 'a');
  const errno = (opcode: number, node: number, ...parts: Uint8Array[]): number =>
    -kernel.ask(opcode, node, ...parts).error;
  expect(errno(Opcode.LOOKUP, ROOT, Uint8Array.of(65, 66))).toBe(ERRNO.EINVAL[0]);
  expect(errno(Opcode.SYMLINK, ROOT, Uint8Array.of(65, 0, 66))).toBe(ERRNO.EINVAL[0]);
  const size = 100;
  const head = struct(WRITE_IN, { size });
  expect(errno(Opcode.WRITE, nodeid, head, new Uint8Array(size - 1))).toBe(ERRNO.EINVAL[0]);
  expect(kernel.getattr(nodeid).size).toBe(0);
  for (const opcode of [0, 7, 19, 37, 54, 4096, 0xffffffff]) {
    expect(errno(opcode, ROOT)).toBe(ERRNO.ENOSYS[0]);
  }
  expect(errno(Opcode.INIT, 0, struct(INIT_IN).subarray(0, 8))).toBe(ERRNO.EIO[0]);
});

/** A recorded request, altered in one to four places. */
function mutant(random: Random): Uint8Array {
  let request = random.pick(recorded).slice();
  for (let i = random.below(4); i >= 0; i--) {
    const view = viewOf(request);
    const at = random.below(request.length);
    switch (random.below(7)) {
      case 0:
        request[at] = random.below(256);
        break;
      case 1:
        request = request.slice(0, at);
        break;
      case 2:
        request = Buffer.concat([request, random.bytes(random.below(64))]);
        break;
      case 3:
        if (request.length >= 8) view.setUint32(4, random.below(56), true);
        break;
      case 4:
        if (request.length >= 24) view.setUint32(16, random.below(40), true);
        break;
      default: {
        const word = at & ~7;
        const values = [0, 1, 4095, 4096, 0x7fffffff, 0x80000000, 0xffffffff];
        if (word + 8 > request.length) break;
        view.setUint32(word, random.pick(values), true);
        if (random.chance(0.5)) view.setUint32(word + 4, random.pick(values), true);
      }
    }
  }
  const copy = Uint8Array.from(request);
  return random.chance(0.8) && copy.length >= 4 ? lengthened(copy) : copy;
}

seeded('altered requests are answered, and what they leave is a volume', { count: 4 }, (random) => {
  const device = new MemoryDevice({ size: 32 * MIB });
  const kernel = TestKernel.start({ device });
  for (let i = 0; i < 2000; i++) {
    const request = random.chance(0.3) ? random.pick(recorded) : mutant(random);
    kernel.replies.length = 0;
    kernel.send(request);
    if (request.length < IN_HEADER.at.nodeid) {
      expect(kernel.replies).toEqual([]);
      continue;
    }
    const opcode = viewOf(request).getUint32(4, true);
    const expected = ONE_WAY.includes(opcode) ? 0 : 1;
    expect(kernel.replies).toHaveLength(expected);
    const [reply] = kernel.replies;
    if (reply === undefined) continue;
    const view = viewOf(request);
    expect(reply.unique).toEqual([view.getUint32(8, true), view.getUint32(12, true)]);
    expect(reply.error).toBeLessThanOrEqual(0);
    expect(reply.error).toBeGreaterThan(-4096);
    if (opcode === Opcode.DESTROY) kernel.session.ended = false;
  }
  expect(kernel.broken).toEqual([]);
  kernel.session.close();
  const { engine, driver } = kernel.rig;
  driver.run(engine.commit());
  expect(engine.orphans.size).toBe(0);
  expect(checkSync(device).issues).toEqual([]);
});
