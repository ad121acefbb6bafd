/**
 * Everything that must hold before a change is accepted, as continuous integration runs it.
 *
 * A step that fails does not stop the next. The last line says how many steps and tests passed and
 * how many failed; the exit status is 0 only if none did.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const total = { passed: 0, failed: 0 };

/** Runs a program from node_modules/.bin in the foreground. True if it succeeded. */
function run(title, program, ...args) {
  console.log(`\n--- ${title}`);
  const start = performance.now();
  const { status, error } = spawnSync(join('node_modules', '.bin', program), args, {
    stdio: 'inherit',
  });
  if (error !== undefined) console.log(`Cannot run ${program}: ${error.message}`);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`--- ${title}: ${status === 0 ? 'passed' : 'FAILED'} in ${seconds} s`);
  return status === 0;
}

function step(title, program, ...args) {
  if (run(title, program, ...args)) total.passed++;
  else total.failed++;
}

/** Runs the tests and adds their numbers. A failure that no test owns counts as one. */
function tests() {
  const directory = mkdtempSync(join(tmpdir(), 'ramet-tests-'));
  const report = join(directory, 'report.json');
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
  const succeeded = run('tests', 'vitest', 'run', ...reporters);
  const { passed, failed } = counts(report);
  total.passed += passed;
  total.failed += failed === 0 && !succeeded ? 1 : failed;
  rmSync(directory, { recursive: true });
}

function counts(report) {
  try {
    const { numPassedTests, numFailedTests, testResults } = JSON.parse(
      readFileSync(report, 'utf8'),
    );
    const broken = testResults.filter((file) => file.status === 'failed' && isUnloaded(file));
    return { passed: numPassedTests, failed: numFailedTests + broken.length };
  } catch (error) {
    console.log(`Cannot read the report of the tests: ${error.message}`);
    return { passed: 0, failed: 1 };
  }
}

/** A test file that could not be loaded has failed without a test that says so. */
function isUnloaded(file) {
  return file.assertionResults.every((test) => test.status !== 'failed');
}

step('types', 'tsc');
step('lint', 'biome', 'check', '--error-on-warnings');
step('build', 'tsdown');
tests();
console.log(`\n${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed === 0 ? 0 : 1;
