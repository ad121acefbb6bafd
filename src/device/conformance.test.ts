/** Every device passes the one suite. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, test } from 'vitest';
import { BLOCK_SIZE } from '../base/index.ts';
import {
  CrashDevice,
  type DeviceCapabilities,
  type DeviceFactory,
  type DeviceRequest,
  deviceSuite,
  FaultDevice,
  Random,
  Schedule,
  SlowDevice,
} from '../testing/index.ts';
import type { Device } from './index.ts';
import { MemoryDevice, OverlayDevice } from './index.ts';
import { FileDevice, type FileDeviceOptions } from './node.ts';

const directory = mkdtempSync(join(tmpdir(), 'ramet-device-'));
afterAll(() => rmSync(directory, { recursive: true }));

const everything: DeviceCapabilities = { sync: true, grows: true, readOnly: true };

function conforms(name: string, factory: DeviceFactory, capabilities: DeviceCapabilities): void {
  for (const { title, run } of deviceSuite(name, factory, capabilities)) test(title, run);
}

function contentsOf({ size, contents }: DeviceRequest): Uint8Array {
  return contents ?? new Uint8Array(size);
}

conforms(
  'memory of its own',
  (request) => ({
    device: MemoryDevice.from(contentsOf(request), { readOnly: request.readOnly }),
  }),
  everything,
);

conforms(
  'memory in a buffer',
  (request) => {
    const { buffer } = contentsOf(request).slice();
    return { device: new MemoryDevice({ buffer, readOnly: request.readOnly }) };
  },
  { ...everything, grows: false },
);

conforms(
  'memory in a growable shared buffer',
  (request) => {
    const Growable = SharedArrayBuffer as unknown as new (
      length: number,
      options: { maxByteLength: number },
    ) => SharedArrayBuffer;
    const buffer = new Growable(request.size, { maxByteLength: request.size * 64 });
    new Uint8Array(buffer).set(contentsOf(request));
    return { device: new MemoryDevice({ buffer, readOnly: request.readOnly }) };
  },
  everything,
);

let files = 0;

/** A path that no other case uses, with these bytes in it. */
function freshFile(contents: Uint8Array): string {
  const path = join(directory, `${files++}.img`);
  writeFileSync(path, contents);
  return path;
}

function fileSubject(
  request: DeviceRequest,
  options: FileDeviceOptions,
): { device: Device; dispose(): void } {
  const path = freshFile(contentsOf(request));
  const device = FileDevice.open(path, { ...options, readOnly: request.readOnly });
  return {
    device,
    dispose: () => {
      device.close();
      rmSync(path);
    },
  };
}

conforms('file', (request) => fileSubject(request, {}), everything);
conforms('file without a lock', (request) => fileSubject(request, { lock: false }), everything);

/** True if the host opens files like this. */
function takes(options: FileDeviceOptions): boolean {
  try {
    fileSubject({ size: BLOCK_SIZE, readOnly: false }, options).dispose();
    return true;
  } catch (error) {
    process.stderr.write(`WARNING: Skipped in ${directory}: ${(error as Error).message}\n`);
    return false;
  }
}

for (const [name, options] of [
  ['direct file', { direct: true }],
  ['mapped file', { mapped: true }],
] as const) {
  if (takes(options)) conforms(name, (request) => fileSubject(request, options), everything);
}

conforms(
  'crash device',
  (request) => ({ device: new CrashDevice({ image: contentsOf(request) }) }),
  { ...everything, readOnly: false },
);

conforms(
  'crash device on a schedule',
  (request) => {
    const schedule = new Schedule(new Random(2));
    const device = new CrashDevice({ image: contentsOf(request), schedule });
    return { device, settle: (work) => schedule.run(work) };
  },
  { sync: false, grows: true, readOnly: false },
);

conforms(
  'fault device without a fault',
  (request) => ({
    device: new FaultDevice(MemoryDevice.from(contentsOf(request), { readOnly: request.readOnly })),
  }),
  everything,
);

conforms(
  'slow device',
  (request) => {
    const schedule = new Schedule(new Random(3));
    const memory = MemoryDevice.from(contentsOf(request), { readOnly: request.readOnly });
    return { device: new SlowDevice(memory, { schedule }), settle: (work) => schedule.run(work) };
  },
  { ...everything, sync: false },
);

/** A base and a layer that together hold `contents`: odd blocks in the base, even in the layer. */
async function overlayParts(
  request: DeviceRequest,
): Promise<{ base: MemoryDevice; layer: MemoryDevice }> {
  const contents = contentsOf(request);
  const stale = new Random(4).bytes(request.size * 2);
  const layer = MemoryDevice.from(stale);
  const base = MemoryDevice.from(contents, { readOnly: true });
  if (request.contents === undefined) {
    OverlayDevice.openSync({ base, layer, create: true });
    return { base, layer };
  }
  const baseContents = contents.slice();
  for (let at = 0; at < request.size; at += 8192) baseContents.fill(0xbb, at, at + 4096);
  const mixed = MemoryDevice.from(baseContents, { readOnly: true });
  const overlay = OverlayDevice.openSync({ base: mixed, layer, create: true });
  for (let at = 0; at < request.size; at += 8192) {
    await overlay.write(at, contents.subarray(at, at + 4096));
  }
  await overlay.flush();
  return { base: mixed, layer };
}

function contentsOfLayer(layer: MemoryDevice): Uint8Array {
  const bytes = new Uint8Array(layer.size);
  layer.read(0, bytes);
  return bytes;
}

conforms(
  'overlay',
  async (request) => {
    const { base, layer } = await overlayParts(request);
    const bytes = contentsOfLayer(layer);
    const again = MemoryDevice.from(bytes, { readOnly: request.readOnly });
    return { device: OverlayDevice.openSync({ base, layer: again }) };
  },
  everything,
);

for (const [slowBase, slowLayer] of [
  [true, true],
  [true, false],
  [false, true],
] as const) {
  conforms(
    `overlay of a ${slowBase ? 'slow' : 'sync'} base and a ${slowLayer ? 'slow' : 'sync'} layer`,
    async (request) => {
      const { base, layer } = await overlayParts(request);
      const schedule = new Schedule(new Random(5));
      const again = MemoryDevice.from(contentsOfLayer(layer), { readOnly: request.readOnly });
      const opening = OverlayDevice.open({
        base: slowBase ? new SlowDevice(base, { schedule }) : base,
        layer: slowLayer ? new SlowDevice(again, { schedule }) : again,
      });
      const settle = <T>(work: Promise<T>) => schedule.run(work);
      return { device: await settle(opening), settle };
    },
    { ...everything, sync: false },
  );
}
