/**
 * Commands: how each is described, so that all of them are described alike.
 */
import type { Command } from 'commander';
import { type Place, showPlace } from './place.ts';

export interface Outline {
  readonly name: string;
  readonly summary: string;
  /** What `--help` says between the options and the examples. */
  readonly notes?: string;
  /** Command lines without `ramet`, each with what it does. At least one. */
  readonly examples: readonly (readonly [line: string, effect: string])[];
}

/** Adds a command; the caller gives it arguments, options and an action. */
export function addCommand(program: Command, outline: Outline): Command {
  const { name, summary, notes, examples } = outline;
  const width = Math.max(...examples.map(([line]) => line.length));
  const lines = examples.map(([line, effect]) => `  ramet ${line.padEnd(width)}  ${effect}`);
  const told = notes === undefined ? '' : `\n${wrap(notes)}\n`;
  return program
    .command(name)
    .description(summary)
    .option('--json', 'print JSON, one value a line')
    .addHelpText('after', `${told}\nExamples:\n${lines.join('\n')}`);
}

const HELP_WIDTH = 96;

/** Breaks a text into lines at its spaces. */
function wrap(text: string): string {
  return text.replace(new RegExp(`(.{1,${HELP_WIDTH}})(?: |$)`, 'gu'), '$1\n').trimEnd();
}

/** Options that every command has. */
export interface CommonOptions {
  readonly json?: true;
}

/** What a command is doing, in the words of its faults. */
export function action(verb: string, place: Place): string {
  return `${verb} ${showPlace(place)}`;
}
