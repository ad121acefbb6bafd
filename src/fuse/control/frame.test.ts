import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BigIntStats, Dirent, type Stats } from '../../api/index.ts';
import { FilesystemError } from '../../base/index.ts';
import { decodeFrame, encodeFrame, FrameReader, flagsOf, MalformedFrame } from './frame.ts';

/** What is sent and what comes of it. */
function sent(value: unknown): unknown {
  return decodeFrame(encodeFrame(value));
}

/** Values of calls: what JSON has, and what it has not. */
const values = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.string({ unit: 'binary' }),
    fc.double(),
    fc.bigInt(),
    fc.boolean(),
    fc.constantFrom(null, undefined),
    fc.date({ noInvalidDate: true }),
    fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(
      fc.string().filter((name) => name !== '__proto__' && name !== '$'),
      tie('value'),
      { noNullPrototype: true, maxKeys: 5 },
    ),
  ),
})).value;

describe('a frame', () => {
  it('brings any value of a call across', () => {
    fc.assert(
      fc.property(values, (value) => {
        expect(sent(value)).toEqual(value);
      }),
    );
  });

  it('brings errors across as they were', () => {
    const error = new FilesystemError('ENOSPC', 'Cannot write: full', { path: '/x' });
    const { name, code, errno, message, path } = sent(error) as FilesystemError;
    expect({ name, code, errno, message, path }).toEqual({
      name: 'FilesystemError',
      code: 'ENOSPC',
      errno: -28,
      message: 'Cannot write: full',
      path: '/x',
    });
    const range = sent(Object.assign(new RangeError('no'), { code: 'ERR_OUT_OF_RANGE' }));
    expect(range).toBeInstanceOf(RangeError);
    expect(range).toMatchObject({ message: 'no', code: 'ERR_OUT_OF_RANGE' });
  });

  it('brings attributes and entries across with what can be asked of them', () => {
    const now = { sec: 1_600_000_000, nsec: 123_456_789 };
    const times = { atime: now, mtime: now, ctime: now, btime: now };
    const vnode = { kind: 2, mode: 0o751, nlink: 2, uid: 1, gid: 2, rdev: 0, ino: 7, size: 9 };
    const inode = { ...vnode, ...times, realm: { id: 3 }, sectors: 32 };
    const stats = new BigIntStats(inode as unknown as ConstructorParameters<typeof Stats>[0]);
    const came = sent(stats) as BigIntStats;
    expect({ ...came }).toEqual({ ...stats });
    expect([came.isDirectory(), came.isFile(), came.mtimeMs, came.mtime]).toEqual([
      stats.isDirectory(),
      stats.isFile(),
      stats.mtimeMs,
      stats.mtime,
    ]);
    expect([came.isDirectory(), came.isFile()].filter(Boolean)).toHaveLength(1);
    const entry = new Dirent('\xc3\xa9', 2, '/d', 'utf8');
    const { name, parentPath, path } = sent(entry) as Dirent;
    expect({ name, parentPath, path }).toEqual({ name: 'é', parentPath: '/d', path: '/d' });
  });

  it('refuses what cannot be sent, before it is sent', () => {
    expect(() => encodeFrame({ call: () => {} })).toThrow('Cannot send a function');
    expect(() => encodeFrame({ $: 1 })).toThrow('Cannot send a field "$"');
    expect(() => encodeFrame(JSON.parse('{"__proto__": 1}'))).toThrow('"__proto__"');
  });

  it('is cut out of a stream wherever that is cut', () => {
    const frames = [encodeFrame({ a: new Uint8Array(100) }, 1), encodeFrame('b'), encodeFrame([])];
    const stream = Buffer.concat(frames);
    for (let size = 1; size <= stream.length; size++) {
      const reader = new FrameReader(1000);
      const found: Uint8Array[] = [];
      for (let at = 0; at < stream.length; at += size) {
        found.push(...reader.push(stream.subarray(at, at + size)));
      }
      expect(found.map((frame) => decodeFrame(frame))).toEqual([{ a: Buffer.alloc(100) }, 'b', []]);
      expect(found.map(flagsOf)).toEqual([1, 0, 0]);
    }
  });

  it('of more bytes than allowed ends the stream at once', () => {
    const reader = new FrameReader(1000);
    expect(() => reader.push(Uint8Array.of(0xff, 0xff, 0xff, 0x7f))).toThrow(MalformedFrame);
    expect(() => new FrameReader(1000).push(new Uint8Array(4))).toThrow(MalformedFrame);
  });

  it('that was altered is a value or malformed, and pollutes nothing', () => {
    const marks = [
      'bytes',
      'number',
      'bigint',
      'date',
      'url',
      'error',
      'stats',
      'dirent',
      'none',
      'signal',
      'symbol',
      'function',
      'alien',
    ];
    const json = fc.oneof(
      fc.json(),
      fc.string(),
      fc
        .tuple(fc.constantFrom(...marks), fc.jsonValue(), fc.jsonValue(), fc.jsonValue())
        .map((list) => JSON.stringify({ $: list })),
      fc.constantFrom('{"__proto__": {"polluted": 1}}', `${'['.repeat(90_000)}`, '{"$": 1}'),
    );
    const input = fc.tuple(json, fc.uint8Array({ maxLength: 20 }), fc.nat(), fc.nat(255));
    fc.assert(
      fc.property(input, ([text, bytes, place, byte]) => {
        const body = Buffer.concat([Buffer.from(text), bytes]);
        const frame = new Uint8Array(12 + body.length);
        const view = new DataView(frame.buffer);
        view.setUint32(0, frame.length - 4, true);
        view.setUint32(4, Buffer.byteLength(text), true);
        frame.set(body, 12);
        // Now and then a byte of the lengths, or any other, is another one.
        if (byte % 3 === 0) frame[place % frame.length] = byte;
        try {
          decodeFrame(frame);
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedFrame);
        }
        expect(({} as { polluted?: number }).polluted).toBeUndefined();
      }),
    );
  });
});
