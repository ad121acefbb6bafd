/** ramet info: what an image is. */
import type { Command } from 'commander';
import type { SnapshotInfo } from '../../api/index.ts';
import { addCommand, type CommonOptions } from '../command.ts';
import { minuteText } from '../entries.ts';
import { doing } from '../faults.ts';
import { withVolume } from '../images.ts';
import { escapeControls } from '../names.ts';
import { parseImage } from '../place.ts';
import { counted, formatCount, formatSize } from '../sizes.ts';
import { superblockFacts } from '../superblocks.ts';
import { formatFacts } from '../table.ts';
import type { Terminal } from '../terminal.ts';

export function addInfo(program: Command, terminal: Terminal): void {
  addCommand(program, {
    name: 'info',
    summary: 'tell what an image is: size, free space, format, snapshots',
    examples: [
      ['info work.img', 'for people'],
      ['info work.img --json', 'for programs'],
    ],
  })
    .argument('<image>', 'path of the image, or where it is mounted', parseImage)
    .action(async (image: string, options: CommonOptions) => {
      await doing(`read ${image}`, () => show(image, options, terminal));
    });
}

interface Picture extends ReturnType<typeof superblockFacts> {
  readonly image: string;
  readonly label: string;
  readonly size: number;
  readonly free: number;
  readonly snapshots: readonly SnapshotInfo[];
}

async function show(image: string, { json }: CommonOptions, terminal: Terminal): Promise<void> {
  const picture = await withVolume(image, {}, (volume, superblock): Picture => {
    const { bsize, blocks, bavail } = volume.fs.statfsSync('/');
    return {
      image,
      label: volume.label,
      size: blocks * bsize,
      free: bavail * bsize,
      ...superblockFacts(superblock()),
      snapshots: volume.snapshotsSync(),
    };
  });
  if (json) await terminal.json(picture);
  else await print(picture, terminal);
}

async function print(picture: Picture, terminal: Terminal): Promise<void> {
  const { size, free, created, committed, txg } = picture;
  const used = size - free;
  const share = ((100 * used) / size).toFixed(1);
  const facts: [string, string][] = [
    ...(picture.label === '' ? [] : [['label', escapeControls(picture.label)] as [string, string]]),
    ['uuid', picture.uuid],
    ['format', picture.format],
    ['size', formatSize(size)],
    ['used', `${formatSize(used)}, ${share}%`],
    ['free', formatSize(free)],
    ['created', minuteText(new Date(created))],
    ['changed', `${minuteText(new Date(committed))}, commit ${formatCount(txg)}`],
    ['snapshots', snapshotText(picture.snapshots)],
  ];
  await terminal.line(picture.image);
  await terminal.line(formatFacts(facts, terminal.paint.dim));
}

const SHOWN = 5;

function snapshotText(snapshots: readonly SnapshotInfo[]): string {
  if (snapshots.length === 0) return 'none';
  const names = snapshots.slice(-SHOWN).map(({ name }) => escapeControls(name));
  const rest = snapshots.length - names.length;
  const more = rest > 0 ? [`and ${counted(rest, 'older one')}`] : [];
  return [...names, ...more].join(', ');
}
