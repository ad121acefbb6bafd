/**
 * A directory with a million entries (50,000 unless RAMET_LONG=1), listed piece by piece while
 * names come and go: whoever was there all the time is seen exactly once, and cookies only rise.
 */
import { expect, it } from 'vitest';
import { MIB } from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { InodeKind, ROOT_HANDLE, UnlinkWhat } from '../../src/format/index.ts';
import { Random } from '../../src/testing/index.ts';
import { readEntries, type Vnode } from '../../src/volume/index.ts';
import { imageOf, recount } from './recount.ts';
import { create, mount, type Rig } from './rig.ts';

const LONG = process.env['RAMET_LONG'] === '1';
const ENTRIES = LONG ? 1_000_000 : 50_000;
const TIME = { sec: 1, nsec: 0 };
const OPTIONS = { cacheBytes: 64 * MIB, countCapacity: 4 * MIB };

function make({ engine, driver }: Rig, name: string): void {
  const inode = { kind: InodeKind.FIFO, mode: 0o644, uid: 0, gid: 0, rdev: 0, target: '' };
  const record = { ...inode, type: 'create', parent: ROOT_HANDLE, name, time: TIME } as const;
  (driver.run(engine.apply({ ...record, ino: 0, handle: 0 })) as Vnode).holds--;
}

function remove({ engine, driver }: Rig, name: string): void {
  const what = UnlinkWhat.FILE;
  driver.run(engine.apply({ type: 'unlink', parent: ROOT_HANDLE, name, what, time: TIME }));
}

it('is listed in pieces while names come and go', { timeout: 600_000 }, () => {
  const device = new MemoryDevice({ size: (LONG ? 1024 : 64) * MIB });
  create(device, OPTIONS);
  const rig = mount(device, OPTIONS);
  const random = new Random(1);
  for (let i = 0; i < ENTRIES; i++) make(rig, `name ${i}`);
  rig.driver.run(rig.engine.commit());
  const removed = new Set<string>();
  const seen = new Set<string>();
  let cookie = 0;
  for (let round = 0; ; round++) {
    const entries = rig.driver.run(readEntries(rig.engine, rig.engine.live, cookie));
    if (entries.length === 0) break;
    for (const entry of entries) {
      expect(entry.cookie).toBeGreaterThan(cookie);
      cookie = entry.cookie;
      expect(seen.has(entry.name)).toBe(false);
      seen.add(entry.name);
    }
    make(rig, `new ${round}`);
    const name = `name ${random.below(ENTRIES)}`;
    if (!removed.has(name)) remove(rig, name);
    removed.add(name);
  }
  for (let i = 0; i < ENTRIES; i++) {
    const name = `name ${i}`;
    if (!removed.has(name)) expect(seen.has(name), name).toBe(true);
  }
  rig.driver.run(rig.engine.commit());
  if (!LONG) expect(recount(imageOf(device))).toEqual([]);
  const again = mount(device, OPTIONS);
  expect(again.engine.live.size).toBe(rig.engine.live.size);
});
