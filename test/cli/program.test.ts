/**
 * What all commands have in common: help, faults, colours, progress, interruption.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import manifest from '../../package.json' with { type: 'json' };
import { Fault } from '../../src/cli/faults.ts';
import { progressText } from '../../src/cli/progress.ts';
import { Rig } from './rig.ts';

const rig = new Rig();
const IMG = '~/a.img';

const COMMANDS = [
  ...['create', 'import', 'export', 'ls', 'cat', 'put', 'mkdir', 'mv', 'rm', 'clone', 'snapshot'],
  ...['diff', 'space', 'extents', 'info', 'check', 'scrub', 'defrag', 'bench', 'demo'],
];

describe('help', () => {
  it('names every command', async () => {
    const text = await rig.ok('help');
    for (const name of COMMANDS) expect(text).toContain(`\n  ${name} `);
    expect(await rig.ok()).toBe(text);
    expect(await rig.ok('--help')).toBe(text);
  });

  it.each(COMMANDS)('of %s has examples and --json', async (name) => {
    const text = await rig.ok(name, '--help');
    expect(text).toContain('--json');
    expect(text).toMatch(new RegExp(`\\nExamples:\\n  ramet ${name}`, 'u'));
    for (const line of text.split('\n')) expect(line.length, line).toBeLessThanOrEqual(100);
    expect(await rig.ok('help', name)).toBe(text);
  });

  it('is not the version', async () => {
    expect(await rig.ok('--version')).toBe(`${manifest.version}\n`);
  });
});

describe('a wrong command line', () => {
  it.each([
    [['fly'], "unknown command 'fly'; see ramet help"],
    [['ls'], "missing required argument 'place'; see ramet help ls"],
    [['ls', 'a', 'b'], 'too many arguments'],
    [['ls', '--fly', 'a'], "unknown option '--fly'; see ramet help ls"],
    [['create', 'a', '--size'], "option '--size <size>' argument missing; see ramet help create"],
    [['create', 'a', '--size', '10GB'], 'Cannot use size "10GB"'],
    [['bench', '--size', '1k'], 'wanted 1 MiB to 64 GiB'],
    [['demo', '--clones', '0'], 'wanted a number from 1 to 9999'],
  ])('%j is refused', async (args, message) => {
    expect(await rig.fails(...args)).toContain(message);
    expect((await rig.run(args)).status).toBe(2);
  });

  it('is JSON too with --json', async () => {
    const { status, stdout, stderr } = await rig.run(['ls', '--json', '~/b.img']);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(JSON.parse(stderr)).toEqual({
      error: {
        message: 'Cannot list b.img:/: b.img does not exist; ramet create makes one',
        code: 'ENOENT',
        status: 1,
      },
    });
  });
});

describe('colours', () => {
  it('are for terminals, unless NO_COLOR is set', async () => {
    await rig.ok('create', IMG, '--size', '16MiB');
    await rig.ok('mkdir', `${IMG}:/dir`);
    const list = async (tty: boolean, environment: Record<string, string>): Promise<string> =>
      (await rig.run(['ls', IMG], { tty, environment })).stdout;
    expect(await list(false, {})).toBe('dir\n');
    expect(await list(true, {})).toBe('\x1b[34mdir\x1b[39m\n');
    expect(await list(true, { NO_COLOR: '1' })).toBe('dir\n');
    expect(await list(true, { TERM: 'dumb' })).toBe('dir\n');
    expect(await list(false, { FORCE_COLOR: '1' })).toBe('\x1b[34mdir\x1b[39m\n');
  });

  it('ls shows a terminal no control characters', async () => {
    await rig.ok('create', IMG, '--size', '16MiB');
    await rig.ok('mkdir', `${IMG}:/a\nb\x1b[2J`);
    const { stdout } = await rig.run(['ls', IMG], { tty: true, environment: { NO_COLOR: '1' } });
    expect(stdout).toBe('a\\nb\\x1b[2J\n');
    expect((await rig.run(['ls', IMG])).stdout).toBe('a\nb\x1b[2J\n');
  });
});

describe('progress', () => {
  it('is drawn for a terminal, and taken away', async () => {
    await rig.ok('create', IMG, '--size', '64MiB');
    mkdirSync(rig.path('tree'));
    for (let i = 0; i < 20; i++) writeFileSync(rig.path(`tree/${i}`), Buffer.alloc(2 ** 20, 1));
    const args = ['import', '~/tree', IMG];
    const environment = { NO_COLOR: '1' };
    const { stderr } = await rig.run(args, { tty: true, environment });
    expect(stderr.endsWith('\r\x1b[2K') || stderr === '').toBe(true);
    expect((await rig.run([...args, '--force'])).stderr).toBe('');
  });

  it.each([
    [{ done: 5 }, 100, '5'],
    [{ done: 1234, total: 2468 }, 100, ' 50%  1,234 of 2,468'],
    [{ done: 500, total: 1000 }, 2000, ' 50%  500 of 1,000  250/s  2.00 s left'],
    [{ done: 10, total: 10, bytes: 2 ** 20 }, 2000, '100%  10 of 10  1 MiB  512 KiB/s'],
    [{ done: 0, total: 0 }, 2000, '100%  0 of 0  0/s'],
  ])('of %j after %d ms reads %j', (state, ms, text) => {
    expect(progressText(state, ms, 'items')).toBe(text);
  });
});

describe('interruption', () => {
  it('ends an import with what was done, and a sound image', async () => {
    await rig.ok('create', IMG, '--size', '64MiB');
    mkdirSync(rig.path('tree'));
    for (let i = 0; i < 3000; i++) writeFileSync(rig.path(`tree/${i}`), `${i}`);
    const signal = AbortSignal.abort(new Fault('Interrupted', { code: 'EINTR', status: 130 }));
    const { status, stderr } = await rig.run(['import', '~/tree', IMG], { signal });
    expect(status).toBe(130);
    expect(stderr).toMatch(/^ramet: Interrupted: [\d,]+ files? of the import are in a\.img:\/, /u);
    expect(stderr).toMatch(/, and the image is consistent \(EINTR\)\n$/u);
    expect(await rig.ok('check', IMG)).toMatch(/^a\.img: clean; /u);
  });
});

describe('bench', () => {
  it('measures, and leaves nothing behind', async () => {
    const args = ['bench', '--size', '2MiB', '--directory', '~/'];
    const steps = await rig.json(...args);
    expect(steps).toHaveLength(7);
    expect(steps[0]).toMatchObject({ name: 'write, 1 MiB each', count: 2, bytes: 2 ** 21 });
    expect(await rig.ok(...args)).toMatch(
      /^STEP +TIMES +TOGETHER +EACH +RATE\nwrite, 1 MiB each /u,
    );
    mkdirSync(rig.path('after'));
    expect(await rig.fails('bench', '--directory', '~/missing')).toContain('(ENOENT) [1]');
  });
});
