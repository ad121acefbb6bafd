/**
 * Device suite: what every device must do, as cases for any test runner.
 *
 * A case fails by throwing an AssertionError that says what was done, found and wanted. Random
 * cases follow from the seed. With a test runner, `run` is the body of a test:
 *
 * ```ts
 * const factory = ({ size, readOnly, contents }) => ({
 *   device: MemoryDevice.from(contents ?? new Uint8Array(size), { readOnly }),
 * });
 * const capabilities = { sync: true, grows: true, readOnly: true };
 * for (const { run } of deviceSuite('memory', factory, capabilities)) await run();
 * ```
 */
import type { Device } from '../device/index.ts';
import { CASES } from './device-cases.ts';
import { Random } from './random.ts';

/** A device as a case wants it. */
export interface DeviceRequest {
  /** Exactly this long. */
  readonly size: number;
  readonly readOnly: boolean;
  /** What it holds, `size` bytes; zeros if absent. */
  readonly contents?: Uint8Array;
}

/** A device to be examined. */
export interface DeviceSubject {
  readonly device: Device;
  /** For simulated devices: lets time pass until `work` has ended, like `Schedule.run`. */
  readonly settle?: (work: Promise<void>) => Promise<void>;
  /** Called when the case has ended, well or badly. The device may be closed already. */
  readonly dispose?: () => void | Promise<void>;
}

export type DeviceFactory = (request: DeviceRequest) => DeviceSubject | Promise<DeviceSubject>;

/** What the device is able to do. Cases for what it is not able to are left out. */
export interface DeviceCapabilities {
  /** It declares `sync`. */
  readonly sync: boolean;
  /** It can get longer than it was made. If not, `grow` must say `ENOSPC`. */
  readonly grows: boolean;
  /** The factory can make it read-only. */
  readonly readOnly: boolean;
}

export interface DeviceCase {
  readonly title: string;
  readonly run: () => Promise<void>;
}

/** The cases for one kind of device, each on a device of its own. */
export function deviceSuite(
  name: string,
  factory: DeviceFactory,
  capabilities: DeviceCapabilities,
  seed = 1,
): DeviceCase[] {
  return CASES.filter((each) => each.applies?.(capabilities) ?? true).map((each) => ({
    title: `${name}: ${each.title}`,
    run: async () => {
      const random = new Random(seed);
      const { size, readOnly = false, filled = false } = each.request;
      const contents = filled ? random.bytes(size) : undefined;
      const subject = await factory({ size, readOnly, ...(contents && { contents }) });
      try {
        const work = each.body({
          device: subject.device,
          contents: contents ?? new Uint8Array(size),
          random,
          capabilities,
        });
        await (subject.settle?.(work) ?? work);
      } finally {
        await subject.dispose?.();
      }
    },
  }));
}
