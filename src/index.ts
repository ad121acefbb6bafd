/**
 * ramet: a copy-on-write filesystem. Clone a file, a directory or a volume in constant time.
 *
 * This file is the package as Node programs see it; `browser.ts` is the same without what needs
 * Node. Single rooms open as sub-paths: `ramet/iomap`, `ramet/device`, `ramet/format`, ...
 */
export * from './browser.ts';
export { FileDevice, type FileDeviceOptions } from './device/node.ts';
