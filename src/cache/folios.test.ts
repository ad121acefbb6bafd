import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Frame, NO_FRAME } from '../base/index.ts';
import { FOLIO_BLOCKS, type Folio, type FolioOwner, FolioTable, NO_FOLIO } from './folios.ts';

class Owner implements FolioOwner {
  readonly id: number;
  firstFolio: Folio = NO_FOLIO;
  folioCount = 0;
  dirtyBlocks = 0;
  unlogged = 0;

  constructor(id: number) {
    this.id = id;
  }
}

/** Folios with a dirty block, in the order of the queue. */
function queueOf(table: FolioTable): Folio[] {
  const queue: Folio[] = [];
  for (let it = table.oldest; it !== NO_FOLIO; it = table.younger(it)) queue.push(it);
  return queue;
}

function listOf(table: FolioTable, owner: Owner): Folio[] {
  const list: Folio[] = [];
  for (let it = owner.firstFolio; it !== NO_FOLIO; it = table.nextOf(it)) list.push(it);
  return list;
}

const frame = (n: number): Frame => n as Frame;

describe('FolioTable', () => {
  it('obtain() makes a folio once, and find() finds it', () => {
    const table = new FolioTable();
    const owner = new Owner(1);
    expect(table.find(owner, 5)).toBe(NO_FOLIO);
    const folio = table.obtain(owner, 5);
    expect(table.obtain(owner, 5)).toBe(folio);
    expect(table.find(owner, 5)).toBe(folio);
    expect(table.find(owner, 6)).toBe(NO_FOLIO);
    expect(table.find(new Owner(1), 5)).toBe(NO_FOLIO);
    expect([table.count, owner.folioCount, table.ownerOf(folio)]).toEqual([1, 1, owner]);
  });

  it('tells files apart that have the same folios', () => {
    const table = new FolioTable();
    const owners = Array.from({ length: 50 }, (_, i) => new Owner(i));
    const folios = owners.map((owner) => table.obtain(owner, 2 ** 37));
    expect(owners.map((owner) => table.find(owner, 2 ** 37))).toEqual(folios);
  });

  it('keeps everything when it grows', () => {
    const table = new FolioTable();
    const owner = new Owner(3);
    const folios = Array.from({ length: 1000 }, (_, i) => table.obtain(owner, i * 7));
    for (const [i, folio] of folios.entries()) {
      table.attach(folio, i % FOLIO_BLOCKS, frame(i));
      table.markDirty(folio, i % FOLIO_BLOCKS);
    }
    expect(folios.map((_, i) => table.find(owner, i * 7))).toEqual(folios);
    expect(folios.map((folio, i) => table.frame(folio, i % FOLIO_BLOCKS))).toEqual(
      folios.map((_, i) => i),
    );
    expect(queueOf(table)).toEqual(folios);
    expect(listOf(table, owner).reverse()).toEqual(folios);
  });

  it('has a folio with data that is not logged at the front of the list', () => {
    const table = new FolioTable();
    const owner = new Owner(1);
    const folios = [0, 1, 2, 3].map((index) => table.obtain(owner, index));
    for (const folio of folios) {
      table.attach(folio, 0, frame(folio));
      table.markDirty(folio, 0);
      table.markLogged(folio, 0);
    }
    for (const at of [1, 0, 2]) {
      table.markDirty(folios[at] as Folio, 0);
      expect([owner.firstFolio, owner.unlogged]).toEqual([folios[at], 1]);
      table.markLogged(folios[at] as Folio, 0);
    }
    expect(listOf(table, owner).sort()).toEqual([...folios].sort());
  });

  it('starts a folio empty where another one was', () => {
    const table = new FolioTable();
    const folio = table.obtain(new Owner(1), 0);
    table.attach(folio, 3, frame(9));
    table.writeback[folio] = 8;
    expect(table.detach(folio, 3)).toBe(9);
    table.remove(folio);
    const again = table.obtain(new Owner(2), 4);
    expect(again).toBe(folio);
    expect(table.frame(again, 3)).toBe(NO_FRAME);
    expect([table.uptodate[again], table.dirty[again], table.writeback[again]]).toEqual([0, 0, 0]);
  });

  it('markDirty() and clearDirty() say whether they changed anything', () => {
    const table = new FolioTable();
    const folio = table.obtain(new Owner(1), 0);
    expect([table.markDirty(folio, 0), table.markDirty(folio, 0)]).toEqual([true, false]);
    expect(table.markDirty(folio, 15)).toBe(true);
    expect([table.clearDirty(folio, 0), table.clearDirty(folio, 15)]).toEqual([false, true]);
    expect(queueOf(table)).toEqual([]);
  });

  it('keeps a folio at its place in the queue until its last block is clean', () => {
    const table = new FolioTable();
    const [a, b, c] = [0, 1, 2].map((i) => table.obtain(new Owner(i), 0)) as [Folio, Folio, Folio];
    for (const folio of [a, b, c]) table.markDirty(folio, 0);
    table.markDirty(a, 1);
    table.clearDirty(a, 0);
    expect(queueOf(table)).toEqual([a, b, c]);
    table.clearDirty(b, 0);
    table.clearDirty(a, 1);
    table.markDirty(a, 0);
    expect(queueOf(table)).toEqual([c, a]);
  });

  it('does not let go of what is dirty, or of a folio with a frame', () => {
    const table = new FolioTable();
    const folio = table.obtain(new Owner(1), 0);
    table.attach(folio, 0, frame(1));
    table.markDirty(folio, 0);
    expect(() => table.detach(folio, 0)).toThrow('a dirty block keeps its frame');
    expect(() => table.remove(folio)).toThrow('a folio goes with its last frame');
  });
});

const OWNERS = 3;
const FOLIOS = 4;

const place = {
  owner: fc.nat(OWNERS - 1),
  index: fc.nat(FOLIOS - 1),
  i: fc.nat(FOLIO_BLOCKS - 1),
};
const command = fc.record({
  do: fc.constantFrom('write', 'write', 'log', 'freeze', 'thaw', 'revert', 'drop'),
  ...place,
});
type Command = typeof command extends fc.Arbitrary<infer Value> ? Value : never;

interface Entry {
  frame: number;
  state: 'dirty' | 'logged' | 'flying';
}

/** What a block's life looks like from outside: dirty, in flight, gone; or dirty again. */
class Model {
  readonly table = new FolioTable();
  readonly owners = Array.from({ length: OWNERS }, (_, i) => new Owner(i * 1000));
  readonly entries = new Map<string, Entry>();
  /** Keys of folios with a dirty block, oldest first. */
  queue: string[] = [];
  #frames = 0;

  run({ do: what, owner, index, i }: Command): void {
    const { table } = this;
    const key = `${owner}/${index}/${i}`;
    const entry = this.entries.get(key);
    const file = this.owners[owner] as Owner;
    if (what === 'write') {
      this.#write(file, index, i, key);
    } else if (entry !== undefined) {
      const folio = table.find(file, index);
      if (what === 'log' && entry.state === 'dirty') {
        table.markLogged(folio, i);
        entry.state = 'logged';
      } else if (what === 'freeze' && entry.state !== 'flying') {
        table.clearDirty(folio, i);
        table.writeback[folio] = (table.writeback[folio] as number) | (1 << i);
        entry.state = 'flying';
      } else if (what === 'revert' && entry.state === 'flying') {
        table.writeback[folio] = (table.writeback[folio] as number) & ~(1 << i);
        expect(table.markDirty(folio, i)).toBe(true);
        entry.state = 'dirty';
      } else if (what === (entry.state === 'flying' ? 'thaw' : 'drop')) {
        table.clearDirty(folio, i);
        expect(table.detach(folio, i)).toBe(entry.frame);
        if (table.uptodate[folio] === 0) table.remove(folio);
        this.entries.delete(key);
      }
    }
    this.#requeue(`${owner}/${index}/`);
  }

  #write(file: Owner, index: number, i: number, key: string): void {
    const { table } = this;
    const folio = table.obtain(file, index);
    const entry = this.entries.get(key);
    const wasDirty = entry !== undefined && entry.state !== 'flying';
    if (wasDirty) {
      entry.state = 'dirty';
    } else {
      table.writeback[folio] = (table.writeback[folio] as number) & ~(1 << i);
      table.attach(folio, i, frame(this.#frames));
      this.entries.set(key, { frame: this.#frames++, state: 'dirty' });
    }
    expect(table.markDirty(folio, i)).toBe(!wasDirty);
  }

  #requeue(prefix: string): void {
    const dirty = [...this.entries].some(([k, e]) => k.startsWith(prefix) && e.state !== 'flying');
    if (!dirty) this.queue = this.queue.filter((it) => it !== prefix);
    else if (!this.queue.includes(prefix)) this.queue.push(prefix);
  }

  check(): void {
    const { table } = this;
    let count = 0;
    for (const [owner, file] of this.owners.entries()) {
      for (let index = 0; index < FOLIOS; index++) count += this.#checkFolio(owner, file, index);
      expect(listOf(table, file)).toHaveLength(file.folioCount);
      const unlogged = [...this.entries].filter(
        ([key, { state }]) => key.startsWith(`${owner}/`) && state === 'dirty',
      );
      expect(file.unlogged).toBe(unlogged.length);
      const dirty = [...this.entries].filter(
        ([key, { state }]) => key.startsWith(`${owner}/`) && state !== 'flying',
      );
      expect(file.dirtyBlocks).toBe(dirty.length);
    }
    expect(table.count).toBe(count);
    const queue = queueOf(table).map((folio) => {
      const owner = this.owners.indexOf(table.ownerOf(folio) as Owner);
      return `${owner}/${table.index[folio]}/`;
    });
    expect(queue).toEqual(this.queue);
  }

  #checkFolio(owner: number, file: Owner, index: number): number {
    const { table } = this;
    const folio = table.find(file, index);
    const wanted = Array.from({ length: FOLIO_BLOCKS }, (_, i) =>
      this.entries.get(`${owner}/${index}/${i}`),
    );
    const none = wanted.every((entry) => entry === undefined);
    if (none !== (folio === NO_FOLIO)) expect.unreachable(`folio ${owner}/${index}`);
    if (none) return 0;
    const bits = (test: (entry: Entry) => boolean) =>
      wanted.reduce((sum, entry, i) => sum + (entry !== undefined && test(entry) ? 1 << i : 0), 0);
    expect({
      uptodate: table.uptodate[folio],
      dirty: table.dirty[folio],
      logged: table.logged[folio],
      writeback: table.writeback[folio],
      frames: wanted.map((_, i) => table.frame(folio, i)).join(),
    }).toEqual({
      uptodate: bits(() => true),
      dirty: bits(({ state }) => state !== 'flying'),
      logged: bits(({ state }) => state === 'logged'),
      writeback: bits(({ state }) => state === 'flying'),
      frames: wanted.map((entry) => entry?.frame ?? NO_FRAME).join(),
    });
    return 1;
  }
}

describe('FolioTable and a map of blocks', () => {
  it('agree on every block, list and queue, whatever happens (F1, F3, F4)', () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 50, size: 'max' }), (commands) => {
        const model = new Model();
        for (const each of commands) {
          model.run(each);
          model.check();
        }
      }),
    );
  });
});
