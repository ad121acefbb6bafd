/**
 * The suite itself: a device too simple to be wrong passes it, and does not with a planted fault.
 */
import { describe, expect, it, test } from 'vitest';
import { DeviceError, type ErrorCode } from '../base/index.ts';
import type { Completion, Device } from '../device/index.ts';
import { type DeviceCapabilities, type DeviceCase, deviceSuite } from './device-suite.ts';
import { Random } from './random.ts';
import { Schedule } from './schedule.ts';
import { SlowDevice } from './slow-device.ts';

/** An array with a device's methods. Shares no code with the devices that the suite is for. */
class PlainDevice implements Device {
  name = 'plain';
  sync = true;
  readOnly: boolean;
  bytes: Uint8Array;
  closed = false;

  constructor(bytes: Uint8Array, readOnly = false) {
    this.bytes = bytes;
    this.readOnly = readOnly;
  }

  get size(): number {
    return this.bytes.length;
  }

  read(position: number, buffer: Uint8Array): Completion {
    this.check('read', position, buffer.length);
    buffer.set(this.bytes.subarray(position, position + buffer.length));
    return undefined;
  }

  readv(position: number, buffers: readonly Uint8Array[]): Completion {
    this.check('read', position, lengthOf(buffers));
    let at = position;
    for (const buffer of buffers) {
      void this.read(at, buffer);
      at += buffer.length;
    }
    return undefined;
  }

  write(position: number, buffer: Uint8Array): Completion {
    this.check('write', position, buffer.length);
    this.bytes.set(buffer, position);
    return undefined;
  }

  writev(position: number, buffers: readonly Uint8Array[]): Completion {
    this.check('write', position, lengthOf(buffers));
    let at = position;
    for (const buffer of buffers) {
      void this.write(at, buffer);
      at += buffer.length;
    }
    return undefined;
  }

  flush(): Completion {
    this.check('flush', 0, 0);
    return undefined;
  }

  discard(position: number, length: number): Completion {
    this.check('discard', position, length);
    this.bytes.fill(0x77, position, position + length);
    return undefined;
  }

  prepare(position: number, length: number): Completion {
    this.check('prepare', position, length);
    this.bytes.fill(0, position, position + length);
    return undefined;
  }

  grow(size: number): Completion {
    this.check('grow', 0, 0);
    if (!Number.isSafeInteger(size) || size < 0) throw this.error('EINVAL', 'grow', size, 0);
    const longer = new Uint8Array(Math.max(size, this.size));
    longer.set(this.bytes);
    this.bytes = longer;
    return undefined;
  }

  close(): Completion {
    this.closed = true;
    return undefined;
  }

  check(operation: string, position: number, length: number): void {
    if (this.closed) throw this.error('EBADF', operation, position, length);
    if (this.readOnly && operation !== 'read' && operation !== 'flush') {
      throw this.error('EROFS', operation, position, length);
    }
    const whole = Number.isSafeInteger(position) && Number.isSafeInteger(length);
    if (!whole || position < 0 || length < 0 || position + length > this.size) {
      throw this.error('EINVAL', operation, position, length);
    }
  }

  error(code: ErrorCode, operation: string, position: number, length: number): Error {
    return new DeviceError(code, { operation, position, length, finding: 'so it is' });
  }
}

function lengthOf(buffers: readonly Uint8Array[]): number {
  return buffers.reduce((sum, buffer) => sum + buffer.length, 0);
}

const capabilities: DeviceCapabilities = { sync: true, grows: true, readOnly: true };

function plainCases(plant: (device: PlainDevice) => void = () => {}): DeviceCase[] {
  return deviceSuite(
    'plain',
    ({ size, contents, readOnly }) => {
      const device = new PlainDevice(contents?.slice() ?? new Uint8Array(size), readOnly);
      plant(device);
      return { device };
    },
    capabilities,
  );
}

describe('deviceSuite()', () => {
  for (const { title, run } of plainCases()) test(title, run);

  it('leaves out what the device is not able to do', () => {
    const factory = () => ({ device: new PlainDevice(new Uint8Array(0)) });
    const none = { sync: false, grows: false, readOnly: false };
    const titles = deviceSuite('x', factory, none).map((each) => each.title);
    expect(titles).not.toContain('x: a read-only device refuses every change');
    expect(titles).not.toContain('x: grow() adds zeros and keeps the rest');
    expect(titles).toContain('x: grow() refuses more than there is room for');
  });

  it('disposes of the device when a case fails', async () => {
    let disposed = 0;
    const cases = deviceSuite(
      'short',
      () => ({
        device: new PlainDevice(new Uint8Array(1)),
        dispose: () => {
          disposed++;
        },
      }),
      capabilities,
    );
    for (const { run } of cases) await run().catch(() => {});
    expect(disposed).toBe(cases.length);
  });
});

/** A fault, the case that must notice it, and how it is planted. */
const FAULTS: readonly [string, string, (device: PlainDevice) => void][] = [
  [
    'declares the wrong kind',
    'is what was asked for',
    (d) => {
      d.sync = false;
    },
  ],
  [
    'has no name',
    'is what was asked for',
    (d) => {
      d.name = '';
    },
  ],
  [
    'is a byte too long',
    'is what was asked for',
    (d) => {
      d.bytes = new Uint8Array(d.size + 1);
    },
  ],
  [
    'begins with garbage',
    'read() finds zeros in a new device',
    (d) => {
      d.bytes[500] = 1;
    },
  ],
  [
    'forgets what it was made with',
    'read() finds what the device was made with',
    (d) => {
      d.bytes.fill(0);
    },
  ],
  [
    'drops the last byte of long writes',
    'read() finds what was written last',
    (d) => {
      const write = d.write.bind(d);
      d.write = (position, buffer) =>
        write(position, buffer.length > 5000 ? buffer.subarray(0, -1) : buffer);
    },
  ],
  [
    'fills buffers in reverse order',
    'readv() and writev() go from buffer to buffer',
    (d) => {
      const readv = d.readv.bind(d);
      d.readv = (position, buffers) => readv(position, [...buffers].reverse());
    },
  ],
  [
    'stops at 1024 buffers',
    'readv() and writev() take thousands of buffers',
    (d) => {
      const writev = d.writev.bind(d);
      d.writev = (position, buffers) => writev(position, buffers.slice(0, 1024));
    },
  ],
  [
    'moves at most 1 MiB',
    'write() and read() move 8 MiB',
    (d) => {
      const write = d.write.bind(d);
      d.write = (position, buffer) => write(position, buffer.subarray(0, 1048576));
    },
  ],
  [
    'fills the whole memory behind a view',
    'read() touches nothing beside its buffer',
    (d) => {
      const read = d.read.bind(d);
      d.read = (position, buffer) => {
        void read(position, buffer);
        if (buffer.byteOffset > 0) new Uint8Array(buffer.buffer)[buffer.byteOffset - 1] = 0;
        return undefined;
      };
    },
  ],
  [
    'scribbles on what it writes',
    'write() changes and keeps no buffer (D3)',
    (d) => {
      const write = d.write.bind(d);
      d.write = (position, buffer) => {
        void write(position, buffer);
        buffer[0] = 0;
        return undefined;
      };
    },
  ],
  [
    'keeps the buffer and stores it at the next call',
    'write() changes and keeps no buffer (D3)',
    (d) => {
      const { write, read } = { write: d.write.bind(d), read: d.read.bind(d) };
      let later: (() => void) | undefined;
      d.write = (position, buffer) => {
        later?.();
        d.check('write', position, buffer.length);
        later = () => write(position, buffer);
        return undefined;
      };
      d.read = (position, buffer) => {
        later?.();
        return read(position, buffer);
      };
    },
  ],
  [
    'copies with what shared memory refuses',
    'read() and write() work in shared memory',
    (d) => {
      const write = d.write.bind(d);
      d.write = (position, buffer) => {
        if (buffer.buffer instanceof SharedArrayBuffer) throw new TypeError('not shared');
        return write(position, buffer);
      };
    },
  ],
  [
    'cuts a range at the end',
    'calls refuse a range past the end',
    (d) => {
      const read = d.read.bind(d);
      d.read = (position, buffer) => {
        const left = d.size - position;
        return left > 0 ? read(position, buffer.subarray(0, left)) : undefined;
      };
    },
  ],
  [
    'writes the part before the end, then refuses',
    'calls refuse a range past the end',
    (d) => {
      const write = d.write.bind(d);
      d.write = (position, buffer) => {
        d.bytes.set(buffer.subarray(0, Math.max(0, d.size - position)), Math.min(position, d.size));
        return write(position, buffer);
      };
    },
  ],
  [
    'rounds positions',
    'calls refuse what is not a whole number',
    (d) => {
      const check = d.check.bind(d);
      d.check = (operation, position, length) => check(operation, Math.trunc(position), length);
    },
  ],
  [
    'refuses the empty range at the end',
    'calls accept an empty range',
    (d) => {
      const check = d.check.bind(d);
      d.check = (operation, position, length) =>
        check(operation, position, Math.max(1, length * Number(operation !== 'flush')));
    },
  ],
  [
    'names the wrong range',
    'errors name the call and its range',
    (d) => {
      const error = d.error.bind(d);
      d.error = (code, operation, position, length) => error(code, operation, position, length + 1);
    },
  ],
  [
    'throws errors of its own',
    'calls refuse a range past the end',
    (d) => {
      d.error = (code) => Object.assign(new Error('no'), { code });
    },
  ],
  [
    'discards although it is read-only',
    'a read-only device refuses every change',
    (d) => {
      d.discard = () => undefined;
    },
  ],
  [
    'writes although it is read-only',
    'a read-only device refuses every change',
    (d) => {
      const check = d.check.bind(d);
      d.check = (operation, position, length) =>
        check(operation === 'write' ? 'read' : operation, position, length);
    },
  ],
  [
    'grows by garbage',
    'grow() adds zeros and keeps the rest',
    (d) => {
      const grow = d.grow.bind(d);
      d.grow = (size) => {
        const before = d.size;
        void grow(size);
        d.bytes.fill(1, before);
        return undefined;
      };
    },
  ],
  [
    'forgets everything when it grows',
    'grow() adds zeros and keeps the rest',
    (d) => {
      d.grow = (size) => {
        d.bytes = new Uint8Array(Math.max(size, d.size));
        return undefined;
      };
    },
  ],
  [
    'shrinks',
    'grow() never shrinks',
    (d) => {
      d.grow = (size) => {
        d.bytes = d.bytes.slice(0, size);
        return undefined;
      };
    },
  ],
  [
    'discards whole blocks',
    'discard() spares what is outside its range',
    (d) => {
      d.discard = (position, length) => {
        d.check('discard', position, length);
        d.bytes.fill(0, position - (position % 4096), position + length);
        return undefined;
      };
    },
  ],
  [
    'prepares whole blocks',
    'prepare() spares what is outside its range',
    (d) => {
      d.prepare = (position, length) => {
        d.check('prepare', position, length);
        d.bytes.fill(0, position, Math.ceil((position + length) / 4096) * 4096);
        return undefined;
      };
    },
  ],
  [
    'loses the first sector at a flush',
    'flush() changes nothing that is read',
    (d) => {
      d.flush = () => {
        d.check('flush', 0, 0);
        d.bytes.fill(0, 0, 512);
        return undefined;
      };
    },
  ],
  [
    'goes on after close()',
    'close() ends all but close()',
    (d) => {
      d.close = () => undefined;
    },
  ],
  [
    'cannot be closed twice',
    'close() ends all but close()',
    (d) => {
      d.close = () => {
        if (d.closed) throw d.error('EBADF', 'close', 0, 0);
        d.closed = true;
        return undefined;
      };
    },
  ],
  [
    'returns promises and calls itself sync',
    'calls are done when they return (D1)',
    (d) => {
      d.flush = async () => {};
    },
  ],
  [
    'writes whole blocks after waiting',
    'writes side by side at once all arrive',
    (d) => {
      const write = d.write.bind(d);
      d.write = async (position, buffer) => {
        d.check('write', position, buffer.length);
        const start = position - (position % 4096);
        const whole = d.bytes.slice(start, Math.ceil((position + buffer.length) / 4096) * 4096);
        whole.set(buffer, position - start);
        await Promise.resolve();
        write(start, whole);
      };
    },
  ],
  [
    'zeros a range before it writes it',
    'read() beside a write finds old or new bytes',
    (d) => {
      const write = d.write.bind(d);
      d.write = async (position, buffer) => {
        d.check('write', position, buffer.length);
        d.bytes.fill(0, position, position + buffer.length);
        await Promise.resolve();
        write(position, buffer);
      };
    },
  ],
];

describe('deviceSuite() catches a device that', () => {
  it.each(FAULTS)('%s', async (_fault, noticedBy, plant) => {
    const notices = plainCases(plant).find((each) => each.title === `plain: ${noticedBy}`);
    await expect(notices?.run()).rejects.toThrow();
  });
});

describe('deviceSuite() on simulated time', () => {
  const cases = deviceSuite(
    'slow plain',
    ({ size, contents, readOnly }) => {
      const schedule = new Schedule(new Random(1));
      const plain = new PlainDevice(contents?.slice() ?? new Uint8Array(size), readOnly);
      return { device: new SlowDevice(plain, { schedule }), settle: (work) => schedule.run(work) };
    },
    { ...capabilities, sync: false },
  );
  for (const { title, run } of cases) test(title, run);
});
