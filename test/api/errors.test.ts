/**
 * Errors, held against those of `node:fs` in a directory of the host: the same calls on the same
 * tree have to fail in the same way, word by word, and leave everything as it was.
 */
import * as nodeFs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { MIB } from '../../src/base/index.ts';
import { Random } from '../../src/testing/index.ts';
import { Bench, COMMON } from './bench.ts';

/** A path below the root of the tree. */
class Path {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

const at = (text: string): Path => new Path(text);
const MANY = 'a/'.repeat(2100);
const LONG = 'n'.repeat(256);
const { constants } = nodeFs;

/** A call and its arguments. */
type Case = readonly [call: string, ...args: unknown[]];

/** Calls that take paths, in both faces. */
const CASES: readonly Case[] = [
  // What is not there, or is something else.
  ...['access', 'chmod', 'lstat', 'open', 'opendir', 'readFile', 'readdir', 'readlink', 'realpath']
    .concat(['rmdir', 'rm', 'stat', 'statfs', 'truncate', 'unlink'])
    .flatMap((call): Case[] => {
      const more = call === 'chmod' ? [0o600] : [];
      return [
        [call, at('/nothing'), ...more],
        [call, at('/file/below'), ...more],
        [call, at('/file/'), ...more],
        [call, at('/nothing/below'), ...more],
        [call, at('/loop/below'), ...more],
        [call, at(`/${LONG}`), ...more],
        [call, at(`/${MANY}`), ...more],
        [call, '', ...more],
        [call, 'nul\0', ...more],
        [call, 5n, ...more],
        [call, undefined, ...more],
      ];
    }),
  ...['access', 'open', 'opendir', 'readFile', 'readdir', 'realpath', 'stat', 'truncate'].map(
    (call): Case => [call, at('/loop')],
  ),
  ['open', at('/file'), 'wx'],
  ['open', at('/link'), 'wx'],
  ['open', at('/directory'), 'r+'],
  ['open', at('/directory'), 'w'],
  ['open', at('/directory/'), 'wx'],
  ['open', at('/nothing/'), 'w'],
  ['open', at('/nothing/below'), 'w'],
  ['open', at('/dangling/'), 'a'],
  ['open', at('/loop'), 'w'],
  ['open', at('/file'), 'q'],
  ['open', at('/file'), 'r', -1],
  ['open', at('/file'), 'r', '9'],
  ['open', at('/file'), 'r', 1.5],
  ['open', at('/file'), constants.O_RDONLY | constants.O_DIRECTORY],
  ['open', at('/link'), constants.O_RDONLY | constants.O_NOFOLLOW],
  ['open', at('/directory'), constants.O_RDONLY | constants.O_CREAT],
  ['access', at('/plain'), constants.X_OK],
  ['access', at('/file'), 9],
  ['chmod', at('/file'), 'z'],
  ['chmod', at('/file'), undefined],
  ['chown', at('/nothing'), 1, 1],
  ['chown', at('/file'), -2, 1],
  ['chown', at('/file'), 1, 'x'],
  ['lchown', at('/nothing'), 1, 1],
  ['readFile', at('/directory')],
  ['readFile', at('/file'), 'nonsense'],
  ['readFile', at('/file'), { encoding: 'nonsense' }],
  ['writeFile', at('/directory'), 'x'],
  ['writeFile', at('/nothing/below'), 'x'],
  ['writeFile', at('/file'), 5],
  ['writeFile', at('/file'), 'x', { flag: 'wx' }],
  ['writeFile', at('/file'), 'x', { flag: 'nonsense' }],
  ['appendFile', at('/directory'), 'x'],
  ['appendFile', at('/nothing/below'), 'x'],
  ['truncate', at('/directory')],
  ['truncate', at('/file'), 1.5],
  ['truncate', at('/file'), 'x'],
  ['utimes', at('/nothing'), 1, 1],
  ['utimes', at('/file'), 'x', 1],
  ['lutimes', at('/nothing'), 1, 1],
  ['mkdir', at('/file')],
  ['mkdir', at('/directory')],
  ['mkdir', at('/nothing/below')],
  ['mkdir', at('/file/below')],
  ['mkdir', at('/dangling')],
  ['mkdir', at('/file'), { recursive: true }],
  ['mkdir', at('/file/below'), { recursive: true }],
  ['mkdir', at('/file/below/deeper'), { recursive: true }],
  ['mkdir', at('/dangling/below'), { recursive: true }],
  ['mkdir', at('/new'), { recursive: 'yes' }],
  ['mkdir', at('/new'), 'z'],
  ['mkdir', at(`/${LONG}/below`), { recursive: true }],
  ['mkdtemp', at('/nothing/below')],
  ['mkdtemp', at('/file/')],
  ['readdir', at('/file')],
  ['readdir', at('/file'), { withFileTypes: true }],
  ['readdir', at('/file'), { recursive: true }],
  ['opendir', at('/file')],
  ['readlink', at('/file')],
  ['readlink', at('/directory')],
  ['realpath', at('/dangling')],
  ['rmdir', at('/directory')],
  ['rmdir', at('/file')],
  ['rmdir', at('/link')],
  ['rmdir', at('/empty/.')],
  ['rmdir', at('/empty/..')],
  ['rm', at('/directory')],
  ['rm', at('/empty')],
  ['rm', at('/nothing'), { recursive: true }],
  ['rm', at('/file/below'), { force: true }],
  ['rm', at('/file/below'), { force: true, recursive: true }],
  ['rm', at('/file'), { recursive: 1 }],
  ['unlink', at('/directory')],
  ['unlink', at('/empty')],
  ['rename', at('/nothing'), at('/new')],
  ['rename', at('/file'), at('/directory')],
  ['rename', at('/file'), at('/empty')],
  ['rename', at('/directory'), at('/file')],
  ['rename', at('/empty'), at('/directory')],
  ['rename', at('/directory'), at('/directory/inner')],
  ['rename', at('/directory/inner'), at('/directory')],
  ['rename', at('/file'), at('/nothing/below')],
  ['rename', at('/file'), at('/new/')],
  ['rename', at('/file/'), at('/new')],
  ['rename', at('/file'), at(`/${LONG}`)],
  ['rename', at('/empty'), at('/empty/.')],
  ['rename', at('/file'), 'nul\0'],
  ['rename', at('/file'), 5],
  ['link', at('/nothing'), at('/new')],
  ['link', at('/directory'), at('/new')],
  ['link', at('/file'), at('/directory')],
  ['link', at('/file'), at('/link')],
  ['link', at('/file'), at('/nothing/below')],
  ['link', at('/file'), at('/new/')],
  ['link', at('/file'), at(`/${LONG}`)],
  ['symlink', 'target', at('/file')],
  ['symlink', 'target', at('/nothing/below')],
  ['symlink', '', at('/new')],
  ['symlink', 't'.repeat(4096), at('/new')],
  ['symlink', 'nul\0', at('/new')],
  ['copyFile', at('/nothing'), at('/new')],
  ['copyFile', at('/file'), at('/plain'), constants.COPYFILE_EXCL],
  ['copyFile', at('/file'), at('/dangling'), constants.COPYFILE_EXCL],
  ['copyFile', at('/file'), at('/directory')],
  ['copyFile', at('/file'), at('/nothing/below')],
  ['copyFile', at('/file'), at('/new/')],
  ['copyFile', at('/loop'), at('/new')],
  ['copyFile', at('/file'), at('/new'), 8],
  ['copyFile', at('/file'), at('/new'), 'x'],
  ['cp', at('/nothing'), at('/new')],
  ['cp', at('/directory'), at('/new')],
  ['cp', at('/directory'), at('/file'), { recursive: true }],
  ['cp', at('/file'), at('/directory'), { recursive: true }],
  ['cp', at('/file'), at('/file')],
  ['cp', at('/directory'), at('/directory/new'), { recursive: true }],
  ['cp', at('/file'), at('/plain'), { force: false, errorOnExist: true }],
];

/** Calls on an open file: how it is opened, the method of its handle, and the call it is for. */
const FILE_CASES: readonly [flags: string, method: string, call: string, ...args: unknown[]][] = [
  ['a', 'read', 'read', new Uint8Array(8), 0, 8, 0],
  ['r', 'write', 'write', new Uint8Array(8), 0, 8, 0],
  ['r', 'write', 'write', 'text'],
  ['r', 'truncate', 'ftruncate', 3],
  ['r+', 'truncate', 'ftruncate', 'x'],
  ['r', 'read', 'read', new Uint8Array(8), 0, 8, -5],
  ['r', 'read', 'read', new Uint8Array(8), 0, 8, 1.5],
  ['r', 'read', 'read', new Uint8Array(8), 0, 8, 'x'],
  ['r', 'read', 'read', new Uint8Array(8), 9, 1, 0],
  ['r', 'read', 'read', new Uint8Array(8), 0, 9, 0],
  ['r', 'read', 'read', new Uint8Array(8), -1, 1, 0],
  ['r', 'read', 'read', new Uint8Array(8), 0, -1, 0],
  ['r+', 'write', 'write', new Uint8Array(8), 9, 1, 0],
  ['r+', 'write', 'write', new Uint8Array(8), 0, 9, 0],
  ['r+', 'write', 'write', new Uint8Array(8), -1, 1, 0],
  ['r+', 'write', 'write', new Uint8Array(8), 0, -1, 0],
  ['r+', 'write', 'write', 5],
  ['r+', 'writev', 'writev', 'x'],
  ['r', 'readv', 'readv', [5]],
  ['r', 'readFile', 'readFile', 'nonsense'],
  ['r', 'chmod', 'fchmod', 'z'],
  ['r', 'chown', 'fchown', 'x', 1],
  ['r', 'utimes', 'futimes', 'x', 1],
];

/** Calls on the number of a file that is not open, and on what is no such number. */
const NUMBER_CASES: readonly Case[] = [...['close', 'fstat', 'fsync', 'fdatasync', 'ftruncate']]
  .flatMap((call) => [9999, -1, 1.5, 'x', undefined].map((fd): Case => [call, fd]))

  .concat([
    ['fchmod', 9999, 0o600],
    ['fchown', 9999, 1, 1],
    ['futimes', 9999, 1, 1],
    ['read', 9999, new Uint8Array(1), 0, 1, 0],
    ['write', 9999, new Uint8Array(1), 0, 1, 0],
    ['write', 9999, 'text'],
    ['read', 'x', new Uint8Array(1), 0, 1, 0],
    ['writeFile', 9999, 'x'],
  ]);

/**
 * Where Node's two faces disagree, or an error of it is an accident: we fail with the same code as
 * its other face, or as we would anywhere else.
 */
const ACCIDENTS: Readonly<Record<string, 'sync' | 'promises' | 'both'>> = {
  // Later versions of Node call the argument what it is, a path.
  'readlink nul\0': 'both',
  'readlink 5n': 'both',
  'readlink undefined': 'both',
  // A number is mixed with a bigint.
  'readFile 5n': 'sync',
  // Anything is taken for a path, and the path is not checked as a whole.
  'realpath 5n': 'sync',
  'realpath undefined': 'sync',
  // A path too long is walked name by name.
  'realpath /a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a': 'promises',
  // A wrong position is taken for none.
  'r read read 8 bytes 0 8 -5': 'promises',
  'r read read 8 bytes 0 8 1.5': 'promises',
  'r read read 8 bytes 0 8 x': 'promises',
  // Each face of Node finds another part of the path at fault.
  'mkdir /dangling/below {"recursive":true}': 'promises',
  'rm /file/below {"force":true,"recursive":true}': 'promises',
  // The number of one error, the name of another.
  'cp /directory /new': 'promises',
};

/** Calls whose synchronous form does not tell the path. */
const PATHLESS: ReadonlySet<string> = new Set(['opendir']);

type Fs = Record<string, (...args: unknown[]) => unknown> & { promises: Fs };

/** A tree, by the `node:fs` of the host or of a volume. */
interface Side {
  readonly fs: Fs;
  readonly root: string;
}

function plant({ fs, root }: Side): void {
  const sync = fs as unknown as typeof nodeFs;
  sync.mkdirSync(`${root}/directory/inner`, { recursive: true });
  sync.mkdirSync(`${root}/empty`);
  sync.writeFileSync(`${root}/file`, 'content', { mode: 0o755 });
  sync.writeFileSync(`${root}/plain`, 'content', { mode: 0o644 });
  sync.writeFileSync(`${root}/directory/inner/file`, 'content');
  sync.symlinkSync('file', `${root}/link`);
  sync.symlinkSync('nowhere', `${root}/dangling`);
  sync.symlinkSync('loop', `${root}/loop`);
}

/** What a call came to. */
async function outcome({ root }: Side, call: () => unknown): Promise<object> {
  try {
    await call();
    return { succeeded: true };
  } catch (error) {
    const { name, code, errno, syscall, path, dest, message, info } = error as Record<
      string,
      unknown
    >;
    const found = { name, code, errno, syscall, path, dest, message, info };
    const text = JSON.stringify(found).replaceAll(root === '' ? '\n' : root, '');
    // Six characters of the name are random; the synchronous form shows what stands for them.
    const drawn = syscall === 'mkdtemp' ? String(path).slice(-6) : '\n';
    return JSON.parse(text.replaceAll(drawn, 'XXXXXX'));
  }
}

const argumentsOn = ({ root }: Side, args: readonly unknown[]): unknown[] =>
  args.map((arg) => (arg instanceof Path ? root + arg.text : arg));

const base = nodeFs.mkdtempSync(join(tmpdir(), 'ramet-errors-'));
afterAll(() => nodeFs.rmSync(base, { recursive: true, force: true }));
let count = 0;

/** Both sides, planted anew. */
async function sides(): Promise<{ host: Side; ours: Side; bench: Bench }> {
  let ms = 1e12;
  const now = (): number => ms++;
  const options = { ...COMMON, size: 2 * MIB, logBlocks: 8, cacheBytes: 4 * MIB, now };
  const bench = await Bench.make('sync', options, new Random(1));
  const root = join(base, String(count++));
  nodeFs.mkdirSync(root);
  const host = { fs: nodeFs as unknown as Fs, root };
  const ours = { fs: bench.volume.fs as unknown as Fs, root: '' };
  plant(host);
  plant(ours);
  return { host, ours, bench };
}

/** Makes the same call on both sides. Where Node has an accident, ours has to fail all the same. */
async function compare(make: (side: Side) => () => unknown, accident = false): Promise<void> {
  const { host, ours, bench } = await sides();
  const before = await bench.dump();
  const wanted = await outcome(host, make(host));
  const found = await outcome(ours, make(ours));
  if (accident) expect(found).not.toHaveProperty('succeeded');
  else expect(found).toEqual(wanted);
  if (!('succeeded' in found)) expect(await bench.dump()).toEqual(before);
  await bench.close();
}

const title = (call: readonly unknown[]): string =>
  call
    .map((arg) => {
      if (arg instanceof Path) return arg.text.slice(0, 40);
      if (arg instanceof Uint8Array) return `${arg.length} bytes`;
      return typeof arg === 'object' ? JSON.stringify(arg) : `${String(arg).slice(0, 40)}`;
    })
    .join(' ')
    .replace(/^(.* 5)$/u, call.at(-1) === 5n ? '$1n' : '$1');

const isAccident = (name: string, face: 'sync' | 'promises'): boolean =>
  ACCIDENTS[name] === face || ACCIDENTS[name] === 'both';

const titled = <Of extends readonly unknown[]>(cases: readonly Of[]): [string, Of][] =>
  cases.map((one) => [title(one), one]);

describe('a call fails as in Node', () => {
  it.each(titled(CASES))('%s', async (name, [call, ...args]) => {
    await compare(
      (side) => () => side.fs[`${call}Sync`]?.(...argumentsOn(side, args)),
      isAccident(name, 'sync') || PATHLESS.has(call),
    );
    await compare(
      (side) => () => side.fs.promises[call]?.(...argumentsOn(side, args)),
      isAccident(name, 'promises'),
    );
  });

  it.each(titled(FILE_CASES))('on a file opened with %s', async (name, one) => {
    const [flags, method, call, ...args] = one;
    await compare((side) => {
      const fd = side.fs['openSync']?.(`${side.root}/file`, flags);
      return () => side.fs[`${call}Sync`]?.(fd, ...args);
    });
    await compare(
      (side) => async () => {
        const handle = (await side.fs.promises['open']?.(`${side.root}/file`, flags)) as Fs;
        try {
          await handle[method]?.(...args);
        } finally {
          await handle['close']?.();
        }
      },
      isAccident(name, 'promises'),
    );
  });

  it.each(titled(NUMBER_CASES))('%s', async (_, [call, ...args]) => {
    await compare((side) => () => side.fs[`${call}Sync`]?.(...args));
  });

  it('on a handle that was closed', async () => {
    const methods = ['chmod', 'datasync', 'read', 'readFile', 'stat', 'truncate', 'write'];
    for (const method of methods) {
      await compare((side) => async () => {
        const handle = (await side.fs.promises['open']?.(`${side.root}/file`, 'r+')) as Fs;
        await handle['close']?.();
        await handle[method]?.(new Uint8Array(1));
      });
    }
  });
});
