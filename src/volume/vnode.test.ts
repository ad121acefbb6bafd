/** Vnodes that are used again: nothing of the inode before is left. */
import { expect, it } from 'vitest';
import { MIB } from '../base/index.ts';
import { BlockCache } from '../cache/index.ts';
import { BufferPool } from '../iomap/index.ts';
import { VolumeIomapOps } from './iomap-ops.ts';
import { Vnode } from './vnode.ts';
import { VnodeTable } from './vnode-table.ts';

it('a renewed vnode is as a new one', () => {
  const ops = new VolumeIomapOps();
  const pool = new BufferPool(new BlockCache({ capacity: MIB, seed: 0n }), ops);
  const fresh = new Vnode(7, pool, ops);
  const used = new Vnode(1, pool, ops);
  const fields = used as unknown as Record<string, unknown>;
  const pools = ['pool', 'ops', 'lock', 'cowLock', 'overwriting'];
  const folios = ['firstFolio', 'folioCount', 'dirtyBlocks', 'unlogged'];
  const kept = [...pools, ...folios, 'slots'];
  for (const name of Object.keys(used)) if (!kept.includes(name)) fields[name] = 'of another inode';
  used.slots.fill(9);
  expect({ ...used.renew(7) }).toEqual({ ...fresh });
});

it('a number comes round once all others were given, in another round', () => {
  const ops = new VolumeIomapOps();
  const pool = new BufferPool(new BlockCache({ capacity: MIB, seed: 0n }), ops);
  const table = new VnodeTable(pool, ops, 16, 0xfffffffd);
  const made = [1, 2, 3, 4].map(() => table.make());
  const [first = 0] = made.slice(2).map(({ id }) => id);
  expect(made.map(({ id, round }) => [id, round])).toEqual([
    [0xfffffffe, 0],
    [0xffffffff, 0],
    [first, 1],
    [first + 1, 1],
  ]);
  expect(first).toBeGreaterThan(1);
  table.drop(made[0] as Vnode);
  expect(table.make()).toMatchObject({ id: first + 2, round: 1 });
});
