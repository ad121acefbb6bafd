import { writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { parsePlace, parseSecond, showPlace } from '../../src/cli/place.ts';
import { Rig } from './rig.ts';

const rig = new Rig();

it.each([
  ['a.img', 'a.img', undefined, '/'],
  ['a.img:/', 'a.img', undefined, '/'],
  ['a.img:/b/c', 'a.img', undefined, '/b/c'],
  ['a.img:/b:/c', 'a.img', undefined, '/b:/c'],
  ['a.img@monday', 'a.img', 'monday', '/'],
  ['a.img@monday:/b', 'a.img', 'monday', '/b'],
  ['a@b.img@monday:/b', 'a@b.img', 'monday', '/b'],
  ['a.img:/b@c', 'a.img', undefined, '/b@c'],
  ['/mnt/me@host/a.img:/b', '/mnt/me@host/a.img', undefined, '/b'],
  ['/mnt/a:b/a.img:/b', '/mnt/a:b/a.img', undefined, '/b'],
  ['@a', '@a', undefined, '/'],
  ['a@', 'a@', undefined, '/'],
])('parsePlace() reads %j', (text, image, snapshot, path) => {
  expect(parsePlace(text)).toEqual({ image, snapshot, path });
});

it('parsePlace() takes a file that is there by its whole name', () => {
  const text = rig.path('me@home');
  expect(parsePlace(text)).toEqual({ image: rig.path('me'), snapshot: 'home', path: '/' });
  writeFileSync(text, '');
  expect(parsePlace(`${text}:/b`)).toEqual({ image: text, snapshot: undefined, path: '/b' });
});

it('parsePlace() refuses a place without an image', () => {
  expect(() => parsePlace(':/b')).toThrow('Cannot use ":/b": wanted an image');
  expect(() => parsePlace('')).toThrow('wanted an image');
});

it.each([
  ['/b', 'a.img:/b'],
  ['@monday', 'a.img@monday:/'],
  ['@monday:/b', 'a.img@monday:/b'],
  ['a.img:/b', 'a.img:/b'],
  ['./a.img:/b', 'a.img:/b'],
  ['a.img', 'a.img:/'],
])('parseSecond() reads %j beside a.img', (text, shown) => {
  expect(showPlace(parseSecond(text, parsePlace('a.img:/x')))).toBe(shown);
});

it('parseSecond() refuses another image', () => {
  const first = parsePlace('a.img:/x');
  expect(() => parseSecond('b.img:/y', first)).toThrow('both must be in one image');
  expect(() => parseSecond('b', first)).toThrow('both must be in one image');
});

it('showPlace() keeps to one line', () => {
  expect(showPlace(parsePlace('a.img:/b\nc\x1b[2J'))).toBe('a.img:/b\\nc\\x1b[2J');
});
