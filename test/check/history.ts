/**
 * History: a volume is changed at random, by a seed. What the world refuses is passed over; a
 * broken promise of the engine is not.
 */
import { FilesystemError } from '../../src/base/index.ts';
import { InodeKind, UnlinkWhat } from '../../src/format/index.ts';
import { Random } from '../../src/testing/index.ts';
import type { Vnode } from '../../src/volume/index.ts';
import { type Hand, pattern } from './hand.ts';

const KINDS: readonly InodeKind[] = [
  InodeKind.FILE,
  InodeKind.FILE,
  InodeKind.FILE,
  InodeKind.DIRECTORY,
  InodeKind.SYMLINK,
  InodeKind.FIFO,
];

export class History {
  readonly hand: Hand;
  readonly random: Random;
  /** What was done, for whoever has to find out why. */
  readonly done: string[] = [];
  #opened: Vnode[] = [];

  constructor(hand: Hand, seed: number) {
    this.hand = hand;
    this.random = new Random(seed);
  }

  /** Does `count` things. */
  run(count: number): void {
    for (let i = 0; i < count; i++) this.#attempt();
  }

  /** Lets go of what is open, and commits. */
  end(): void {
    for (const vnode of this.#opened) vnode.opens--;
    this.#opened = [];
    this.hand.commit();
  }

  #attempt(): void {
    const held: Vnode[] = [];
    try {
      this.#step(held);
    } catch (error) {
      if (!(error instanceof FilesystemError) || error.code === 'EIO') throw error;
      this.done.push(`  refused: ${error.message}`);
    } finally {
      for (const vnode of held) vnode.holds--;
    }
  }

  #step(held: Vnode[]): void {
    const { random, hand } = this;
    const dice = random.below(100);
    const parent = this.#directory(held);
    const name = this.#name();
    if (dice < 22) this.#create(parent, name, held);
    else if (dice < 42) this.#write(this.#file(parent, held));
    else if (dice < 48) this.#truncate(this.#file(parent, held));
    else if (dice < 54) this.#log('link', () => hand.link(this.#file(parent, held), parent, name));
    else if (dice < 66) this.#unlink(parent);
    else if (dice < 74) this.#rename(parent, name, held);
    else if (dice < 84) this.#clone(parent, name, held);
    else if (dice < 88) this.#attribute(this.#any(parent, held));
    else if (dice < 90) this.#open(this.#file(parent, held));
    else if (dice < 94) this.#log('reclaim', () => hand.reclaim());
    else this.#log('commit', () => hand.commit());
  }

  #log(what: string, act: () => void): void {
    this.done.push(what);
    act();
  }

  #name(): string {
    const { random } = this;
    const long = random.chance(0.1) ? 'x'.repeat(random.between(60, 240)) : '';
    return `n${random.below(60)}${long}`;
  }

  /** A directory somewhere in the live volume, or in a snapshot below its root. */
  #directory(held: Vnode[]): Vnode {
    const { hand, random } = this;
    let at = random.chance(0.15) ? hand.snapshots : hand.root;
    while (random.chance(0.65)) {
      const below = hand.entries(at).filter(({ kind }) => kind === InodeKind.DIRECTORY);
      if (below.length === 0) break;
      at = hand.find(at, random.pick(below).name);
      held.push(at);
    }
    return at === hand.snapshots ? hand.root : at;
  }

  #any(parent: Vnode, held: Vnode[]): Vnode {
    const entries = this.hand.entries(parent);
    if (entries.length === 0) throw new FilesystemError('ENOENT', 'Cannot find anything here');
    const vnode = this.hand.find(parent, this.random.pick(entries).name);
    held.push(vnode);
    return vnode;
  }

  #file(parent: Vnode, held: Vnode[]): Vnode {
    const { hand, random } = this;
    const files = hand
      .entries(parent)
      .filter(({ kind }) => kind === InodeKind.FILE || kind === InodeKind.LINK);
    if (files.length === 0) throw new FilesystemError('ENOENT', 'Cannot find a file here');
    const vnode = hand.find(parent, random.pick(files).name);
    held.push(vnode);
    return vnode;
  }

  #create(parent: Vnode, name: string, held: Vnode[]): void {
    const { hand, random } = this;
    const kind = random.pick(KINDS);
    const target = kind === InodeKind.SYMLINK ? 't'.repeat(random.pick([5, 700, 800, 3000])) : '';
    this.#log(`create ${name} kind ${kind}`, () => {
      held.push(hand.create(parent, name, kind, { target }));
    });
  }

  #write(vnode: Vnode): void {
    const { hand, random } = this;
    const offset = random.pick([
      0,
      random.below(5000),
      random.below(60_000),
      random.below(3_000_000),
      random.below(300_000_000),
    ]);
    const length = random.pick([1, 100, 700, 4096, random.below(20_000), random.below(150_000)]);
    this.#log(`write ${vnode.ino} ${offset} ${length}`, () => {
      hand.write(vnode, offset, pattern(length, random.below(1000)));
    });
  }

  #truncate(vnode: Vnode): void {
    const { hand, random } = this;
    const size = random.pick([0, 1, 5000, random.below(vnode.size + 1), 2 * vnode.size, 8_000_000]);
    this.#log(`truncate ${vnode.ino} ${size}`, () => hand.truncate(vnode, size));
  }

  #unlink(from: Vnode): void {
    const { hand, random } = this;
    const parent = random.chance(0.1) ? hand.snapshots : from;
    const entries = hand.entries(parent);
    if (entries.length === 0) return;
    const { name, kind } = random.pick(entries);
    const directory = random.chance(0.7) ? UnlinkWhat.TREE : UnlinkWhat.DIRECTORY;
    const what = kind === InodeKind.DIRECTORY ? directory : UnlinkWhat.FILE;
    this.#log(`unlink ${name} ${what}`, () => hand.unlink(parent, name, what));
  }

  #rename(parent: Vnode, newName: string, held: Vnode[]): void {
    const { hand, random } = this;
    const entries = hand.entries(parent);
    if (entries.length === 0) return;
    const to = this.#directory(held);
    const { name } = random.pick(entries);
    this.#log(`rename ${name} to ${newName}`, () => hand.rename(parent, name, to, newName));
  }

  #clone(parent: Vnode, name: string, held: Vnode[]): void {
    const { hand, random } = this;
    const source = random.chance(0.1) ? hand.root : this.#any(parent, held);
    const snapshot = source.isDirectory && random.chance(0.3);
    const to = snapshot ? hand.snapshots : this.#directory(held);
    const readOnly = random.chance(0.2);
    this.#log(`clone ${source.ino} to ${name}`, () => {
      held.push(hand.clone(source, to, name, readOnly));
    });
  }

  #attribute(vnode: Vnode): void {
    const { hand, random } = this;
    const length = random.pick([3, 50, 200, 5000]);
    this.#log(`attribute of ${vnode.ino}`, () => {
      hand.setMode(vnode, random.below(0o1000));
      const value = random.chance(0.3) ? undefined : pattern(length);
      hand.setExtended(vnode, `user.${random.below(4)}`, value);
    });
  }

  /** Open files become orphans when they are unlinked. */
  #open(vnode: Vnode): void {
    this.#log(`open ${vnode.ino}`, () => {
      vnode.opens++;
      this.#opened.push(vnode);
    });
  }
}
