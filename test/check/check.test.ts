/**
 * What a check promises beside its findings: on every kind of device, within its memory, in time.
 */
import { describe, expect, it } from 'vitest';
import { BLOCK_SIZE, DeviceError, MIB } from '../../src/base/index.ts';
import {
  type CheckPhase,
  type CheckProgress,
  check,
  checkSync,
  describeIssue,
  exitStatus,
} from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { Random, Schedule, SlowDevice } from '../../src/testing/index.ts';
import { goldenImage } from '../format/golden.ts';
import { Hand, pattern } from './hand.ts';
import { ImageEditor } from './image-editor.ts';
import { PLANTS, planted } from './plants.ts';

const golden = (): MemoryDevice => MemoryDevice.from(goldenImage());

/** Counts what is read from a device. */
function counted(device: MemoryDevice): { reads: number; blocks: number; longest: number } {
  const counts = { reads: 0, blocks: 0, longest: 0 };
  const read = device.read.bind(device);
  device.read = (position, buffer) => {
    counts.reads++;
    counts.blocks += buffer.length / BLOCK_SIZE;
    counts.longest = Math.max(counts.longest, buffer.length);
    return read(position, buffer);
  };
  return counts;
}

describe('check()', () => {
  it('says the same on a device that makes it wait', async () => {
    for (const code of ['checksum', 'copy-damaged', 'link-count', 'leak'] as const) {
      const device = planted(PLANTS[code] ?? { title: '' });
      const now = checkSync(device);
      const schedule = new Schedule(new Random(1));
      const report = await schedule.run(check(new SlowDevice(device, { schedule })));
      expect(report).toEqual(now);
    }
  });

  it('is refused in one turn on a device that has to be waited for', () => {
    const device = new SlowDevice(golden(), { schedule: new Schedule(new Random(1)) });
    expect(() => checkSync(device)).toThrow(DeviceError);
    expect(() => checkSync(device)).toThrow('use check()');
  });

  it('lets others run, if it is told how', async () => {
    let turns = 0;
    const pause = async (): Promise<void> => {
      turns++;
      await Promise.resolve();
    };
    const report = await check(golden(), { pause });
    expect(report.verdict).toBe('clean');
    expect(turns).toBeGreaterThan(3);
  });

  it('tells how far it is, phase by phase', () => {
    const seen: CheckProgress[] = [];
    checkSync(golden(), { progress: (progress) => seen.push(progress) });
    const phases: CheckPhase[] = ['roots', 'blocks', 'names', 'counts'];
    expect([...new Set(seen.map(({ phase }) => phase))]).toEqual(phases);
    for (const phase of phases) {
      const steps = seen.filter((progress) => progress.phase === phase);
      const done = steps.map((progress) => progress.done);
      expect(done).toEqual([...done].sort((a, b) => a - b));
      for (const step of steps) expect(step.done).toBeLessThanOrEqual(step.total);
    }
  });

  it('ends with the reason of a signal', async () => {
    const abort = new AbortController();
    const reason = new Error('enough');
    const progress = ({ phase }: CheckProgress): void => {
      if (phase === 'blocks') abort.abort(reason);
    };
    await expect(check(golden(), { signal: abort.signal, progress })).rejects.toBe(reason);
    expect(() => checkSync(golden(), { signal: abort.signal })).toThrow(reason);
  });

  it('measures by the clock it is given', () => {
    let now = 0;
    const report = checkSync(golden(), { now: () => (now += 1500) });
    expect(report.statistics.seconds).toBe(1.5);
  });

  it('reads neighbours together, and data only if it is asked to', () => {
    const device = new MemoryDevice({ size: 16 * MIB });
    const hand = Hand.format(device);
    hand.file(hand.root, 'file', pattern(8 * MIB));
    hand.commit();
    const all = counted(device);
    expect(checkSync(device).verdict).toBe('clean');
    expect(all.blocks).toBeGreaterThan(2048);
    expect(all.reads).toBeLessThan(100);
    expect(all.longest).toBe(MIB);
    const nodes = counted(device);
    expect(checkSync(device, { data: false }).verdict).toBe('clean');
    expect(nodes.blocks).toBeLessThan(100);
  });

  it('keeps a limited number of issues, and counts all', () => {
    const editor = new ImageEditor(goldenImage());
    for (let block = 200; block < 240; block += 2) editor.setCount(block, 1);
    const report = checkSync(editor.seal().device(), { issues: 5 });
    expect(report.issues).toHaveLength(5);
    expect(report.found.get('leak')).toBe(20);
  });

  it('has statistics', () => {
    const { statistics, superblock } = checkSync(golden());
    const { blocks } = statistics;
    const used = Object.values(blocks).reduce((sum, count) => sum + count, 0);
    expect(used).toBe(superblock?.geometry.blockCount);
    expect(statistics.verified).toBe((used - blocks.free - blocks.fixed) * BLOCK_SIZE);
    expect(statistics.directories).toBeGreaterThan(4);
    expect(statistics.files).toBeGreaterThan(30);
    expect(statistics.links).toBeGreaterThan(3);
  });
});

describe('check() of what is no image', () => {
  it.each([0, 1, 4096, 7 * BLOCK_SIZE, 8 * BLOCK_SIZE, MIB])('says so of %i zeros', (size) => {
    const report = checkSync(new MemoryDevice({ size }));
    expect(report.issues.map(({ code }) => code)).toEqual(['no-volume']);
    expect(exitStatus(report)).toBe(8);
    expect(report.superblock).toBeUndefined();
  });

  it('says what the device says, if nothing can be read', () => {
    const device = golden();
    device.read = (position, { length }) => {
      throw new DeviceError('EIO', { operation: 'read', position, length, finding: 'it is gone' });
    };
    const [issue] = checkSync(device).issues;
    expect(issue && describeIssue(issue)).toContain('it is gone');
  });

  it('survives a device that answers differently every time', () => {
    for (let seed = 1; seed < 60; seed++) {
      const device = golden();
      const read = device.read.bind(device);
      let calls = 0;
      device.read = (position, buffer) => {
        read(position, buffer);
        if (++calls % 7 !== seed % 7) return undefined;
        const at = (calls * 1237 + seed * 331) % buffer.length;
        buffer[at] = (buffer[at] as number) ^ seed;
        return undefined;
      };
      expect(() => checkSync(device)).not.toThrow();
    }
  });
});

describe('check() of a volume that is larger than it looks', () => {
  it('ends on 16 TiB that are nearly empty', () => {
    const device = new MemoryDevice({ size: 2 ** 44 });
    const hand = Hand.format(device);
    hand.file(hand.root, 'file', pattern(MIB));
    hand.commit();
    const report = checkSync(device, { memory: 8 * MIB });
    expect(report.issues.map(describeIssue)).toEqual([]);
  });

  it.each([false, true])('ends on clones in clones that double each time, links: %s', (links) => {
    const device = new MemoryDevice({ size: 16 * MIB });
    const hand = Hand.format(device);
    const directory = hand.directory(hand.root, 'directory');
    const file = hand.file(directory, 'file');
    if (links) hand.link(file, directory, 'again');
    for (let i = 0; i < 50; i++) hand.clone(directory, directory, `clone ${i}`);
    hand.commit();
    const report = checkSync(device);
    expect(report.issues.map(describeIssue)).toEqual([]);
  });
});
