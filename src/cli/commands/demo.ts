/** ramet demo: a thousand writable copies of one tree, every one of them checked. */
import * as host from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Command } from 'commander';
import { addCommand, type CommonOptions } from '../command.ts';
import { Demo } from '../demo/run.ts';
import { Stage } from '../demo/stage.ts';
import { doing, Fault, usageFault } from '../faults.ts';
import type { Terminal } from '../terminal.ts';

interface Options extends CommonOptions {
  readonly source?: string;
  readonly clones: number;
  readonly seed: number;
  readonly directory?: string;
  /** commander's name for --no-compare. */
  readonly compare: boolean;
}

const CLONES_MAX = 9999;

export function addDemo(program: Command, terminal: Terminal): void {
  addCommand(program, {
    name: 'demo',
    summary: 'clone a node_modules a thousand times, edit, read back, compare with cp',
    notes:
      'Imports a tree into an image, clones it, edits a file in each clone, and compares ' +
      'what comes back with what must, byte for byte; exit status 1 if anything differs. ' +
      'Then copies the same tree with cp -R and, if root may mount one, on an XFS. Takes ' +
      'about a minute and some four times the size of the tree; everything it makes is ' +
      'removed, also after Ctrl-C.',
    examples: [
      ['demo', 'with the nearest node_modules'],
      ['demo --source src --clones 100', 'with another tree'],
      ['demo --seed 7', 'the same edits again'],
    ],
  })
    .option('--source <directory>', 'tree to clone; else the nearest node_modules')
    .option('--clones <n>', 'how many clones', (text) => parseNumber(text, 1, CLONES_MAX), 1000)
    .option('--seed <n>', 'where chance begins', (text) => parseNumber(text, 0, 2 ** 32 - 1), 1)
    .option('--directory <path>', 'where to work; else the directory for temporary files')
    .option('--no-compare', 'do not measure how others copy the tree')
    .action(async (options: Options) => {
      const source = options.source ?? nearestModules(process.cwd());
      const { clones, seed, compare } = options;
      const stage = new Stage(terminal, options.json === true);
      await doing(`demonstrate with ${source}`, async () => {
        // Fails here, before anything is made, if there is no such directory.
        host.readdirSync(source);
        const folder = host.mkdtempSync(join(options.directory ?? tmpdir(), 'ramet-demo-'));
        try {
          await new Demo({ source, clones, seed, compare, folder }, terminal, stage).run();
        } finally {
          host.rmSync(folder, { recursive: true, force: true });
        }
      });
    });
}

/** The node_modules of the directory or of the nearest one above it. */
function nearestModules(directory: string): string {
  const path = join(directory, 'node_modules');
  if (host.existsSync(path)) return path;
  const parent = dirname(directory);
  if (parent !== directory) return nearestModules(parent);
  throw new Fault('Cannot find a node_modules from here upward: --source names another tree');
}

function parseNumber(text: string, low: number, high: number): number {
  const number = /^\d{1,10}$/u.test(text) ? Number(text) : -1;
  if (number >= low && number <= high) return number;
  throw usageFault(`Cannot use ${JSON.stringify(text)}: wanted a number from ${low} to ${high}`);
}
