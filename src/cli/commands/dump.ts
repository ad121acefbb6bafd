/** ramet dump: decodes a block for people. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { BLOCK_SIZE } from '../../base/index.ts';
import { BLOCK_KINDS, type BlockKind, type Dumped, dumpBlock } from '../block-dump.ts';
import { addCommand, type CommonOptions } from '../command.ts';
import { doing, Fault } from '../faults.ts';
import { withDevice } from '../images.ts';
import { escapeControls } from '../names.ts';
import { readSuperblock } from '../superblocks.ts';
import { formatFacts, formatTable } from '../table.ts';
import type { Terminal } from '../terminal.ts';

interface Options extends CommonOptions {
  readonly as?: BlockKind;
}

export function addDump(program: Command, terminal: Terminal): void {
  addCommand(program, {
    name: 'dump',
    summary: 'decode a block of an image',
    notes:
      'Superblocks, counts, the index, the log and nodes of directories are known by themselves. ' +
      'A map node looks like data: say --as map. Nothing is verified; check does that.',
    examples: [
      ['dump work.img 0', 'a superblock'],
      ['dump work.img 0x2a1 --as map', 'a node of the map of a file'],
      ['dump work.img 700 --json', 'for programs'],
    ],
  })
    .argument('<image>', 'path of the image')
    .argument('<block>', 'number of the block, of 4 KiB', parseBlock)
    .addOption(new Option('--as <kind>', 'what the block is').choices([...BLOCK_KINDS]))
    .action(async (image: string, block: number, options: Options) => {
      await doing(`dump block ${block} of ${image}`, () => dump(image, block, options, terminal));
    });
}

function parseBlock(text: string): number {
  const block = Number(text);
  if (/^(?:\d+|0x[\da-f]+)$/iu.test(text) && Number.isSafeInteger(block)) return block;
  throw new InvalidArgumentError('Wanted the number of a block, as 17 or 0x11.');
}

async function dump(
  image: string,
  block: number,
  { as, json }: Options,
  terminal: Terminal,
): Promise<void> {
  const dumped = await withDevice(image, {}, (device) => {
    const superblock = readSuperblock(device);
    const { blockCount } = superblock.geometry;
    if (block >= blockCount) {
      const message = `Cannot dump block ${block}: the volume has blocks 0 to ${blockCount - 1}`;
      throw new Fault(message, { code: 'EINVAL' });
    }
    const read = (first: number, count: number): Uint8Array<ArrayBuffer> => {
      const bytes = new Uint8Array(count * BLOCK_SIZE);
      device.read(first * BLOCK_SIZE, bytes);
      return bytes;
    };
    return dumpBlock({ superblock, read }, block, as);
  });
  if (json) await terminal.json({ image, block, ...dumped });
  else await print(block, dumped, terminal);
}

async function print(
  block: number,
  { kind, facts, rows }: Dumped,
  terminal: Terminal,
): Promise<void> {
  const { paint } = terminal;
  await terminal.line(`block ${block}: ${paint.bold(kind)}`);
  const lines = Object.entries(facts).map(([name, value]) => [name, shown(value)] as const);
  if (lines.length > 0) await terminal.line(formatFacts(lines, paint.dim));
  const [first] = rows;
  if (first === undefined) return;
  const titles = Object.keys(first);
  const columns = titles.map((title) => {
    const number = typeof first[title] === 'number';
    return { title: title.toUpperCase(), align: number ? ('right' as const) : ('left' as const) };
  });
  const cells = rows.map((row) => titles.map((title) => shown(row[title] ?? null)));
  await terminal.line(`\n${formatTable(columns, cells, paint.dim)}`);
}

function shown(value: string | number | boolean | null): string {
  return value === null ? '-' : escapeControls(String(value));
}
