/**
 * Every example in docs/ and in the docstrings of src/ runs, and prints what it says. It finds a
 * volume in `work.img`, with a directory `/src`.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Volume } from '../../src/index.ts';
import { whyNoMount } from '../fuse/real.ts';
import { examplesIn, filesBelow, promised, runExample } from './examples.ts';

const sources = filesBelow('src', '.ts').filter((path) => !path.endsWith('.test.ts'));
const examples = [...filesBelow('docs', '.md'), ...sources].flatMap(examplesIn);

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ramet-examples-'));
  const vol = Volume.openSync(join(folder, 'work.img'), { create: true, size: 64 * 2 ** 20 });
  vol.fs.mkdirSync('/src');
  vol.fs.writeFileSync('/src/main.c', 'int main;\n');
  vol.closeSync();
});

afterEach(() => rmSync(folder, { recursive: true }));

it('finds examples', () => {
  expect(examples.length).toBeGreaterThan(1);
});

const noMount = whyNoMount();

it.each(examples)('$place', async (example) => {
  if (noMount !== undefined && example.code.includes('.mount(')) {
    process.stdout.write(`\nNOT TESTED: ${example.place}: ${noMount}\n`);
    return;
  }
  expect(await runExample(example, folder)).toEqual(promised(example));
});
