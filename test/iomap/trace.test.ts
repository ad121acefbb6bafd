/** The trace: it tells what was asked, decided and waited for, and nothing is changed by it. */
import { describe, expect, it } from 'vitest';
import { BLOCK_SIZE as B } from '../../src/base/index.ts';
import type { TraceEvent } from '../../src/iomap/index.ts';
import { cloning, expectSame, noise, Rig, reading, truncating, writing } from './rig.ts';
import { ToyFile } from './toy-filesystem.ts';

function told(rig: Rig): TraceEvent[] {
  const events: TraceEvent[] = [];
  rig.toy.pool.trace = (event) => events.push(event);
  return events;
}

/** Events in short: the name, and the block where it is. */
function short(events: readonly TraceEvent[]): string[] {
  return events.map(({ event, offset }) => `${event} ${Math.floor(offset / B)}`);
}

describe('the trace of a write', () => {
  it('tells of its sources, what was copied, and where it went', async () => {
    const rig = new Rig();
    const old = noise(8 * B);
    const file = await rig.stored(old);
    const clone = await rig.do(cloning(file));
    rig.forget();
    const events = told(rig);
    await rig.do(writing(clone, B + 10, noise(2 * B)));
    await rig.do(rig.syncing());
    expect(short(events)).toEqual([
      'map 1',
      'wait 1',
      'map 1',
      'copy 1',
      'copy 3',
      'write 1',
      'place 1',
      'complete 1',
    ]);
    const [map, wait] = events;
    const block = (of: number): number => (file.map.get(of) as number) * B;
    expect(map).toMatchObject({
      request: 'write',
      offset: B + 10,
      length: 2 * B,
      destination: { type: 'delalloc', offset: B, length: 3 * B },
      sources: [
        { type: 'mapped', offset: B, length: B, address: block(1) },
        { type: 'mapped', offset: 3 * B, length: B, address: block(3) },
      ],
    });
    expect(wait).toMatchObject({ loads: 2, operations: 0 });
    expect(events.at(-2)).toMatchObject({ length: 3 * B });
  });

  it('tells of holes, and of what was dirty', async () => {
    const rig = new Rig();
    const file = new ToyFile(rig.toy);
    await rig.do(truncating(file, 8 * B));
    const events = told(rig);
    await rig.do(writing(file, B + 1, noise(B)));
    await rig.do(writing(file, B + 5, noise(10)));
    expect(short(events)).toEqual(['map 1', 'zero 1', 'zero 2', 'write 1', 'map 1', 'write 1']);
    expect(events[0]).toMatchObject({ sources: [{ type: 'hole' }, { type: 'hole' }] });
    expect(events[4]).toMatchObject({ sources: [] });
  });

  it('tells of a write of data in flight, and of a failure', async () => {
    const rig = new Rig({ gated: true });
    const file = await rig.stored(noise(2 * B));
    await rig.do(writing(file, 0, noise(B, 2)));
    const events = told(rig);
    rig.gate.shut();
    const sync = rig.start(rig.syncing());
    await Promise.resolve();
    await rig.start(writing(file, 5, noise(10, 3)));
    await rig.open(sync);
    const wanted = ['place 0', 'map 0', 'copy 0', 'write 0', 'complete 0'];
    expect(short(events)).toEqual(wanted);
    expect(events[2]).toMatchObject({ from: 'dirty data' });
    rig.device.inject({ on: 'write', effect: 'fail', times: 1 });
    await expect(rig.do(rig.syncing())).rejects.toMatchObject({ code: 'EIO' });
    expect(short(events).slice(5)).toEqual(['place 0', 'cancel 0']);
  });
});

it('a trace changes nothing', async () => {
  const run = async (traced: boolean): Promise<Uint8Array> => {
    const rig = new Rig();
    if (traced) told(rig);
    const file = await rig.stored(noise(20 * B));
    const clone = await rig.do(cloning(file));
    for (let i = 0; i < 30; i++) await rig.do(writing(clone, i * 2777, noise(1000 + i * 100, i)));
    await rig.do(rig.syncing());
    await rig.do(reading(clone, 0, new Uint8Array(B)));
    return await rig.contents(clone);
  };
  expectSame(await run(true), await run(false));
});
