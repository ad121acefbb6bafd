/**
 * README.md: its program prints what it says, and its command lines, in the same folder and beside
 * the sources of ramet, print what is written there. Numbers of files are those of one day.
 */
import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { Console, consoleExamples, stable } from '../cli/console.ts';
import { type Example, examplesIn, promised, runExample } from './examples.ts';

const shell = new Console();
cpSync('src', join(shell.folder, 'src'), { recursive: true });
afterAll(() => shell.remove());

const [program, ...others] = examplesIn('README.md');

/** Sources come and go. */
function counted(output: string): string {
  return stable(output).replaceAll(/[\d,]+ (?=files|directories)/gu, 'N ');
}

it('has one program, which prints what it says', async () => {
  expect(others).toEqual([]);
  const promises = promised(program as Example);
  expect(promises.length).toBeGreaterThan(1);
  expect(await runExample(program as Example, shell.folder)).toEqual(promises);
});

const commands = consoleExamples(readFileSync('README.md', 'utf8'));

it.each(commands)('line $line: $command', ({ command, output }) => {
  expect(counted(shell.run(command))).toBe(counted(output));
});
