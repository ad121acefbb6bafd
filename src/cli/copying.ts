/**
 * Copying: what import and export have in common around the copy itself: progress, and the report.
 */
import type { CommonOptions } from './command.ts';
import { type CopyCounts, countEntries, type TreeCopy } from './copy-tree.ts';
import { Fault } from './faults.ts';
import { shownName } from './names.ts';
import { counted, formatCount, formatSize, formatTime } from './sizes.ts';
import type { Terminal } from './terminal.ts';

/** A copy, and where it goes in words. */
export interface Errand {
  readonly copy: TreeCopy;
  readonly from: string;
  readonly to: string;
  /** Makes the copy durable; belongs to the time it takes. */
  readonly settle?: () => Promise<void>;
}

/** Copies a tree to its end, shows how far it is, and tells what was done. */
export async function runCopy(
  errand: Errand,
  options: CommonOptions,
  terminal: Terminal,
): Promise<void> {
  const { copy } = errand;
  const start = performance.now();
  const progress = terminal.progress(copy.verb, 'items');
  const total = progress.seen ? await terminal.work(countEntries(copy.source)) : undefined;
  const show = (): void => progress.update({ done: copy.done, total, bytes: copy.counts.bytes });
  try {
    await terminal.work(copy.steps(), show);
    await errand.settle?.();
  } catch (error) {
    throw interrupted(errand, error);
  } finally {
    progress.end();
  }
  await report(errand, performance.now() - start, options, terminal);
  warnOfSkipped(copy.counts, terminal);
}

/** Adds to the reason of an end by the user what has become of the target. */
function interrupted({ copy, to }: Errand, error: unknown): unknown {
  if (!(error instanceof Fault) || error.code !== 'EINTR') return error;
  const { verb, counts } = copy;
  const files = counted(counts.files, 'file');
  const state = verb === 'import' ? ', and the image is consistent' : '';
  return new Fault(`Interrupted: ${files} of the ${verb} are in ${to}${state}`, {
    code: 'EINTR',
    status: error.status,
  });
}

async function report(
  { copy, from, to }: Errand,
  ms: number,
  { json }: CommonOptions,
  terminal: Terminal,
): Promise<void> {
  const { counts } = copy;
  const { skipped, ...numbers } = counts;
  if (json) {
    const seconds = Math.round(ms) / 1000;
    await terminal.json({ from, to, ...numbers, skipped: skipped.map(shownName), seconds });
    return;
  }
  const parts = [
    counted(counts.files, 'file'),
    counted(counts.directories, 'directory'),
    ...(counts.symlinks > 0 ? [counted(counts.symlinks, 'symbolic link')] : []),
    ...(counts.hardLinks > 0 ? [counted(counts.hardLinks, 'hard link')] : []),
    formatSize(counts.bytes),
  ];
  await terminal.line(`${from} -> ${to}: ${parts.join(', ')} in ${formatTime(ms)}`);
}

/** Names that are shown of those that were left out. */
const SHOWN = 3;

function warnOfSkipped({ skipped }: CopyCounts, terminal: Terminal): void {
  if (skipped.length === 0) return;
  const names = skipped.slice(0, SHOWN).map(shownName).join(', ');
  const rest = skipped.length - SHOWN;
  const more = rest > 0 ? ` and ${formatCount(rest)} more` : '';
  terminal.warn(`left out what is no file, or the image itself: ${names}${more}`);
}
