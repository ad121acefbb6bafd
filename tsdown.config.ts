/**
 * The package in dist/: one entry a sub-path of package.json, and the command.
 *
 * `dependencies` stay imports; a devDependency that a source imports is bundled. Only the command
 * may import one, which tools/tidy-rules.ts sees to.
 */
import { existsSync } from 'node:fs';
import { defineConfig } from 'tsdown';

const entries: Record<string, string> = {
  index: 'src/index.ts',
  browser: 'src/browser.ts',
  iomap: 'src/iomap/index.ts',
  base: 'src/base/index.ts',
  cache: 'src/cache/index.ts',
  drive: 'src/drive/index.ts',
  device: 'src/device/index.ts',
  format: 'src/format/index.ts',
  check: 'src/check/index.ts',
  testing: 'src/testing/index.ts',
  'fuse-worker': 'src/fuse/worker.ts',
  'fuse-mount-thread': 'src/fuse/mount-thread.ts',
  'cli/main': 'src/cli/main.ts',
};

const missing = Object.values(entries).filter((path) => !existsSync(path));
if (missing.length > 0) console.warn(`Not built, not there yet: ${missing.join(', ')}`);
const complete = missing.length === 0;

export default defineConfig({
  entry: Object.fromEntries(Object.entries(entries).filter(([, path]) => existsSync(path))),
  format: 'esm',
  target: 'node20',
  fixedExtension: false,
  deps: { onlyBundle: false },
  dts: true,
  // The package as npm would pack it: exports that resolve, types that match.
  publint: complete && { level: 'warning', strict: true },
  attw: complete && { profile: 'esm-only', level: 'error' },
});
