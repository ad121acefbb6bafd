/**
 * Console: examples of the command line in documents, and a shell that executes them.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import manifest from '../../package.json' with { type: 'json' };

export interface ConsoleExample {
  readonly line: number;
  readonly command: string;
  readonly output: string;
}

/** Command lines of the blocks marked `console`, with what they print. */
export function consoleExamples(text: string): ConsoleExample[] {
  const examples: { line: number; command: string; output: string }[] = [];
  let inside = false;
  text.split('\n').forEach((line, index) => {
    if (line.startsWith('```')) inside = line === '```console';
    else if (!inside) return;
    else if (line.startsWith('$ '))
      examples.push({ line: index + 1, command: line.slice(2), output: '' });
    else (examples.at(-1) as { output: string }).output += `${line}\n`;
  });
  return examples;
}

/** What differs between two runs: times, dates, sizes, rates, addresses, identities, padding. */
const VARIABLE: readonly (readonly [RegExp, string])[] = [
  [/\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/gu, 'UUID'],
  [/\b\d{4}-\d\d-\d\d \d\d:\d\d\b/gu, 'DATE'],
  [/\b0x[0-9a-f]+\b/gu, 'ADDRESS'],
  [/[+-]?\b[\d.]+ (?:[KMGT]i)?B(?:\/s)?/gu, 'SIZE'],
  [/\b[\d.]+ (?:us|ms|s)\b/gu, 'TIME'],
  [/\b[\d.]+%/gu, 'SHARE'],
  [/commit \d+/gu, 'COMMIT'],
  [/-rw-r--r-- 1 \d+ \d+/gu, 'MODE'],
  [/\d+ directories(?=, SIZE verified)/gu, 'DIRECTORIES'],
  [/"(left|right)":\d+/gu, '"$1":INODE'],
  [/ +/gu, ' '],
];

/** Output without what differs between two runs. */
export function stable(output: string): string {
  const text = VARIABLE.reduce((all, [pattern, word]) => all.replace(pattern, word), output);
  return text
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
    .trimEnd();
}

/** A folder of its own, and a shell in it that knows `ramet`, as it was built. */
export class Console {
  readonly folder = mkdtempSync(join(tmpdir(), 'ramet-docs-'));
  readonly #path = mkdtempSync(join(tmpdir(), 'ramet-path-'));

  constructor() {
    const script = `#!/bin/sh\nexec '${process.execPath}' '${resolve(manifest.bin.ramet)}' "$@"\n`;
    writeFileSync(join(this.#path, 'ramet'), script, { mode: 0o755 });
  }

  /** What a command line prints on both streams. */
  run(command: string): string {
    const environment = { ...process.env, PATH: `${this.#path}${delimiter}${process.env['PATH']}` };
    return execFileSync('/bin/sh', ['-c', `umask 022; { ${command}\n} 2>&1 || true`], {
      cwd: this.folder,
      env: environment,
      encoding: 'utf8',
    });
  }

  remove(): void {
    for (const folder of [this.folder, this.#path]) rmSync(folder, { recursive: true });
  }
}
