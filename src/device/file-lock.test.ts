/** Locks between devices of this process and of others. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { MIB } from '../base/index.ts';
import { FileDevice } from './file.ts';

const directory = mkdtempSync(join(tmpdir(), 'ramet-lock-'));
const program = join(directory, 'holder.mjs');
const room = join(directory, 'room.mjs');
let image: string;
let images = 0;
let children: ChildProcess[] = [];

beforeAll(async () => {
  // This room as a plain module, for processes that know no TypeScript.
  const input = fileURLToPath(new URL('./node.ts', import.meta.url));
  const bundle = await rolldown({ input, platform: 'node' });
  await bundle.write({ file: room });
  writeFileSync(
    program,
    `import { FileDevice } from './room.mjs';
     const [path, mode] = process.argv.slice(2);
     try {
       FileDevice.open(path, { readOnly: mode === 'shared' });
       console.log('open');
       setInterval(() => {}, 1000);
     } catch (error) {
       console.log(error.code + ' ' + error.message);
     }`,
  );
});

afterAll(() => rmSync(directory, { recursive: true }));

beforeEach(() => {
  image = join(directory, `${images++}.img`);
  FileDevice.open(image, { create: true, size: MIB }).close();
});

afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  children = [];
});

/** Another process that opens the image and keeps it, and what it says about it. */
async function holder(
  mode: 'exclusive' | 'shared',
): Promise<{ child: ChildProcess; said: string }> {
  const child = spawn(process.execPath, [program, image, mode], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  const [said] = await once(child.stdout as NodeJS.ReadableStream, 'data');
  return { child, said: String(said).trim() };
}

async function kill(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'exit');
}

function owner(): Record<string, unknown> {
  return JSON.parse(readFileSync(`${image}.owner`, 'utf8'));
}

describe('the lock of a file device', () => {
  it('refuses a second writer in the same process, and names it', () => {
    const device = FileDevice.open(image);
    expect(() => FileDevice.open(image)).toThrow(
      expect.objectContaining({
        name: 'DeviceError',
        code: 'EBUSY',
        message: expect.stringMatching(/is in use by this process \(.+\) on .+ since 2.+Z$/),
      }),
    );
    device.close();
    FileDevice.open(image).close();
  });

  it('lets readers share, and keeps a writer out until the last has gone', () => {
    const readers = [1, 2, 3].map(() => FileDevice.open(image, { readOnly: true }));
    for (const reader of readers) {
      expect(() => FileDevice.open(image)).toThrow('is open for reading, last by this process');
      reader.close();
    }
    FileDevice.open(image).close();
  });

  it('keeps readers out while there is a writer', () => {
    const device = FileDevice.open(image);
    expect(() => FileDevice.open(image, { readOnly: true })).toThrow(
      expect.objectContaining({ code: 'EBUSY' }),
    );
    device.close();
  });

  it('is not asked for with lock: false', () => {
    const device = FileDevice.open(image);
    const other = FileDevice.open(image, { lock: false });
    other.write(0, Uint8Array.of(1));
    other.close();
    expect(owner()['pid']).toBe(process.pid);
    device.close();
  });

  it('keeps other processes out', async () => {
    const device = FileDevice.open(image);
    const { said } = await holder('exclusive');
    expect(said).toMatch(/^EBUSY Cannot open: .+ is in use by process \d+/);
    expect(said).toContain(`process ${process.pid} `);
    device.close();
  });

  it('names the other process that has the image', async () => {
    const { child, said } = await holder('exclusive');
    expect(said).toBe('open');
    expect(owner()).toMatchObject({ pid: child.pid, host: hostname(), mode: 'exclusive' });
    expect(() => FileDevice.open(image, { readOnly: true })).toThrow(
      `${image} is in use by process ${child.pid} (node holder.mjs `,
    );
  });

  it('is free again when the holder is killed, and its owner file replaced', async () => {
    const { child } = await holder('exclusive');
    await kill(child);
    expect(owner()['pid']).toBe(child.pid);
    const device = FileDevice.open(image);
    expect(owner()['pid']).toBe(process.pid);
    device.close();
    expect(existsSync(`${image}.owner`)).toBe(false);
  });

  it('is shared with readers of other processes', async () => {
    const reader = FileDevice.open(image, { readOnly: true });
    const { child, said } = await holder('shared');
    expect(said).toBe('open');
    reader.close();
    expect(() => FileDevice.open(image)).toThrow(`last by process ${child.pid} `);
    await kill(child);
    FileDevice.open(image).close();
  });

  it('is not inherited by a child process that outlives the device', async () => {
    const device = FileDevice.open(image);
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], {
      stdio: 'ignore',
    });
    children.push(child);
    await once(child, 'spawn');
    device.close();
    FileDevice.open(image).close();
  });

  it('is ENOTSUP where there is no flock program', () => {
    vi.stubEnv('PATH', directory);
    try {
      expect(() => FileDevice.open(image)).toThrow(
        expect.objectContaining({
          code: 'ENOTSUP',
          message: expect.stringContaining('lock: false'),
        }),
      );
      const path = join(directory, 'new.img');
      expect(() => FileDevice.open(path, { create: true, size: MIB })).toThrow('lock: false');
      expect(existsSync(path)).toBe(false);
      FileDevice.open(image, { lock: false }).close();
    } finally {
      vi.unstubAllEnvs();
    }
  });
});

describe('the owner file', () => {
  it('says who, where, what and since when', () => {
    const device = FileDevice.open(image);
    expect(owner()).toEqual({
      pid: process.pid,
      host: hostname(),
      command: expect.any(String),
      since: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      mode: 'exclusive',
    });
    expect(String(owner()['command']).length).toBeLessThanOrEqual(80);
    device.close();
    expect(existsSync(`${image}.owner`)).toBe(false);
  });

  it('means nothing without a lock', () => {
    writeFileSync(`${image}.owner`, JSON.stringify({ pid: 1, mode: 'exclusive' }));
    const device = FileDevice.open(image);
    expect(owner()['pid']).toBe(process.pid);
    device.close();
  });

  it('may be missing or damaged', () => {
    const device = FileDevice.open(image);
    const nameless = 'is in use by another process, which left no name';
    writeFileSync(`${image}.owner`, '{"pid":');
    expect(() => FileDevice.open(image)).toThrow(nameless);
    rmSync(`${image}.owner`);
    expect(() => FileDevice.open(image)).toThrow(nameless);
    device.close();
  });

  it('may be impossible to write', () => {
    mkdirSync(`${image}.owner`);
    const device = FileDevice.open(image);
    expect(() => FileDevice.open(image)).toThrow('which left no name');
    device.close();
    expect(existsSync(`${image}.owner`)).toBe(true);
  });

  it('is not written through a link', () => {
    const victim = join(directory, 'victim');
    writeFileSync(victim, 'untouched');
    symlinkSync(victim, `${image}.owner`);
    const device = FileDevice.open(image);
    expect(readFileSync(victim, 'utf8')).toBe('untouched');
    expect(owner()['pid']).toBe(process.pid);
    device.close();
  });

  it('of one reader is not removed by another', () => {
    const first = FileDevice.open(image, { readOnly: true });
    const second = FileDevice.open(image, { readOnly: true });
    writeFileSync(`${image}.owner`, 'of a third');
    first.close();
    second.close();
    expect(readFileSync(`${image}.owner`, 'utf8')).toBe('of a third');
  });
});
