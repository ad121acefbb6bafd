/**
 * Fingerprint: a hash of every structure as the code writes it, and of every constant.
 *
 * A change of layout that nobody meant shows here before it reaches an image.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import * as format from '../../src/format/index.ts';
import { digest } from './golden.ts';
import * as sample from './samples.ts';

const PATH = new URL('./fingerprint.json', import.meta.url).pathname;

/** Numbers, and tables of numbers, that the format room offers. */
function constants(): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(format)
      .filter(([, value]) => typeof value === 'number' || typeof value === 'object')
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

function geometries(): unknown[] {
  const requests = [
    { size: 2 ** 18, logBlocks: 2 },
    { size: 2 ** 20, groupBlocks: 256 },
    { size: 2 ** 24, groupBlocks: 256, countCap: 1 as const },
    { size: 2 ** 34 },
    { size: 2 ** 44 },
  ];
  return requests.map((request) => format.planGeometry(request));
}

function fingerprints(): Record<string, string> {
  const text = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
  const mutations = sample.MUTATIONS.map((mutation) => [
    `mutation ${mutation.type}`,
    sample.mutationSample(mutation),
  ]);
  const encoded: Record<string, Uint8Array> = {
    constants: text(constants()),
    geometries: text(geometries()),
    superblock: sample.superblockSample(),
    time: sample.timeSample(),
    'index entry': sample.entrySample(),
    slot: sample.slotSample(),
    leaf: sample.nodeSample(),
    'interior node': sample.nodeSample({}, false),
    'record with inline parts': sample.recordSample(),
    'record with slots': sample.slottedRecordSample(),
    'link record': sample.linkSample(),
    attributes: sample.attributesSample(),
    'log frame': sample.frameSample(),
    ...Object.fromEntries(mutations),
  };
  return Object.fromEntries(Object.entries(encoded).map(([name, bytes]) => [name, digest(bytes)]));
}

const ADVICE = `
The bytes that ramet writes have changed. If nobody meant that, an image written by this code cannot
be read by others: undo it. If it was meant, follow "Changing the format" in docs/FORMAT.md, then
store the new fingerprint with
  RAMET_GOLDEN=write npx vitest run test/format/fingerprint.test.ts && npm run format`;

it('the layouts are those that are documented', () => {
  const found = fingerprints();
  if (process.env['RAMET_GOLDEN'] === 'write') {
    writeFileSync(PATH, `${JSON.stringify(found, null, 2)}\n`);
  }
  const known = JSON.parse(readFileSync(PATH, 'utf8')) as Record<string, string>;
  const names = new Set([...Object.keys(found), ...Object.keys(known)]);
  const changed = [...names].filter((name) => found[name] !== known[name]);
  expect(changed, ADVICE).toEqual([]);
});
