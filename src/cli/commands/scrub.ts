/** ramet scrub: reads everything in an image again and mends what has a second copy. */
import type { Command } from 'commander';
import type { ScrubReport } from '../../api/index.ts';
import type { Superblock } from '../../format/index.ts';
import { addCommand, type CommonOptions } from '../command.ts';
import { doing, usageFault } from '../faults.ts';
import { withVolume } from '../images.ts';
import { issueLine, issuesJson } from '../issues.ts';
import { parseImage } from '../place.ts';
import { ScrubPlace } from '../scrub-place.ts';
import { counted, formatSize, formatTime, parseSize } from '../sizes.ts';
import { superblockFacts } from '../superblocks.ts';
import type { Terminal } from '../terminal.ts';

interface Options extends CommonOptions {
  readonly rate?: number;
  /** commander's name for --no-repair. */
  readonly repair: boolean;
  readonly restart?: boolean;
}

export function addScrub(program: Command, terminal: Terminal): void {
  addCommand(program, {
    name: 'scrub',
    summary: 'read everything in an image again, and mend what has a second copy',
    notes:
      'Nodes of trees, superblocks and the group index have second copies; data has not: what is ' +
      'damaged of it is told, with its inode. An interrupted scrub is gone on with; how far it ' +
      'was is in IMAGE.scrub. Exit status as of fsck(8): 0 nothing is wrong, 1 everything wrong ' +
      'was mended, 4 something is left. check also verifies that counts and names agree.',
    examples: [
      ['scrub work.img', 'all of it, as fast as it can be read'],
      ['scrub work.img --rate 20MiB', 'at most 20 MiB a second'],
      ['scrub work.img --no-repair', 'only tell'],
    ],
  })
    .argument('<image>', 'path of the image, or where it is mounted', parseImage)
    .option('--rate <size>', 'bytes to be read in a second, at most', parseRate)
    .option('--no-repair', 'tell what is wrong, and write nothing')
    .option('--restart', 'begin anew, wherever another scrub was interrupted')
    .action(async (image: string, options: Options) => {
      const start = performance.now();
      const { from, report } = await doing(`scrub ${image}`, () => scrub(image, options, terminal));
      const ms = performance.now() - start;
      if (options.json) {
        const { issues, repaired, verified } = report;
        const [left, mended] = [issues, repaired].map(issuesJson);
        await terminal.json({ image, from, issues: left, repaired: mended, verified });
      } else await print({ image, from, ms }, report, terminal);
      const left = report.issues.length > 0;
      terminal.status = left ? 4 : report.repaired.length > 0 ? 1 : 0;
    });
}

function parseRate(text: string): number {
  const rate = parseSize(text, 'rate');
  if (rate > 0) return rate;
  throw usageFault('Cannot scrub at a rate of 0: nothing would ever be read');
}

async function scrub(
  image: string,
  { rate, repair, restart }: Options,
  terminal: Terminal,
): Promise<{ from: number; report: ScrubReport }> {
  const progress = terminal.progress('scrub', 'bytes');
  try {
    return await withVolume(image, { write: repair }, async (volume, superblock) => {
      const place = new ScrubPlace(image, uuidOf(superblock));
      const from = restart ? 0 : place.read();
      const report = await volume.scrub({
        from,
        repair,
        bytesPerSecond: rate,
        signal: terminal.signal,
        progress: ({ position, done, total }) => {
          place.write(position);
          progress.update({ done, total, bytes: done });
        },
      });
      place.remove();
      return { from, report };
    });
  } finally {
    progress.end();
  }
}

/** Empty if it is written at the end of the image only: then a scrub cannot be gone on with. */
function uuidOf(superblock: () => Superblock): string {
  try {
    return superblockFacts(superblock()).uuid;
  } catch {
    return '';
  }
}

async function print(
  { image, from, ms }: { image: string; from: number; ms: number },
  { issues, repaired, verified }: ScrubReport,
  terminal: Terminal,
): Promise<void> {
  const { paint } = terminal;
  if (from > 0) await terminal.line(`went on from ${formatSize(from)}`);
  for (const issue of repaired) await terminal.line(`mended: ${issueLine(issue, paint)}`);
  for (const issue of issues) await terminal.line(issueLine(issue, paint));
  const parts = [
    ...(issues.length > 0 ? [counted(issues.length, 'issue')] : []),
    ...(repaired.length > 0 ? [`${repaired.length} mended`] : []),
  ];
  const result = paint.bold(parts.length === 0 ? 'clean' : parts.join(', '));
  const effort = `${formatSize(verified)} verified in ${formatTime(ms)}`;
  await terminal.line(`${image}: ${result}; ${effort}`);
}
