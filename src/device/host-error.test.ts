import { describe, expect, it } from 'vitest';
import { DeviceError } from '../base/index.ts';
import { hostError } from './host-error.ts';

const call = { operation: 'write', position: 4096, length: 512 };

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: the words of the host`), { code });
}

describe('hostError()', () => {
  it('keeps the code, the words and the cause', () => {
    const cause = systemError('ENOSPC');
    expect(hostError(call, cause)).toMatchObject({
      ...call,
      code: 'ENOSPC',
      message: 'Cannot write 512 bytes at 0x1000: the host reports ENOSPC: the words of the host',
      cause,
    });
  });

  it.each([
    ['EDQUOT', 'ENOSPC'],
    ['EUNHEARDOF', 'EIO'],
  ])('makes of %s %s', (host, device) => {
    expect(hostError(call, systemError(host)).code).toBe(device);
  });

  it('makes EIO of what has no code', () => {
    expect(hostError(call, 'thrown text').code).toBe('EIO');
  });

  it('leaves an error of a device as it is', () => {
    const error = new DeviceError('EIO', { ...call, finding: 'known' });
    expect(hostError(call, error)).toBe(error);
  });
});
