/**
 * docs/CLI.md: every command line in it is executed, by a shell, and prints what is written there.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { afterAll, expect, it } from 'vitest';
import manifest from '../../package.json' with { type: 'json' };
import { Console, consoleExamples, stable } from './console.ts';

const shell = new Console();
afterAll(() => shell.remove());

const examples = consoleExamples(readFileSync('docs/CLI.md', 'utf8'));

it('has an example of every command', () => {
  const help = execFileSync(process.execPath, [manifest.bin.ramet, 'help'], { encoding: 'utf8' });
  const names = [...help.matchAll(/^ {2}([a-z]+) \[options\]/gmu)].map(([, name]) => name);
  expect(names).toHaveLength(27);
  const shown = examples.map(({ command }) => /\bramet ([a-z]+)/u.exec(command)?.[1]);
  expect(shown).toEqual(expect.arrayContaining(names));
});

it.each(examples)('line $line: $command', ({ command, output }) => {
  expect(stable(shell.run(command))).toBe(stable(output));
});
