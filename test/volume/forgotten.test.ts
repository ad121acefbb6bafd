/** Inodes that are gone leave memory, also if somebody had hold of one when it went. */
import { expect, it } from 'vitest';
import { MIB } from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { InodeKind, timeFromMs, UnlinkWhat } from '../../src/format/index.ts';
import { lookup } from '../../src/volume/index.ts';
import { create, mount } from './rig.ts';

const LIMIT = 16;
const TIME = timeFromMs(1e12);

it('a bug: what was held when it was removed stayed in memory for ever', () => {
  const device = new MemoryDevice({ size: 8 * MIB });
  create(device);
  const { engine, driver } = mount(device, { vnodeLimit: LIMIT });
  const parent = engine.live.id;
  for (let i = 0; i < 20 * LIMIT; i++) {
    const name = `f${i}`;
    const kind = i % 2 === 0 ? InodeKind.FILE : InodeKind.DIRECTORY;
    const what = i % 2 === 0 ? UnlinkWhat.FILE : UnlinkWhat.DIRECTORY;
    const inode = { kind, mode: 0o700, uid: 0, gid: 0, rdev: 0, target: '', ino: 0, handle: 0 };
    driver.run(engine.apply({ type: 'create', parent, name, ...inode, time: TIME }));
    const made = driver.run(lookup(engine, engine.live, name));
    // One hold of the create, one of the lookup: as if a call on it had not ended yet.
    driver.run(engine.apply({ type: 'unlink', parent, name, what, time: TIME }));
    made.holds = 0;
  }
  expect(engine.table.count).toBeLessThan(2 * LIMIT);
  driver.run(engine.commit());
});
