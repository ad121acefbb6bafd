/**
 * The verifier finds every fault of its catalogue where it was planted, and nothing that was not.
 */
import { describe, expect, it } from 'vitest';
import { equalBytes } from '../../src/base/index.ts';
import {
  CATALOGUE,
  checkSync,
  describeIssue,
  exitStatus,
  type IssueCode,
} from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { goldenImage } from '../format/golden.ts';
import { ImageEditor } from './image-editor.ts';
import { PLANTS, type Plant, planted } from './plants.ts';

const EXIT = { warning: 0, error: 4, fatal: 8 } as const;

describe('check', () => {
  it('has a planted fault for every code', () => {
    expect(Object.keys(PLANTS).sort()).toEqual(Object.keys(CATALOGUE).sort());
  });

  it('finds nothing in an image that was sealed again', () => {
    const editor = new ImageEditor(goldenImage());
    expect(equalBytes(editor.seal().bytes, goldenImage())).toBe(true);
    expect(checkSync(MemoryDevice.from(editor.bytes)).issues).toEqual([]);
  });

  const plants = Object.entries(PLANTS) as [IssueCode, Plant][];
  it.each(plants)('finds %s', (code, plant) => {
    const report = checkSync(planted(plant), plant.options ?? {});
    const expected = [code, ...(plant.also ?? [])];
    const sentences = report.issues.map(describeIssue);
    expect([...report.found.keys()].sort(), sentences.join('\n')).toEqual(expected.sort());
    for (const sentence of sentences) expect(sentence).toMatch(/^[A-Z][^\n]*[^.\n]$/);
    const severities = expected.map((each) => EXIT[CATALOGUE[each].severity]);
    expect(exitStatus(report)).toBe(Math.max(...severities));
  });
});
