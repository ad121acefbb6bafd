/**
 * Device history: random calls on a device and the same on an array, compared after each.
 *
 * Independent of all device code. Bytes that were discarded or prepared are unknown until they are
 * written again.
 */
import { AssertionError, DeviceError } from '../base/index.ts';
import type { Device } from '../device/index.ts';
import type { Bench } from './device-cases.ts';
import type { Random } from './random.ts';

const STEPS = 400;

/** Ranges are mostly small, so that they share blocks, and sometimes nearly all of the device. */
const LENGTHS = [1, 100, 512, 4096, 20000, 60000];

interface Model {
  readonly bytes: Uint8Array;
  /** 1 where the byte is known. */
  readonly known: Uint8Array;
}

export async function compareHistory({ device, contents, random }: Bench): Promise<void> {
  const model = { bytes: contents, known: new Uint8Array(contents.length).fill(1) };
  for (let step = 0; step < STEPS; step++) {
    const position = random.below(contents.length);
    const length = Math.min(random.between(0, random.pick(LENGTHS)), contents.length - position);
    const bytes = random.bytes(length);
    switch (random.below(8)) {
      case 0:
      case 1:
        await device.write(position, bytes);
        learn(model, position, bytes);
        break;
      case 2:
      case 3:
        await device.writev(position, pieces(bytes, random));
        learn(model, position, bytes);
        break;
      case 4:
        await device.readv(position, pieces(bytes, random));
        compare(model, position, bytes, `step ${step}, seed ${random.seed}: readv()`);
        break;
      case 5:
        await device.flush();
        break;
      case 6:
        await discardIfPossible(device, position, length);
        model.known.fill(0, position, position + length);
        break;
      default:
        await device.prepare(position, length);
        model.known.fill(0, position, position + length);
    }
    const all = new Uint8Array(contents.length);
    await device.read(0, all);
    compare(model, 0, all, `step ${step}, seed ${random.seed}: read()`);
  }
}

/** Discards; where the host cannot, the device says so, and that is right too. */
export async function discardIfPossible(
  device: Device,
  position: number,
  length: number,
): Promise<void> {
  try {
    await device.discard(position, length);
  } catch (error) {
    if (!(error instanceof DeviceError) || error.code !== 'ENOTSUP') throw error;
  }
}

function learn(model: Model, position: number, bytes: Uint8Array): void {
  model.bytes.set(bytes, position);
  model.known.fill(1, position, position + bytes.length);
}

function compare(model: Model, position: number, found: Uint8Array, what: string): void {
  for (let i = 0; i < found.length; i++) {
    const at = position + i;
    if (model.known[at] === 0 || model.bytes[at] === found[i]) continue;
    throw new AssertionError(`${what} found ${found[i]} at ${at}, wanted ${model.bytes[at]}`);
  }
}

/** The same memory as views of random lengths, some of them empty. */
function pieces(bytes: Uint8Array, random: Random): Uint8Array[] {
  const views: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + random.below(3000));
    views.push(bytes.subarray(at, end));
    at = end;
  }
  return views;
}
