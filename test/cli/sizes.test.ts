import { expect, it } from 'vitest';
import { counted, formatSize, formatTime, parseSize } from '../../src/cli/sizes.ts';

it.each([
  ['0', 0],
  ['4096', 4096],
  ['4096B', 4096],
  ['64k', 65536],
  ['64K', 65536],
  ['64Ki', 65536],
  ['64KiB', 65536],
  ['1.5M', 1572864],
  ['1.5 MiB', 1572864],
  ['0.5k', 512],
  ['10g', 10737418240],
  ['10GiB', 10737418240],
  ['2T', 2199023255552],
  ['1PiB', 1125899906842624],
])('parseSize() reads %j as %d', (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});

it.each([
  ['10GB', 'it may count in 1000s or in 1024s; wanted a unit such as MiB, which counts in 1024s'],
  ['64kB', 'it may count in 1000s or in 1024s; wanted a unit such as MiB, which counts in 1024s'],
  ['10Gb', 'a small b is for bits; wanted a unit such as MiB'],
  ['10Gib', 'a small b is for bits; wanted a unit such as MiB'],
  ['', 'wanted a number and a unit, such as 64k or 10GiB'],
  ['k', 'wanted a number and a unit, such as 64k or 10GiB'],
  ['-1', 'wanted a number and a unit, such as 64k or 10GiB'],
  ['+1', 'wanted a number and a unit, such as 64k or 10GiB'],
  ['1e9', 'wanted a number and a unit, such as 64k or 10GiB'],
  ['0x10', 'wanted a number and a unit, such as 64k or 10GiB'],
  ['1,5M', 'wanted a number and a unit, such as 64k or 10GiB'],
  ['1.M', 'wanted a number and a unit, such as 64k or 10GiB'],
  ['.5M', 'wanted a number and a unit, such as 64k or 10GiB'],
  ['1_000', 'wanted a number and a unit, such as 64k or 10GiB'],
  [' 1k', 'wanted a number and a unit, such as 64k or 10GiB'],
  ['1k ', 'wanted a number and a unit, such as 64k or 10GiB'],
  ['1  k', 'wanted a number and a unit, such as 64k or 10GiB'],
  ['1kk', 'wanted a number and a unit, such as 64k or 10GiB'],
  ['10 apples', 'wanted a number and a unit, such as 64k or 10GiB'],
  ['Infinity', 'wanted a number and a unit, such as 64k or 10GiB'],
  ['0.0001k', 'it is not a whole number of bytes'],
  ['1.5', 'it is not a whole number of bytes'],
  ['8E', 'it is larger than 8 PiB'],
  ['99999999999999999999', 'it is larger than 8 PiB'],
])('parseSize() refuses %j', (text, reason) => {
  expect(() => parseSize(text)).toThrow(`Cannot use size ${JSON.stringify(text)}: ${reason}`);
});

it.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1024, '1 KiB'],
  [1536, '1.5 KiB'],
  [213091917, '203.2 MiB'],
  [10 * 2 ** 30, '10 GiB'],
])('formatSize() shows %d as %j, which parseSize() understands', (bytes, text) => {
  expect(formatSize(bytes)).toBe(text);
  expect(parseSize(text.replace(/\.\d/u, ''))).toBeLessThanOrEqual(bytes);
});

it.each([
  [0.0005, '0.50 us'],
  [0.0123, '12.3 us'],
  [0.9994, '999 us'],
  [1, '1.00 ms'],
  [12.345, '12.3 ms'],
  [999.4, '999 ms'],
  [1234, '1.23 s'],
  [59_990, '60.0 s'],
  [60_000, '1 min 0 s'],
  [125_400, '2 min 5 s'],
  [3_725_000, '1 h 2 min'],
])('formatTime() shows %d ms as %j', (ms, text) => {
  expect(formatTime(ms)).toBe(text);
});

it('counted() finds the plural', () => {
  expect([1, 2].map((count) => counted(count, 'file'))).toEqual(['1 file', '2 files']);
  expect(counted(12345, 'entry')).toBe('12,345 entries');
});
