/**
 * Draw: steps chosen by chance, with a model to look at so that most of them do something.
 *
 * Names are few, so that they clash. Paths lead through links, `..` and too many slashes now and
 * then, and sometimes to what is not there, is too long, or is empty.
 */
import { KIB, MIB } from '../../src/base/index.ts';
import type { ModelNode, ModelVolume, Random } from '../../src/testing/index.ts';
import type { Argument, ModelRunner, Step } from './steps.ts';

const NAMES = [...'abcdef', 'long'.padEnd(120, '-'), 'longest'.padEnd(255, '~'), '\xff\xfe\x80'];
const SNAPSHOTS = ['s1', 's2', 's3'];
const SLOTS = 4;
const BLOCK = 4096;

/** Names of a model; beyond it no directory is cloned, since copies of copies grow fast. */
const NODES_MAX = 2000;
/** How often a call is made in a snapshot, and how often a path is an odd one. */
const VIEW_CHANCE = 0.07;
const ODD_CHANCE = 0.06;

/** A name, and what has it. */
interface Found {
  readonly path: string;
  readonly node: ModelNode;
}

/** A step of this kind that suits the model. */
export function draw(call: Step['call'], random: Random, runner: ModelRunner): Step {
  return new Draw(random, runner).step(call);
}

class Draw {
  readonly random: Random;
  readonly model: ModelVolume;
  /** The snapshot the call is made in. */
  view: string | undefined;
  readonly #open: readonly number[];
  #found: Found[] = [];

  constructor(random: Random, { model, open }: ModelRunner) {
    this.random = random;
    this.model = model;
    this.#open = [...open.keys()];
    this.look(undefined);
  }

  step(wanted: Step['call']): Step {
    const { random, model } = this;
    const call = ON_FILES.has(wanted) && this.#open.length === 0 ? 'open' : wanted;
    if (VIEWED.has(call) && model.snapshots.size > 0 && random.chance(VIEW_CHANCE)) {
      this.look(random.pick([...model.snapshots.keys()]));
    }
    const args = ARGUMENTS[call](this);
    return { call, view: this.view, args };
  }

  /** Paths are drawn from this tree from now on. */
  look(view: string | undefined): void {
    this.view = view;
    const { root, snapshots } = this.model;
    const top = view === undefined ? root : (snapshots.get(view) as ModelNode);
    this.#found = [{ path: '', node: top }];
    for (const { path, node } of this.#found) {
      for (const [name, child] of node.entries) {
        this.#found.push({ path: `${path}/${name}`, node: child });
      }
    }
  }

  get small(): boolean {
    return this.#found.length < NODES_MAX;
  }

  directories(): Found[] {
    return this.#found.filter(({ node }) => node.isDirectory);
  }

  /** Where a path may go on: a directory, or now and then a link or a file. */
  directory(): string {
    const { random } = this;
    const any = random.chance(0.08) ? this.#found : this.directories();
    return random.pick(any).path;
  }

  /** A name in any directory, taken or not. */
  place(): string {
    return this.odd(`${this.directory()}/${this.random.pick(NAMES)}`);
  }

  /** A name that exists, in a directory that was chosen first: big ones are not preferred. */
  taken(fits: (node: ModelNode) => boolean = () => true): string {
    const { random } = this;
    for (const { path, node } of random.shuffle(this.directories())) {
      const names = [...node.entries].filter(([, child]) => fits(child));
      if (names.length > 0) return this.odd(`${path}/${random.pick(names)[0]}`);
    }
    return this.place();
  }

  file(): string {
    return this.random.chance(0.9) ? this.taken(({ kind }) => kind === 'file') : this.taken();
  }

  odd(path: string): string {
    const { random } = this;
    if (!random.chance(ODD_CHANCE)) return path;
    return random.pick([
      `${path}/`,
      `${path}/.`,
      `${path}/..`,
      `${path}/b`,
      `/..${path}`,
      `//.${path}`,
      path.slice(1),
      `${path}/${'n'.repeat(256)}`,
      `/a${'/.'.repeat(2048)}`,
      '/',
      '.',
      '',
    ]);
  }

  /** A slot that has an open file, if there is any. */
  slot(): number {
    return this.#open.length > 0 ? this.random.pick(this.#open) : 0;
  }

  seed(): number {
    return this.random.next();
  }

  /** A length of data: often whole blocks. */
  length(): number {
    const { random } = this;
    if (random.chance(0.4)) return random.between(1, 6) * BLOCK;
    return random.below(random.pick([2, 100, 800, 5000, 20000]));
  }

  /** An offset or a size: often that of a block, rarely far behind everything. */
  offset(): number {
    const { random } = this;
    if (random.chance(0.04)) {
      return random.pick([MIB, 4 * MIB, 1024 * MIB]) + random.between(-9000, 9000);
    }
    const near = random.below(random.pick([900, 20000, 96 * KIB]));
    return random.chance(0.4) ? near - (near % BLOCK) : near;
  }

  /** An offset that is not far behind everything. */
  near(): number {
    return this.random.below(this.random.pick([900, 20_000, 96 * KIB]));
  }

  /** Where the target of a symbolic link leads. */
  target(): string {
    const { random } = this;
    const path = random.chance(0.8) ? this.taken() : this.place();
    return random.pick([path, path, path.slice(1), path.split('/').at(-1) as string, `..${path}`]);
  }

  /** A directory, and a path where a clone of it can be. */
  cloneable(): Argument[] | undefined {
    const { random } = this;
    const directories = this.directories();
    for (const source of random.shuffle(directories)) {
      const to = `${random.pick(directories).path}/${random.pick(NAMES)}`;
      const free = this.#found.every(({ path }) => path !== to);
      const apart = source.path !== '' && !`${to}/`.startsWith(`${source.path}/`);
      if (free && apart) return [source.path, to];
    }
    return undefined;
  }
}

/** Calls that a snapshot has too. Files are opened in the live tree only. */
const VIEWED: ReadonlySet<Step['call']> = new Set([
  'appendFile',
  'chmod',
  'clone',
  'copyFile',
  'link',
  'lstat',
  'mkdir',
  'readFile',
  'readdir',
  'readlink',
  'rename',
  'rm',
  'rmdir',
  'stat',
  'symlink',
  'truncate',
  'unlink',
  'writeFile',
]);

/** Calls on open files; while none is, one is opened instead. */
const ON_FILES: ReadonlySet<Step['call']> = new Set([
  'close',
  'fstat',
  'fsync',
  'ftruncate',
  'linkFile',
  'range',
  'read',
  'write',
]);

/** With `d` at the end: past the cache. */
const FLAGS = ['r', 'r+', 'r+', 'w', 'w+', 'wx', 'wx+', 'a', 'a+', 'ax', 'rd', 'r+d', 'w+d'];

const ARGUMENTS: Readonly<Record<Step['call'], (draw: Draw) => Argument[]>> = {
  appendFile: (draw) => [draw.file(), draw.seed(), draw.length()],
  chmod: (draw) => [draw.taken(), draw.random.below(0o10000)],
  clone: (draw) => {
    const fits = ({ isDirectory }: ModelNode) => draw.small || !isDirectory;
    const from = draw.small && draw.random.chance(0.05) ? '/' : draw.taken(fits);
    const { view } = draw;
    draw.look(undefined);
    const to = draw.place();
    draw.view = view;
    return [from, to];
  },
  close: (draw) => [draw.slot()],
  copyFile: (draw) => {
    const to = draw.random.chance(0.5) ? draw.place() : draw.file();
    return [draw.file(), to, draw.random.pick([0, 0, 1, 2, 4])];
  },
  cp: (draw) => (draw.small ? draw.cloneable() : undefined) ?? ['/nothing', '/a'],
  deleteSnapshot: (draw) => [draw.random.pick(SNAPSHOTS)],
  exchange: (draw) => [draw.taken(), draw.random.chance(0.05) ? draw.place() : draw.taken()],
  fstat: (draw) => [draw.slot()],
  fsync: (draw) => [draw.slot()],
  ftruncate: (draw) => [draw.slot(), draw.offset()],
  lchown: (draw) => [draw.taken(), draw.random.below(9), draw.random.below(9)],
  link: (draw) => [draw.file(), draw.place()],
  linkFile: (draw) => [draw.slot(), draw.place()],
  lstat: (draw) => [draw.taken()],
  mkdir: (draw) => [draw.place(), draw.random.chance(0.2)],
  open: (draw) => {
    const { random } = draw;
    const path = random.chance(0.7) ? draw.file() : draw.place();
    return [random.below(SLOTS), path, random.pick(FLAGS)];
  },
  read: (draw) => [
    draw.slot(),
    draw.random.below(30000),
    draw.random.chance(0.5) ? draw.offset() : undefined,
  ],
  range: (draw) => {
    const { random } = draw;
    const what = random.pick([
      'punch',
      'zero',
      'allocate',
      'collapse',
      'insert',
      'unshare',
      'clone',
    ] as const);
    const length = what === 'clone' ? random.pick([0, draw.length()]) : Math.max(1, draw.length());
    const whole = what === 'collapse' || what === 'insert' || random.chance(0.5);
    const even = (bytes: number): number => (whole ? bytes - (bytes % BLOCK) : bytes);
    const most = Math.max(even(length), whole && what !== 'clone' ? BLOCK : length === 0 ? 0 : 1);
    const source = draw.slot();
    return [what, draw.slot(), even(draw.near()), most, source, even(draw.near())];
  },
  readFile: (draw) => [draw.taken(({ kind, size }) => kind === 'file' && size < MIB)],
  readdir: (draw) => [draw.taken(({ isDirectory }) => isDirectory)],
  readlink: (draw) => [draw.taken(({ kind }) => kind === 'symlink')],
  rename: (draw) => [draw.taken(), draw.random.chance(0.7) ? draw.place() : draw.taken()],
  rm: (draw) => [draw.taken(), draw.random.chance(0.7), draw.random.chance(0.3)],
  rmdir: (draw) => [draw.taken(({ isDirectory }) => isDirectory)],
  snapshot: (draw) => [draw.random.pick(SNAPSHOTS), draw.random.chance(0.4)],
  stat: (draw) => [draw.taken()],
  symlink: (draw) => [draw.target(), draw.place()],
  sync: () => [],
  defrag: () => [],
  tmpfile: (draw) => [draw.random.below(SLOTS), draw.taken(({ isDirectory }) => isDirectory)],
  truncate: (draw) => [draw.file(), draw.offset()],
  unlink: (draw) => [draw.file()],
  utimes: (draw) => [draw.taken(), draw.random.below(2 ** 31), draw.random.below(2 ** 31)],
  write: (draw) => [
    draw.slot(),
    draw.seed(),
    draw.length(),
    draw.random.chance(0.7) ? draw.offset() : undefined,
  ],
  writeFile: (draw) => {
    const path = draw.random.chance(0.6) ? draw.place() : draw.file();
    return [path, draw.seed(), draw.length()];
  },
};
