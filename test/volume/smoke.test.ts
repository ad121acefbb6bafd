import { expect, test } from 'vitest';
import { MemoryDevice } from '../../src/device/index.ts';
import { BufferedRead } from '../../src/iomap/index.ts';
import { lookup, readEntries } from '../../src/volume/index.ts';
import { create, mount } from './rig.ts';

const T = { sec: 1, nsec: 2 };
function mk(e: any, d: any, parent: any, name: string, kind = 1): any {
  return d.run(
    e.apply({
      type: 'create',
      parent: parent.id,
      name,
      kind,
      mode: 0o644,
      uid: 0,
      gid: 0,
      rdev: 0,
      target: '',
      time: T,
      ino: 0,
      handle: 0,
    }),
  );
}
function write(e: any, d: any, v: any, offset: number, data: Uint8Array) {
  return d.run(e.apply({ type: 'write-inline', target: v.id, offset, data, time: T }));
}
function read(d: any, v: any, at = 0, n = v.size) {
  const out = new Uint8Array(n);
  const got = d.run(new BufferedRead().begin(v, at, n, out));
  return out.subarray(0, got);
}
function clone(e: any, d: any, v: any, parent: any, name: string) {
  return d.run(
    e.apply({
      type: 'clone',
      source: v.id,
      parent: parent.id,
      name,
      readOnly: false,
      time: T,
      ino: 0,
      realm: 0,
      handle: 0,
    }),
  );
}

test('smoke', () => {
  const device = new MemoryDevice({ size: 16 << 20 });
  let { engine, driver } = create(device);
  const dir = mk(engine, driver, engine.live, 'dir', 2);
  const data = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7) & 255);
  for (let i = 0; i < 300; i++) {
    const f = mk(engine, driver, dir, `file${i}`);
    write(engine, driver, f, 0, data.subarray(0, i * 10));
    f.holds--;
  }
  const big = mk(engine, driver, dir, 'big');
  write(engine, driver, big, 5000, data);
  expect(read(driver, big, 5000)).toEqual(data);
  const c = clone(engine, driver, dir, engine.live, 'copy');
  driver.run(engine.commit());
  write(engine, driver, big, 10, new Uint8Array([1, 2, 3]));
  driver.run(engine.commit());
  ({ engine, driver } = mount(device));
  const d2 = driver.run(lookup(engine, engine.live, 'dir'));
  const c2 = driver.run(lookup(engine, engine.live, 'copy'));
  expect(
    driver
      .run(readEntries(engine, engine.live, 0))
      .map((x) => x.name)
      .sort(),
  ).toEqual(['copy', 'dir']);
  for (let i = 0; i < 300; i++) {
    const f = driver.run(lookup(engine, i % 2 ? d2 : c2, `file${i}`));
    expect(read(driver, f)).toEqual(data.subarray(0, i * 10));
    f.holds--;
  }
  const b1 = driver.run(lookup(engine, d2, 'big'));
  const b2 = driver.run(lookup(engine, c2, 'big'));
  expect(read(driver, b1, 10, 3)).toEqual(new Uint8Array([1, 2, 3]));
  expect(read(driver, b2, 10, 3)).toEqual(new Uint8Array([0, 0, 0]));
  expect(read(driver, b2, 5000)).toEqual(data);
  expect(c.id).toBeGreaterThan(0);
});
