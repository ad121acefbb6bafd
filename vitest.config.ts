/**
 * Two kinds of tests. `unit` runs the sources, and the examples over them. `built` runs what
 * `npm run build` made: the command and the package as others import it; its files end in
 * `.built.test.ts`.
 *
 * `*.long.test.ts` belong to `unit` but run only with RAMET_LONG=1.
 */
import { configDefaults, defineConfig } from 'vitest/config';

const long = process.env['RAMET_LONG'] === '1' ? [] : ['**/*.long.test.ts'];
const sources = `${import.meta.dirname}/src`;
const shared = {
  testTimeout: 30_000,
  hookTimeout: 30_000,
  setupFiles: ['test/house/property-tests.ts'],
};

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    projects: [
      {
        test: {
          ...shared,
          name: 'unit',
          alias: [{ find: /^ramet\/(\w+)$/, replacement: `${sources}/$1/index.ts` }],
          include: ['{src,test}/**/*.test.ts'],
          exclude: [...configDefaults.exclude, '**/*.built.test.ts', ...long],
        },
      },
      { test: { ...shared, name: 'built', include: ['{src,test}/**/*.built.test.ts'] } },
    ],
  },
});
