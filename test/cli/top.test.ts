/**
 * What `ramet top` makes of two reports of a mount, how it shows that, and what it refuses. The
 * mounts themselves are in test/fuse/top.built.test.ts.
 */
import { Writable } from 'node:stream';
import pc from 'picocolors';
import { describe, expect, it } from 'vitest';
import { LiveScreen } from '../../src/cli/live-screen.ts';
import { ratesBetween, ratesText } from '../../src/cli/mount-rates.ts';
import type { Screen } from '../../src/cli/terminal.ts';
import type { MountReport } from '../../src/fuse/index.ts';
import { bucketOf } from '../../src/fuse/latency.ts';
import { Rig } from './rig.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

const IDLE: MountReport = {
  ...{ kinds: [], bytesRead: 0, bytesWritten: 0, fromMemory: 0, now: 1000 },
  ...{ size: 64 * MIB, free: 60 * MIB, dirtyData: 0, dirtyNodes: 0 },
  ...{ logUsed: 0, logSize: 4 * MIB, txg: 7, commitAge: 1500, clones: 2, failed: false },
};

const [FAST, SLOW] = [bucketOf(0.01), bucketOf(3)];

const BEFORE: MountReport = {
  ...IDLE,
  kinds: [{ name: 'read', ms: 8, buckets: [FAST, 2 ** 32 - 10, SLOW, 2] }],
  ...{ bytesRead: 4096, fromMemory: 100 },
};

/** Two seconds later: 100 reads more, whose count has gone over its end, and a write. */
const AFTER: MountReport = {
  ...BEFORE,
  kinds: [
    { name: 'write', ms: 3, buckets: [SLOW, 1] },
    { name: 'read', ms: 108, buckets: [FAST, 86, SLOW, 6] },
  ],
  ...{ bytesRead: 4096 + 3 * MIB, bytesWritten: 8 * KIB, fromMemory: 199, now: 3000 },
  ...{ dirtyData: 8 * KIB, dirtyNodes: 4 * KIB, logUsed: 40 * KIB, free: 59 * MIB },
};

const plain = pc.createColors(false);

describe('rates', () => {
  it('are of the interval alone, the most frequent kind first', () => {
    const rates = ratesBetween(BEFORE, AFTER);
    expect(rates).toMatchObject({ seconds: 2, requests: 101, fromMemory: 99 });
    expect(rates).toMatchObject({ read: 3 * MIB, written: 8 * KIB, commitAge: 1.5, clones: 2 });
    const [read, write, ...others] = rates.operations;
    expect(others).toEqual([]);
    expect(read).toMatchObject({ name: 'read', count: 100, seconds: 0.1 });
    expect(write).toMatchObject({ name: 'write', count: 1, seconds: 0.003 });
    // 96 of the reads were fast, 4 slow.
    expect(read?.p50).toBeCloseTo(0.00001, 5);
    expect(read?.p95).toBe(read?.p50);
    expect(read?.p99).toBeCloseTo(0.003, 3);
    expect(write?.p50).toBe(read?.p99);
  });

  it('leave out what was not asked for meanwhile', () => {
    expect(ratesBetween(AFTER, AFTER)).toMatchObject({ requests: 0, operations: [] });
  });

  it('are shown as a block of facts and a table', () => {
    expect(ratesText('a.img:/', ratesBetween(BEFORE, AFTER), plain)).toBe(
      [
        'a.img:/',
        '  requests  51/s, 98.0% from memory',
        '  data      1.5 MiB/s read, 4 KiB/s written',
        '  dirty     8 KiB of data, 4 KiB of nodes',
        '  free      59 MiB of 64 MiB',
        '  log       40 KiB of 4 MiB',
        '  commit    7, 1.50 s ago',
        '  clones    2',
        '',
        'OPERATION  A SECOND      P50      P95      P99  BUSY',
        'read             50  11.0 us  11.0 us  3.07 ms  5.0%',
        'write           0.5  3.07 ms  3.07 ms  3.07 ms  0.1%',
      ].join('\n'),
    );
  });

  it('are shown without a table where nothing was asked, and with what has failed', () => {
    const text = ratesText('x', ratesBetween(IDLE, { ...IDLE, now: 2000, failed: true }), plain);
    expect(text).toContain('requests  0.0/s\n');
    expect(text).toMatch(/clones {4}2\n {2}state {5}a write has failed, it is read-only now$/u);
  });
});

/** A terminal of so many rows. */
function screenOf(rows: number): { screen: Screen; text: () => string } {
  let text = '';
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString();
      done();
    },
  });
  return { screen: Object.assign(stream, { isTTY: true, rows }), text: () => text };
}

const LEAVE = '\x1b[?7h\x1b[?25h\x1b[?1049l';

describe('a live screen', () => {
  it('is entered once, redrawn from its corner, and left once', () => {
    const { screen, text } = screenOf(3);
    const live = new LiveScreen(screen, new AbortController().signal);
    live.draw('a\nb\nc\nd');
    live.draw('e');
    live.end();
    live.end();
    const enter = '\x1b[?1049h\x1b[?25l\x1b[?7l';
    const first = '\x1b[Ha\x1b[K\r\nb\x1b[K\r\nc\x1b[K\x1b[J';
    expect(text()).toBe(`${enter}${first}\x1b[He\x1b[K\x1b[J${LEAVE}`);
  });

  it('is left as soon as somebody wants the end, and not entered again', () => {
    const { screen, text } = screenOf(3);
    const controller = new AbortController();
    const live = new LiveScreen(screen, controller.signal);
    live.draw('a');
    controller.abort();
    expect(text().endsWith(LEAVE)).toBe(true);
    const { length } = text();
    live.draw('b');
    live.end();
    expect(text()).toHaveLength(length);
  });

  it('is not touched if nothing was drawn', () => {
    const { screen, text } = screenOf(3);
    const controller = new AbortController();
    new LiveScreen(screen, controller.signal).end();
    controller.abort();
    expect(text()).toBe('');
  });
});

describe('top', () => {
  const rig = new Rig();

  it('says what is not mounted, and what it cannot do', async () => {
    expect(await rig.fails('top', '~/none.img')).toBe(
      'Cannot watch none.img:/: there is no such image (ENOENT) [1]',
    );
    await rig.ok('create', '~/a.img', '--size', '16MiB');
    expect(await rig.fails('top', '~/a.img')).toBe(
      'Cannot watch a.img:/: it is not mounted (EINVAL) [1]',
    );
    for (const interval of ['0', '0.05', '3601', '-1', '1e3', 'x', '']) {
      const said = await rig.fails('top', '~/a.img', `--interval=${interval}`);
      expect(said).toMatch(/^Cannot use interval ".*": wanted seconds from 0.1 to 3600 \[2\]$/u);
    }
    for (const count of ['0', '1.5', 'x']) {
      expect(await rig.fails('top', '~/a.img', `--count=${count}`)).toMatch(/\[2\]$/u);
    }
  });
});
