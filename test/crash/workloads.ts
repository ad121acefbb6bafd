/** Workloads: a small tree, operations on it, and ways of making something durable. */
import { MIB } from '../../src/base/index.ts';
import type { Step } from '../api/steps.ts';

export const WORKLOAD_OPTIONS = { size: MIB / 2, groupBlocks: 256, logBlocks: 8 } as const;

/** Two directories, three files; the files are open as 0, 1 and 2, the directories as 3 to 5. */
export const SCENE: readonly Step[] = [
  { call: 'mkdir', args: ['/A'] },
  { call: 'mkdir', args: ['/B'] },
  { call: 'writeFile', args: ['/A/f', 1, 9000] },
  { call: 'writeFile', args: ['/A/g', 2, 300] },
  { call: 'writeFile', args: ['/B/f', 3, 4096] },
  { call: 'sync', args: [] },
  { call: 'open', args: [0, '/A/f', 'r+'] },
  { call: 'open', args: [1, '/A/g', 'r+'] },
  { call: 'open', args: [2, '/B/f', 'r+'] },
];

export const OPERATIONS: readonly Step[] = [
  { call: 'writeFile', args: ['/A/new', 10, 5000] },
  { call: 'mkdir', args: ['/A/d'] },
  { call: 'symlink', args: ['f', '/B/s'] },
  { call: 'link', args: ['/A/f', '/B/l'] },
  { call: 'link', args: ['/A/g', '/A/l'] },
  { call: 'unlink', args: ['/A/f'] },
  { call: 'unlink', args: ['/A/g'] },
  { call: 'rm', args: ['/A', true] },
  { call: 'rename', args: ['/A/f', '/B/r'] },
  { call: 'rename', args: ['/A/f', '/B/f'] },
  { call: 'rename', args: ['/A/g', '/A/f'] },
  { call: 'rename', args: ['/A/f', '/A/f'] },
  { call: 'rename', args: ['/A', '/B/A'] },
  { call: 'rename', args: ['/A', '/C'] },
  { call: 'exchange', args: ['/A/f', '/B/f'] },
  { call: 'exchange', args: ['/A', '/B'] },
  { call: 'exchange', args: ['/A/g', '/B'] },
  { call: 'write', args: [0, 11, 4096, 4096] },
  { call: 'write', args: [0, 12, 5000, 8000] },
  { call: 'write', args: [1, 13, 200, 200] },
  { call: 'write', args: [1, 14, 6000, 0] },
  { call: 'truncate', args: ['/A/f', 4096] },
  { call: 'truncate', args: ['/A/f', 5000] },
  { call: 'truncate', args: ['/A/f', 20_000] },
  { call: 'truncate', args: ['/A/g', 0] },
  { call: 'range', args: ['punch', 0, 4096, 4096] },
  { call: 'range', args: ['punch', 0, 100, 5000] },
  { call: 'range', args: ['zero', 0, 8000, 8000] },
  { call: 'range', args: ['allocate', 0, 4096, 20_480] },
  { call: 'range', args: ['collapse', 0, 0, 4096] },
  { call: 'range', args: ['insert', 0, 4096, 4096] },
  { call: 'range', args: ['unshare', 0, 0, 9000] },
  { call: 'range', args: ['clone', 2, 4096, 0, 0, 0] },
  { call: 'clone', args: ['/A/f', '/B/c'] },
  { call: 'clone', args: ['/A', '/B/c'] },
  { call: 'copyFile', args: ['/A/f', '/B/f', 0] },
  { call: 'snapshot', args: ['s'] },
  { call: 'chmod', args: ['/A/f', 0o600] },
  { call: 'utimes', args: ['/A/f', 5, 6] },
];

/** Ways of making something durable; nothing, first. */
export const SAVES: readonly (readonly Step[])[] = [
  [],
  [{ call: 'fsync', args: [0] }],
  [{ call: 'fsync', args: [1] }],
  [{ call: 'fsync', args: [2] }],
  [{ call: 'sync', args: [] }],
];
