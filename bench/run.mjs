#!/usr/bin/env node
/**
 * Benchmarks: each figure beside its peer, measured in the same run.
 *
 *   npm run bench                  all of them, as a table
 *   npm run bench -- clone read    only those whose name contains one of the words
 *   npm run bench -- --json        one object a line: name, ours, peer, ratio, target, ok
 *
 * Figures are medians. What needs root (loop mounts of XFS and btrfs) is left out without it, and
 * said so. Nothing here fails a build: a noisy machine is no defect.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Mounts } from './mounts.mjs';
import { format } from './report.mjs';

const CASES = [
  'clone-file',
  'clone-directory',
  'random-read',
  'overwrite',
  'views',
  'edges',
  'direct',
  'turns',
  'durability',
  'inplace',
  'check',
  'small-files',
  'import',
  'mount',
  'mount-work',
  'memory',
  'open',
];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'boolean', default: false } },
});

if (!existsSync(new URL('../dist/index.js', import.meta.url))) {
  console.error('Cannot run the benchmarks: dist/ is missing, run "npm run build" first');
  process.exit(2);
}

const folder = mkdtempSync(join(tmpdir(), 'ramet-bench-'));
const mounts = new Mounts(folder);
process.on('SIGINT', () => process.exit(130));
process.on('exit', () => {
  mounts.close();
  rmSync(folder, { recursive: true, force: true });
});

let missed = 0;
if (!values.json) for (const line of mounts.describe()) console.log(line);
for (const name of CASES) {
  if (positionals.length > 0 && !positionals.some((word) => name.includes(word))) continue;
  const { run } = await import(`./cases/${name}.mjs`);
  for await (const row of run({ folder, mounts })) {
    if (!row.ok) missed++;
    console.log(values.json ? JSON.stringify(row) : format(row));
  }
}
if (!values.json) console.log(missed === 0 ? 'All targets met.' : `${missed} targets missed.`);
