/** Vnodes that are used again: nothing of the inode before is left. */
import { expect, it } from 'vitest';
import { MIB } from '../base/index.ts';
import { BlockCache } from '../cache/index.ts';
import { BufferPool } from '../iomap/index.ts';
import { VolumeIomapOps } from './iomap-ops.ts';
import { Vnode } from './vnode.ts';

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
