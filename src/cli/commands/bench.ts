/** ramet bench: how fast an image is on this machine. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { Volume } from '../../api/index.ts';
import { BLOCK_SIZE, GIB, MIB } from '../../base/index.ts';
import { FileDevice } from '../../device/node.ts';
import { Random } from '../../testing/index.ts';
import { addCommand, type CommonOptions } from '../command.ts';
import { doing, usageFault } from '../faults.ts';
import { withVolumeOn } from '../images.ts';
import { formatCount, formatSize, formatTime, parseSize } from '../sizes.ts';
import { formatTable } from '../table.ts';
import type { Terminal } from '../terminal.ts';

interface Options extends CommonOptions {
  readonly size: number;
  readonly directory?: string;
}

const SIZE_MAX = 64 * GIB;

export function addBench(program: Command, terminal: Terminal): void {
  addCommand(program, {
    name: 'bench',
    summary: 'measure writing, reading and cloning on this machine',
    notes:
      'Works on an image of its own, which is removed afterwards. Writing includes making ' +
      "it durable; reading finds the image in the system's own cache.",
    examples: [
      ['bench', 'with 256 MiB in the directory for temporary files'],
      ['bench --size 2GiB --directory /mnt/disk', 'with more, on another disk'],
    ],
  })
    .option(
      '--size <size>',
      'bytes to write and read',
      (text: string) => parseSize(text),
      256 * MIB,
    )
    .option('--directory <path>', 'where to put the image')
    .action(async (options: Options) => {
      if (options.size < MIB || options.size > SIZE_MAX) {
        throw usageFault(`Cannot measure with ${formatSize(options.size)}: wanted 1 MiB to 64 GiB`);
      }
      await doing('measure', () => bench(options, terminal));
    });
}

/** What one step came to. */
interface Measure {
  readonly name: string;
  readonly count: number;
  readonly bytes: number;
  readonly seconds: number;
}

/** One step: gives way as often as it wants to. */
interface Step {
  readonly name: string;
  readonly count: number;
  readonly bytes: number;
  readonly steps: (volume: Volume) => Generator<void, void, void>;
}

async function bench({ size, directory, json }: Options, terminal: Terminal): Promise<void> {
  const folder = mkdtempSync(join(directory ?? tmpdir(), 'ramet-bench-'));
  const measures: Measure[] = [];
  try {
    const device = FileDevice.open(join(folder, 'bench.img'), {
      create: true,
      size: 4 * size + GIB,
    });
    try {
      await withVolumeOn(device, { create: true }, async (volume) => {
        for (const step of plan(size)) measures.push(await measure(step, volume, terminal));
      });
    } finally {
      device.close();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  if (json) for (const one of measures) await terminal.json(one);
  else await terminal.line(table(measures, terminal));
}

async function measure(step: Step, volume: Volume, terminal: Terminal): Promise<Measure> {
  const { name, count, bytes } = step;
  const progress = terminal.progress(name, 'items');
  const start = performance.now();
  let done = 0;
  try {
    await terminal.work(
      counting(step.steps(volume), () => done++),
      () => progress.update({ done, total: count }),
    );
    volume.syncSync();
  } finally {
    progress.end();
  }
  return { name, count, bytes, seconds: (performance.now() - start) / 1000 };
}

function* counting(steps: Generator<void>, count: () => void): Generator<void, void, void> {
  for (const _ of steps) {
    count();
    yield;
  }
}

const CLONES = 1000;
const SMALL_FILES = 2000;
const SEED = 1;

/** The steps; the numbers they draw are the same in every run. */
function plan(size: number): Step[] {
  const chunks = Math.floor(size / MIB);
  const bytes = chunks * MIB;
  const random = new Random(SEED);
  const chunk = random.bytes(MIB);
  const block = random.bytes(BLOCK_SIZE);
  return [
    step('write, 1 MiB each', chunks, MIB, ({ fs }) => {
      const fd = fs.openSync('/large', 'w');
      return (at) => fs.writeSync(fd, chunk, 0, MIB, at * MIB);
    }),
    step('read, 1 MiB each', chunks, MIB, ({ fs }) => {
      const fd = fs.openSync('/large', 'r');
      return (at) => fs.readSync(fd, chunk, 0, MIB, at * MIB);
    }),
    step('read, 4 KiB each, anywhere', chunks * 16, BLOCK_SIZE, ({ fs }) => {
      const fd = fs.openSync('/large', 'r');
      const blocks = bytes / BLOCK_SIZE;
      return () => fs.readSync(fd, block, 0, BLOCK_SIZE, random.below(blocks) * BLOCK_SIZE);
    }),
    step('make a file of 4 KiB', SMALL_FILES, BLOCK_SIZE, ({ fs }) => {
      fs.mkdirSync('/small');
      return (at) => fs.writeFileSync(`/small/${at}`, block);
    }),
    step('clone a file', CLONES, 0, (volume) => {
      volume.fs.mkdirSync('/files');
      return (at) => volume.cloneSync('/large', `/files/${at}`);
    }),
    step('clone a directory', CLONES, 0, (volume) => {
      volume.fs.mkdirSync('/trees');
      return (at) => volume.cloneSync('/small', `/trees/${at}`);
    }),
    step('write 1 byte in each clone', CLONES, 1, ({ fs }) => (at) => {
      const fd = fs.openSync(`/files/${at}`, 'r+');
      fs.writeSync(fd, block, 0, 1, random.below(bytes));
      fs.closeSync(fd);
    }),
  ];
}

/** A step that does `count` times the same, with `size` bytes each time. */
function step(
  name: string,
  count: number,
  size: number,
  prepare: (volume: Volume) => (at: number) => void,
): Step {
  function* steps(volume: Volume): Generator<void, void, void> {
    const body = prepare(volume);
    for (let at = 0; at < count; at++) {
      body(at);
      yield;
    }
  }
  return { name, count, bytes: count * size, steps };
}

function table(measures: readonly Measure[], { paint }: Terminal): string {
  const rows = measures.map(({ name, count, bytes, seconds }) => [
    name,
    formatCount(count),
    formatTime(seconds * 1000),
    formatTime((seconds * 1000) / count),
    bytes < MIB ? '' : `${formatSize(bytes / seconds)}/s`,
  ]);
  const columns = ['STEP', 'TIMES', 'TOGETHER', 'EACH', 'RATE'].map(
    (title, at) => ({ title, align: at === 0 ? 'left' : 'right' }) as const,
  );
  return formatTable(columns, rows, paint.dim);
}
