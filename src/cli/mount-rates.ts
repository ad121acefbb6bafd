/**
 * Mount rates: what a mount has done between two of its reports, for programs and for people.
 */
import { BUCKETS, type MountReport, percentile } from '../fuse/index.ts';
import { formatCount, formatSize, formatTime } from './sizes.ts';
import { formatFacts, formatTable } from './table.ts';
import type { Paint } from './terminal.ts';

/** One kind of request in an interval; times are seconds of serving it. */
export interface OperationRate {
  readonly name: string;
  readonly count: number;
  /** All of them together. */
  readonly seconds: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

/** What holds at the end of an interval. */
type Standing = Pick<
  MountReport,
  | 'size'
  | 'free'
  | 'dirtyData'
  | 'dirtyNodes'
  | 'logUsed'
  | 'logSize'
  | 'txg'
  | 'commitAge'
  | 'clones'
  | 'failed'
>;

/** Sizes are bytes, times seconds. */
export interface MountRates extends Standing {
  /** Length of the interval, by the server's clock. */
  readonly seconds: number;
  readonly requests: number;
  /** Of these, for which nothing was loaded from the device. */
  readonly fromMemory: number;
  readonly read: number;
  readonly written: number;
  /** The most frequent first. */
  readonly operations: readonly OperationRate[];
}

export function ratesBetween(before: MountReport, after: MountReport): MountRates {
  const earlier = new Map(before.kinds.map((kind) => [kind.name, kind]));
  const operations = after.kinds
    .map(({ name, ms, buckets }): OperationRate => {
      const old = earlier.get(name);
      const counts = added(buckets, old?.buckets ?? []);
      return {
        name,
        count: counts.reduce((sum, count) => sum + count, 0),
        seconds: (ms - (old?.ms ?? 0)) / 1000,
        p50: percentile(counts, 0.5) / 1000,
        p95: percentile(counts, 0.95) / 1000,
        p99: percentile(counts, 0.99) / 1000,
      };
    })
    .filter(({ count }) => count > 0)
    .sort((a, b) => b.count - a.count);
  const { size, free, dirtyData, dirtyNodes, logUsed, logSize, txg, clones, failed } = after;
  return {
    seconds: (after.now - before.now) / 1000,
    requests: operations.reduce((sum, { count }) => sum + count, 0),
    fromMemory: after.fromMemory - before.fromMemory,
    read: after.bytesRead - before.bytesRead,
    written: after.bytesWritten - before.bytesWritten,
    operations,
    ...{ size, free, dirtyData, dirtyNodes, logUsed, logSize, txg },
    commitAge: after.commitAge / 1000,
    ...{ clones, failed },
  };
}

/** What has come to each bucket, modulo 2^32. */
function added(after: readonly number[], before: readonly number[]): Uint32Array {
  const counts = new Uint32Array(BUCKETS);
  for (let i = 0; i < after.length; i += 2) counts[after[i] as number] = after[i + 1] as number;
  for (let i = 0; i < before.length; i += 2) {
    const bucket = before[i] as number;
    counts[bucket] = (counts[bucket] as number) - (before[i + 1] as number);
  }
  return counts;
}

/** For people: a block of lines. */
export function ratesText(title: string, rates: MountRates, paint: Paint): string {
  const parts = [paint.bold(title), formatFacts(factsOf(rates, paint), paint.dim)];
  if (rates.operations.length > 0) parts.push('', operationTable(rates, paint));
  return parts.join('\n');
}

function factsOf(rates: MountRates, paint: Paint): (readonly [string, string])[] {
  const { seconds, requests, fromMemory, read, written, failed } = rates;
  const perSecond = (bytes: number): string => `${formatSize(Math.round(bytes / seconds))}/s`;
  const share = requests === 0 ? '' : `, ${share1(fromMemory, requests)} from memory`;
  return [
    ['requests', `${formatRate(requests / seconds)}${share}`],
    ['data', `${perSecond(read)} read, ${perSecond(written)} written`],
    ['dirty', `${formatSize(rates.dirtyData)} of data, ${formatSize(rates.dirtyNodes)} of nodes`],
    ['free', `${formatSize(rates.free)} of ${formatSize(rates.size)}`],
    ['log', `${formatSize(rates.logUsed)} of ${formatSize(rates.logSize)}`],
    ['commit', `${formatCount(rates.txg)}, ${formatTime(rates.commitAge * 1000)} ago`],
    ['clones', formatCount(rates.clones)],
    ...(failed ? [['state', paint.red('a write has failed, it is read-only now')] as const] : []),
  ];
}

function operationTable({ operations, seconds }: MountRates, paint: Paint): string {
  const titles = ['A SECOND', 'P50', 'P95', 'P99', 'BUSY'];
  const columns = titles.map((title) => ({ title, align: 'right' }) as const);
  const rows = operations.map(({ name, count, seconds: busy, p50, p95, p99 }) => [
    name,
    formatRate(count / seconds, ''),
    ...[p50, p95, p99].map((time) => formatTime(time * 1000)),
    share1(busy, seconds),
  ]);
  return formatTable([{ title: 'OPERATION' }, ...columns], rows, paint.dim);
}

function share1(part: number, whole: number): string {
  return `${((100 * part) / whole).toFixed(1)}%`;
}

/** Few are not rounded to none. */
function formatRate(rate: number, unit = '/s'): string {
  return `${rate < 9.95 ? rate.toFixed(1) : formatCount(Math.round(rate))}${unit}`;
}
