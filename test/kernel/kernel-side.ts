/**
 * KernelSide: the same steps on files of an XFS. Node does what it can; calls.py, a program that
 * runs beside it, does the rest.
 */
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import {
  closeSync,
  constants,
  openSync,
  readSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { errorCode } from '../../src/base/index.ts';
import {
  bytesOf,
  FILES,
  type FileName,
  isDirect,
  type Operation,
  type Outcome,
  type Step,
} from './steps.ts';
import { XfsMount } from './xfs-mount.ts';

const PROGRAM = ['python3', '-u', join(import.meta.dirname, 'calls.py')] as const;

/** The modes of fallocate(2). */
const MODES = {
  allocate: 0,
  'allocate-keep': 0x01,
  punch: 0x03,
  collapse: 0x08,
  zero: 0x10,
  'zero-keep': 0x11,
  insert: 0x20,
  unshare: 0x41,
};

const SECTOR = 512;
/** Memory that is aligned as O_DIRECT wants it. */
const ALIGNED = new Uint8Array(new WebAssembly.Memory({ initial: 16 }).buffer);

type Call = (side: KernelSide, step: Step) => Promise<Outcome> | Outcome | undefined;

const fallocate = (operation: keyof typeof MODES): Call => {
  const mode = MODES[operation];
  return async (side, { file, offset, length }) => {
    await side.ask('fallocate', file, mode, offset, length);
    return {};
  };
};

const seek = (what: 'data' | 'hole'): Call => {
  return async (side, { file, offset }) => ({
    value: (await side.ask('seek', file, offset, what)) as number,
  });
};

const nothing: Call = () => undefined;

const CALLS: Readonly<Record<Operation, Call>> = {
  read: (side, step) => ({ bytes: side.read(step) }),
  write: (side, step) => ({ value: side.write(step) }),
  truncate: (side, { file, offset }) => {
    truncateSync(side.path(file), offset);
    return undefined;
  },
  punch: fallocate('punch'),
  zero: fallocate('zero'),
  'zero-keep': fallocate('zero-keep'),
  collapse: fallocate('collapse'),
  insert: fallocate('insert'),
  allocate: fallocate('allocate'),
  'allocate-keep': fallocate('allocate-keep'),
  unshare: fallocate('unshare'),
  clone: async (side, { source, file, sourceOffset, offset, length }) => {
    await side.ask('clone', source, file, sourceOffset, offset, length);
    return {};
  },
  dedupe: async (side, { source, file, sourceOffset, offset, length }) => {
    const value = (await side.ask('dedupe', source, file, sourceOffset, offset, length)) as number;
    return value < 0 ? { value: 0, differs: true } : { value, differs: false };
  },
  copy: async (side, { source, file, sourceOffset, offset, length }) => ({
    value: (await side.ask('copy', source, file, sourceOffset, offset, length)) as number,
  }),
  'seek-data': seek('data'),
  'seek-hole': seek('hole'),
  'clone-file': async (side, { source, file }) => {
    await side.ask('clone-file', source, file);
    return {};
  },
  reopen: nothing,
  sync: nothing,
  remount: nothing,
  compare: nothing,
};

const UNCHANGING: ReadonlySet<Operation> = new Set([
  'read',
  'seek-data',
  'seek-hole',
  'reopen',
  'sync',
  'remount',
  'compare',
]);

export class KernelSide implements Disposable {
  readonly #mount: XfsMount;
  readonly #program: ChildProcessWithoutNullStreams;
  readonly #answers: AsyncIterator<string>;
  #complaint = '';
  /** What is known of files that have not changed since. */
  readonly #bytes = new Map<FileName, Uint8Array>();
  readonly #buffers = new Map(FILES.map((file) => [file, new Uint8Array()]));
  readonly #runs = new Map<FileName, readonly number[]>();

  private constructor(mount: XfsMount) {
    this.#mount = mount;
    const [program, ...args] = PROGRAM;
    const stdio = ['pipe', 'pipe', 'pipe', mount.fd] as const;
    this.#program = spawn(program, args, { stdio: [...stdio] }) as ChildProcessWithoutNullStreams;
    const { stdin, stdout, stderr } = this.#program;
    // That it has ended is seen where its answers end.
    stdin.on('error', () => undefined);
    stderr.on('data', (text) => {
      this.#complaint += String(text);
    });
    this.#answers = createInterface({ input: stdout })[Symbol.asyncIterator]();
  }

  /** Mounts an XFS; the reason if that cannot be. */
  static start(): KernelSide | string {
    const { error } = spawnSync(PROGRAM[0], ['--version']);
    if (error !== undefined) return error.message;
    const mount = XfsMount.start();
    return typeof mount === 'string' ? mount : new KernelSide(mount);
  }

  /** Begins again with empty files. */
  clear(): void {
    for (const file of FILES) {
      writeFileSync(this.path(file), '');
      this.#forget(file);
    }
  }

  async apply(step: Step): Promise<Outcome> {
    if (!UNCHANGING.has(step.operation)) this.#forget(step.file);
    try {
      return (await CALLS[step.operation](this, step)) ?? {};
    } catch (error) {
      const code = errorCode(error);
      if (code === undefined) throw error;
      return { code };
    }
  }

  /** Calls the kernel by way of the program. @throws what has the errno as its `code` */
  async ask(name: string, ...args: (string | number)[]): Promise<unknown> {
    this.#program.stdin.write(`${JSON.stringify([name, ...args])}\n`);
    const { value: line, done } = await this.#answers.next();
    if (done === true) throw new Error(`Cannot ask ${PROGRAM.join(' ')}: ${this.#complaint}`);
    const [code, value] = JSON.parse(line) as [string, unknown];
    if (code !== 'ok') throw Object.assign(new Error(`${name}: ${code}`), { code });
    return value;
  }

  path(file: FileName): string {
    return join(this.#mount.path, file);
  }

  size(file: FileName): number {
    return statSync(this.path(file)).size;
  }

  /** What is there of so many bytes. */
  read(step: Step): Uint8Array {
    const { file, offset, length } = step;
    const direct = takesDirect(step);
    const bytes = direct ? ALIGNED : new Uint8Array(length);
    const read = (fd: number): Uint8Array => bytes.slice(0, readSync(fd, bytes, 0, length, offset));
    return this.#using(file, read, direct);
  }

  /** All bytes of a file, until the next call for it. */
  bytes(file: FileName): Uint8Array {
    let bytes = this.#bytes.get(file);
    if (bytes === undefined) {
      const size = this.size(file);
      let buffer = this.#buffers.get(file) as Uint8Array<ArrayBuffer>;
      if (size > buffer.length) buffer = new Uint8Array(2 * size);
      this.#buffers.set(file, buffer);
      bytes = this.#using(file, (fd) => buffer.subarray(0, readSync(fd, buffer, 0, size, 0)));
      this.#bytes.set(file, bytes);
    }
    return bytes;
  }

  write(step: Step, bytes = bytesOf(step)): number {
    const { file, offset, length } = step;
    this.#forget(file);
    const direct = takesDirect(step);
    if (direct) ALIGNED.set(bytes);
    const from = direct ? ALIGNED : bytes;
    return this.#using(file, (fd) => writeSync(fd, from, 0, length, offset), direct);
  }

  /** Where data begins and ends, by turns. */
  async runs(file: FileName): Promise<readonly number[]> {
    const runs = this.#runs.get(file) ?? ((await this.ask('runs', file)) as number[]);
    this.#runs.set(file, runs);
    return runs;
  }

  [Symbol.dispose](): void {
    this.#program.stdin.end();
    this.#mount[Symbol.dispose]();
  }

  #forget(file: FileName): void {
    this.#bytes.delete(file);
    this.#runs.delete(file);
  }

  #using<Result>(file: FileName, body: (fd: number) => Result, direct = false): Result {
    const { O_DIRECT, O_RDWR } = constants;
    const fd = openSync(this.path(file), direct ? O_RDWR | O_DIRECT : O_RDWR);
    try {
      return body(fd);
    } finally {
      closeSync(fd);
    }
  }
}

/** The kernel takes whole sectors only, and what is longer than our memory goes by its cache. */
function takesDirect(step: Step): boolean {
  const { offset, length } = step;
  const whole = offset % SECTOR === 0 && length % SECTOR === 0;
  return isDirect(step) && whole && length > 0 && length <= ALIGNED.length;
}
