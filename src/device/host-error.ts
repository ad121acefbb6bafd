/** Host errors: what `node:fs` throws, as a device says it. Node only. */
import { DeviceError, ERRNO, type ErrorCode, errorCode } from '../base/index.ts';

export interface HostCall {
  readonly operation: string;
  readonly position: number;
  readonly length: number;
}

/** The device's error for a failed system call; `finding` replaces the host's own words. */
export function hostError(call: HostCall, cause: unknown, finding?: string): DeviceError {
  if (cause instanceof DeviceError) return cause;
  return new DeviceError(deviceCode(cause), {
    ...call,
    finding: finding ?? `the host reports ${hostWords(cause)}`,
    cause,
  });
}

/** The error of an `open`. The finding names the file. */
export function openError(code: ErrorCode, finding: string, cause?: unknown): DeviceError {
  return new DeviceError(code, { operation: 'open', position: 0, length: 0, finding, cause });
}

/** Full quotas are full disks; a code that ramet has no name for is `EIO`. */
export function deviceCode(error: unknown): ErrorCode {
  const code = errorCode(error);
  if (code === 'EDQUOT') return 'ENOSPC';
  return code !== undefined && code in ERRNO ? (code as ErrorCode) : 'EIO';
}

function hostWords(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
