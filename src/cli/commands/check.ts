/** ramet check: verifies an image. */
import { setImmediate } from 'node:timers/promises';
import type { Command } from 'commander';
import { type CheckReport, check, exitStatus, repair } from '../../check/index.ts';
import { seemsMounted } from '../../fuse/index.ts';
import { addCommand, type CommonOptions } from '../command.ts';
import { doing, Fault } from '../faults.ts';
import { withDevice } from '../images.ts';
import { issueLine, issuesJson } from '../issues.ts';
import { counted, formatSize, formatTime } from '../sizes.ts';
import type { Terminal } from '../terminal.ts';

interface Options extends CommonOptions {
  /** commander's name for --no-data. */
  readonly data: boolean;
  readonly repair?: boolean;
  readonly dryRun?: boolean;
}

export function addCheck(program: Command, terminal: Terminal): void {
  addCommand(program, {
    name: 'check',
    summary: 'verify an image: structures, counts and checksums',
    notes:
      'Reads everything and, without --repair, changes nothing. A repair changes nothing that ' +
      'can be read; what has no place goes to /lost+found. Exit status as of fsck(8): ' +
      '0 nothing is wrong or only warnings, 1 errors were repaired, 4 errors are left, 8 the ' +
      'check could not be done.',
    examples: [
      ['check work.img', 'everything'],
      ['check work.img --no-data', 'structures only, without the data of files'],
      ['check work.img --json', 'one value with all issues'],
      ['check work.img --repair', 'what is wrong is put right, what is lost is looked for'],
      ['check work.img --dry-run', 'what --repair would do'],
    ],
  })
    .argument('<image>', 'path of the image')
    .option('--no-data', 'leave out the checksums of file data')
    .option('--repair', 'put right what is wrong, without losing what can be read')
    .option('--dry-run', 'tell what --repair would do, and write nothing')
    .action(async (image: string, options: Options) => {
      if (options.repair || options.dryRun) {
        await repairImage(image, options, terminal);
        return;
      }
      const work = doing(`check ${image}`, () => checkImage(image, options, terminal));
      const report = await work.catch((error: unknown) => hintAtScrub(image, error));
      if (options.json) await terminal.json({ image, ...reportJson(report) });
      else await print(image, report, terminal);
      terminal.status = exitStatus(report);
    });
}

/** What is mounted is somebody's own; but it can be verified. */
function hintAtScrub(image: string, error: unknown): never {
  if (!(error instanceof Fault) || error.code !== 'EBUSY' || !seemsMounted(image)) throw error;
  const hint = 'ramet scrub verifies a volume that is mounted';
  throw new Fault(`${error.message}; ${hint}`, { code: 'EBUSY', status: error.status });
}

async function checkImage(
  image: string,
  { data }: Options,
  terminal: Terminal,
): Promise<CheckReport> {
  const progress = terminal.progress('check', 'items');
  try {
    return await withDevice(image, {}, (device) =>
      check(device, {
        data,
        signal: terminal.signal,
        progress: ({ done, total }) => progress.update({ done, total }),
        pause: () => setImmediate(),
        now: () => performance.now(),
      }),
    );
  } finally {
    progress.end();
  }
}

async function repairImage(image: string, options: Options, terminal: Terminal): Promise<void> {
  const { data, dryRun, json } = options;
  const write = dryRun !== true;
  const {
    before,
    done,
    left: not,
    after,
  } = await doing(`repair ${image}`, () =>
    withDevice(image, { write }, (device) =>
      repair(device, {
        data,
        dryRun: !write,
        signal: terminal.signal,
        now: () => performance.now(),
      }),
    ),
  );
  if (json) {
    await terminal.json({
      image,
      before: reportJson(before),
      done,
      left: not,
      after: reportJson(after),
    });
  } else {
    await print(image, before, terminal);
    for (const what of done) await terminal.line(`${write ? 'done' : 'to do'}: ${what}`);
    for (const what of not) await terminal.line(`left: ${what}`);
    if (done.length === 0) await terminal.line('there is nothing that can be repaired');
    else if (write) await print(image, after, terminal);
  }
  const left = exitStatus(after);
  terminal.status = left === 0 && exitStatus(before) !== 0 ? 1 : left;
}

/** A report as JSON takes it. */
function reportJson({ verdict, issues, found, statistics }: CheckReport): Record<string, unknown> {
  return {
    verdict,
    issues: issuesJson(issues),
    found: Object.fromEntries(found),
    statistics,
  };
}

async function print(image: string, report: CheckReport, terminal: Terminal): Promise<void> {
  const { issues, found, statistics, verdict } = report;
  for (const issue of issues) await terminal.line(issueLine(issue, terminal.paint));
  const kept = issues.length;
  const all = [...found.values()].reduce((sum, count) => sum + count, 0);
  if (all > kept) await terminal.line(`and ${counted(all - kept, 'issue')} of the same kinds`);
  const { files, directories, verified, seconds } = statistics;
  const what = `${counted(files, 'file')}, ${counted(directories, 'directory')}`;
  const effort = `${formatSize(verified)} verified in ${formatTime(seconds * 1000)}`;
  const result = all === 0 ? verdict : `${verdict}, ${counted(all, 'issue')}`;
  await terminal.line(`${image}: ${terminal.paint.bold(result)}; ${what}, ${effort}`);
}
