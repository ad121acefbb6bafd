/**
 * Set-up of every test file: how property tests draw.
 *
 * RAMET_SEED=n draws what a failure with that seed drew. RAMET_LONG=1 draws ten times as often.
 * With CI=true they draw the same every time, so that a change is judged by what it changes; runs
 * anywhere else look further.
 */
const seed = process.env['RAMET_SEED'] ?? (process.env['CI'] === 'true' ? '1' : undefined);
const long = process.env['RAMET_LONG'] === '1';

// Loaded only if needed: most test files have no property tests.
if (seed !== undefined || long) {
  const { configureGlobal } = await import('fast-check');
  configureGlobal({
    ...(seed === undefined ? {} : { seed: Number(seed) }),
    ...(long ? { numRuns: 1000 } : {}),
  });
}
