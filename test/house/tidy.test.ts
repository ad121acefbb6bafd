/**
 * The house keeps its rules, and each rule notices when it is broken.
 */
import { describe, expect, it } from 'vitest';
import { type ProjectFile, readProject, tidy } from '../../tools/tidy.ts';

const header = '/**\n * base: what it is for,\n * in two lines.\n */\n';

/** What tidy says of a small house in which every room has its door. */
function findings(files: Record<string, string>): string[] {
  const rooms = new Set(
    Object.keys(files).flatMap((path) => /^src\/(\w+)\//.exec(path)?.[1] ?? []),
  );
  const house: Record<string, string> = {};
  for (const room of rooms) house[`src/${room}/index.ts`] = header;
  Object.assign(house, files);
  return tidy(
    Object.entries(house).map(([path, text]): ProjectFile => ({ path, text })),
    [],
  );
}

/** What tidy says of one file. */
function finding(path: string, text: string): string {
  return findings({ [path]: text }).join('\n');
}

const lines = (count: number, text: string): string => `${text}\n`.repeat(count);

describe('tidy()', () => {
  it('finds nothing to say about this project', { timeout: 60_000 }, () => {
    expect(tidy(readProject(new URL('../..', import.meta.url).pathname))).toEqual([]);
  });

  it('accepts a house in order', () => {
    const tree = "import { assert } from '../base/index.ts';\nexport const homepage = assert;\n";
    expect(findings({ 'src/base/a.ts': '', 'src/tree/map.ts': tree })).toEqual([]);
  });

  it('names the file, the line, the rule and the right room', () => {
    expect(finding('src/tree/map.ts', "\nimport { x } from '../volume/index.ts';\n")).toBe(
      'src/tree/map.ts:2: import: tree/ may not import volume/; ' +
        'it may import base, format, cache, store',
    );
  });
});

describe('tidy() on imports', () => {
  it('refuses the inside of another room', () => {
    const message = finding('src/tree/map.ts', "import type { x } from '../base/bytes.ts';\n");
    expect(message).toContain('import it through src/base/index.ts');
  });

  it('lets the command import every room, and nobody the command', () => {
    expect(finding('src/cli/main.ts', `${header}import { x } from '../fuse/index.ts';\n`)).toBe('');
    expect(finding('src/fuse/wire.ts', "export { x } from '../cli/main.ts';\n")).toContain(
      'fuse/ may not import cli/',
    );
    expect(finding('src/index.ts', "export { x } from './cli/main.ts';\n")).toContain(
      'src/ may not import cli/',
    );
  });

  it('lets a test beside its source import anything', () => {
    const text = "import { x } from '../volume/inode.ts';\nimport 'node:fs';\n";
    expect(finding('src/base/bytes.test.ts', text)).toBe('');
  });

  it('refuses packages a room was not given', () => {
    expect(finding('src/base/a.ts', "import 'xxhash-wasm';\n")).toBe('');
    expect(finding('src/tree/a.ts', "import 'xxhash-wasm';\n")).toContain('package xxhash-wasm');
    expect(finding('src/tree/a.ts', "import '../../test/model.ts';\n")).toContain(
      'tree/ may not import test/model.ts',
    );
  });

  it('refuses Node outside the files that are for it', () => {
    expect(finding('src/device/file.ts', "import 'node:fs';\n")).toBe('');
    expect(finding('src/api/node/streams.ts', "import 'node:fs';\n")).toBe('');
    expect(finding('src/api/volume.ts', "import 'node:fs';\n")).toContain('NODE_FILES');
    expect(finding('src/store/a.ts', "await import('node:fs');\n")).toContain('a.ts:1: node:');
    const fromNode = "export { x } from '../device/node.ts';\n";
    expect(finding('src/cli/main.ts', header + fromNode)).toBe('');
    expect(finding('src/drive/async.ts', fromNode)).toContain('through src/device/index.ts');
  });

  it('finds a run-time cycle, but not one of types', () => {
    const a = "import { b } from './b.ts';\n";
    const b = "import { a } from './a.ts';\n";
    const circle = 'src/base/a.ts -> src/base/b.ts -> src/base/a.ts';
    expect(findings({ 'src/base/a.ts': a, 'src/base/b.ts': b }).join()).toContain(circle);
    const typesOnly = b.replace('import', 'import type');
    expect(findings({ 'src/base/a.ts': a, 'src/base/b.ts': typesOnly })).toEqual([]);
    // The compiler keeps this import at run time.
    const inlineType = b.replace('{ a }', '{ type a }');
    expect(findings({ 'src/base/a.ts': a, 'src/base/b.ts': inlineType })).toHaveLength(1);
  });
});

describe('tidy() on rooms', () => {
  it('wants a door with a header of two lines', () => {
    expect(tidy([{ path: 'src/tree/map.ts', text: '' }], []).join()).toContain('no door');
    expect(finding('src/tree/index.ts', '/** tree: trees. */\n')).toContain('the header has 1');
    expect(finding('src/tree/index.ts', '')).toContain('the header has 0');
  });

  it('refuses a room that is not in the plan', () => {
    expect(finding('src/utils/a.ts', '')).toContain('unknown room utils/');
  });
});

describe('tidy() on sizes', () => {
  it('stops at 600 lines, 70 lines of a function, 100 columns', () => {
    expect(finding('src/base/a.ts', lines(600, '//'))).toBe('');
    expect(finding('src/base/a.ts', lines(601, '//'))).toContain('a.ts:601: file-length: 601');
    expect(finding('src/base/a.ts', `// ${'x'.repeat(97)}\n`)).toBe('');
    expect(finding('src/base/a.ts', `// ${'x'.repeat(98)}\n`)).toContain('a.ts:1: width: 101');
    const body = (count: number): string => `\nfunction f() {\n${lines(count, '  g();')}}\n`;
    expect(finding('src/base/a.ts', body(68))).toBe('');
    expect(finding('src/base/a.ts', body(69))).toContain('a.ts:2: function-length: f() has 71');
  });

  it('measures tests in a group by themselves', () => {
    const test = `  it('works', () => {\n${lines(50, '    f();')}  });\n`;
    const group = (tests: string): string => `describe('f()', () => {\n${tests}});\n`;
    expect(finding('test/a.test.ts', group(test + test))).toBe('');
    const long = test.replace('f();', lines(30, 'f();'));
    expect(finding('test/a.test.ts', group(long))).toContain('a.test.ts:2: function-length');
  });
});

describe('tidy() on what is banned', () => {
  it.each([
    ['clock', 'const now = Date.now();'],
    ['clock', 'const now = new Date();'],
    ['clock', 'const now = performance.now();'],
    ['random', 'const dice = Math.random();'],
    ['timer', 'setTimeout(f, 1);'],
    ['node', 'const home = process.env;'],
    ['node', 'function f(bytes: Buffer) {}'],
    ['console', 'console.log(1);'],
    ['enum', 'enum Color { red }'],
    ['namespace', 'namespace a {}'],
    ['default-export', 'export default 1;'],
    ['default-export', 'export default function f() {}'],
    ['any', 'const x = y as any;'],
    ['word', 'const dirtyPages = 1;'],
    ['word', 'const PAGE_SIZE = 1;'],
    ['ascii', 'const größe = 1;'],
    ['leftover', '// TODO: later'],
    ['place', "const path = '/home/me/ramet';"],
    ['place', '// see #12'],
    ['place', '// fixes issue 12'],
  ])('refuses %s: %s', (rule, text) => {
    expect(finding('src/tree/a.ts', `\n${text}\n`)).toContain(`src/tree/a.ts:2: ${rule}: `);
  });

  it.each([
    ['src/tree/a.ts', 'const seen = { process: 1, console: 2 }.process;'],
    ['src/tree/a.ts', '// the kernel page cache — größer\nconst text = "größer";'],
    ['src/tree/a.ts', 'const homepage = Math.floor(1);'],
    ['src/fuse/a.ts', 'const pages = Date.now();'],
    ['src/cli/main.ts', `${header}console.log(process.argv);`],
    ['src/base/a.test.ts', 'const start = performance.now();'],
    ['src/base/a.ts', 'declare global { interface A {} }\nswitch (1) { default: f(); }'],
    ['bench/run.mjs', 'console.log(performance.now(), process.argv);'],
    ['docs/a.md', '[five](#5-the-house), torvalds/linux#7'],
  ])('has nothing against %s: %s', (path, text) => {
    expect(finding(path, `${text}\n`)).toBe('');
  });

  it('wants tests that can be repeated', () => {
    expect(finding('test/a.test.ts', 'const dice = Math.random();')).toContain('random');
  });

  it('excuses what is listed, and reports what is listed in vain', () => {
    const file = { path: 'bench/a.ts', text: 'export default 1;\n' };
    const excuse = { path: 'bench/a.ts', rule: 'default-export', reason: 'a test' };
    expect(tidy([file], [excuse])).toEqual([]);
    expect(tidy([{ ...file, text: '' }], [excuse]).join()).toContain('bench/a.ts:1: exception:');
  });
});
