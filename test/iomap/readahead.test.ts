/**
 * Reading ahead: a reader in sequence makes few large transfers, any other reads what he asks for.
 */
import { expect, it } from 'vitest';
import { BLOCK_SIZE as B } from '../../src/base/index.ts';
import { expectSame, noise, Rig, reading, truncating } from './rig.ts';

const BLOCKS = 300;

it('a reader in sequence comes to the device less and less often', async () => {
  const rig = new Rig();
  const old = noise(BLOCKS * B);
  const file = await rig.stored(old);
  const found = new Uint8Array(old.length);
  let calls = 0;
  for (let at = 0; at < old.length; at += 1000) {
    const before = rig.memory.blocksRead.length;
    const target = new Uint8Array(Math.min(1000, old.length - at));
    await rig.do(reading(file, at, target));
    found.set(target, at);
    if (rig.memory.blocksRead.length > before) calls++;
  }
  expectSame(found, old, 'file');
  expect(rig.memory.blocksRead).toHaveLength(BLOCKS);
  expect(calls).toBeLessThan(14);
});

it('a reader here and there reads what he asks for', async () => {
  const rig = new Rig();
  const file = await rig.stored(noise(BLOCKS * B));
  for (let i = 0; i < 100; i++) {
    const block = (i * 37 + 5) % BLOCKS;
    await rig.do(reading(file, block * B, new Uint8Array(B)));
    expect(rig.memory.blocksRead).toHaveLength(i + 1);
  }
});

it('what cannot be read ahead of a reader does not fail him', async () => {
  const rig = new Rig();
  const old = noise(BLOCKS * B);
  const file = await rig.stored(old);
  const bad = (file.map.get(4) as number) * B;
  rig.device.inject({ on: 'read', effect: 'fail', within: { position: bad, length: B } });
  const target = new Uint8Array(B);
  for (let i = 0; i < 4; i++) {
    await rig.do(reading(file, i * B, target));
    expectSame(target, old.subarray(i * B, (i + 1) * B), `block ${i}`);
  }
  await expect(rig.do(reading(file, 4 * B, target))).rejects.toMatchObject({ code: 'EIO' });
  await rig.do(reading(file, 5 * B, target));
  expectSame(target, old.subarray(5 * B, 6 * B), 'block 5');
  expect(rig.cache.busy).toBe(0);
});

it('what was read ahead of a hole is not seen through it', async () => {
  const rig = new Rig();
  const file = await rig.stored(noise(BLOCKS * B));
  await rig.do(reading(file, 0, new Uint8Array(B)));
  expect(rig.memory.blocksRead.length).toBeGreaterThan(4);
  await rig.do(truncating(file, B));
  await rig.do(truncating(file, 5 * B));
  expectSame(await rig.contents(file, B), new Uint8Array(4 * B), 'hole');
});
