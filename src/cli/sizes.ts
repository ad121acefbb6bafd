/**
 * Sizes: text to bytes, strictly, and bytes to text.
 *
 * Units are powers of 1024: `64k`, `1.5M`, `10GiB`. `10GB` is refused, because to some it is 10^10
 * bytes and to others 10 GiB; so is anything else that two people could read differently.
 */
import { filesize } from 'filesize';
import { usageFault } from './faults.ts';

const UNITS = 'kmgtpe';
const SIZE = /^(?<number>\d+(?:\.\d+)?) ?(?:(?<unit>[kmgtpe])(?:i|iB)?|B)?$/iu;

/** Bytes that a size names. `what` is what they are for: "size", "length". */
export function parseSize(text: string, what = 'size'): number {
  const ambiguous = /^[\d.]+ ?[kmgtpe](?<rest>i?b)$/iu.exec(text)?.groups?.['rest'];
  if (ambiguous !== undefined && ambiguous !== 'iB') throw refused(text, what, reading(ambiguous));
  const { number = '', unit } = SIZE.exec(text)?.groups ?? {};
  if (number === '') throw refused(text, what, 'wanted a number and a unit, such as 64k or 10GiB');
  const power = unit === undefined ? 0 : UNITS.indexOf(unit.toLowerCase()) + 1;
  const bytes = Number(number) * 1024 ** power;
  if (!Number.isInteger(bytes)) throw refused(text, what, 'it is not a whole number of bytes');
  if (bytes > Number.MAX_SAFE_INTEGER) throw refused(text, what, 'it is larger than 8 PiB');
  return bytes;
}

function refused(text: string, what: string, reason: string): Error {
  return usageFault(`Cannot use ${what} ${JSON.stringify(text)}: ${reason}`);
}

/** Why a unit that ends in `rest` has two meanings. */
function reading(rest: string): string {
  if (rest.endsWith('b')) return 'a small b is for bits; wanted a unit such as MiB';
  return 'it may count in 1000s or in 1024s; wanted a unit such as MiB, which counts in 1024s';
}

/** Bytes for people: `63.2 MiB`. */
export function formatSize(bytes: number): string {
  return filesize(bytes, { standard: 'iec', round: 1 });
}

const THOUSANDS = new Intl.NumberFormat('en-US');

/** A count for people: `12,345`. */
export function formatCount(count: number): string {
  return THOUSANDS.format(count);
}

/** A count and its noun: `1 file`, `2 files`, `1 directory`, `2 directories`. */
export function counted(count: number, noun: string): string {
  if (count === 1) return `1 ${noun}`;
  const plural = noun.endsWith('y') ? `${noun.slice(0, -1)}ies` : `${noun}s`;
  return `${formatCount(count)} ${plural}`;
}

/** A length of time for people, with three digits that count: `850 us`, `1.23 s`, `2 min 5 s`. */
export function formatTime(ms: number): string {
  if (ms < 0.9995) return `${significant(ms * 1000)} us`;
  if (ms < 999.5) return `${significant(ms)} ms`;
  if (ms < 59_995) return `${significant(ms / 1000)} s`;
  const seconds = Math.round(ms / 1000);
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)];
  return hours > 0 ? `${formatCount(hours)} h ${minutes} min` : `${minutes} min ${seconds % 60} s`;
}

function significant(value: number): string {
  return value >= 99.95 ? value.toFixed(0) : value.toPrecision(value < 0.995 ? 2 : 3);
}
