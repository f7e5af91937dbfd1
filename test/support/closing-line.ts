// The last line of a test run, for people and CI: `N passed, N failed`, alone on its line.
import type { Reporter, SerializedError, TestModule, TestRunEndReason } from 'vitest/node';

export interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

/** A vitest reporter. What failed outside a test (a file that cannot be loaded, an unhandled error) counts as a failure too. */
export default class ClosingLine implements Reporter {
  onTestRunEnd(
    testModules: readonly TestModule[],
    unhandledErrors: readonly SerializedError[],
    reason: TestRunEndReason,
  ): void {
    const tally: Tally = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    for (const testModule of testModules) addModule(tally, testModule);
    // A global setup that failed, or an interruption, is told by nothing else.
    if (tally.failed === 0 && reason !== 'passed') tally.failed = 1;
    // Deferred, so that the summary of the reporters beside this one stands above it.
    setImmediate(() => console.log(closingLine(tally)));
  }
}

export function closingLine({ passed, failed, skipped }: Tally): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}

function addModule(tally: Tally, testModule: TestModule): void {
  let failedTests = 0;
  for (const test of testModule.children.allTests()) {
    const { state } = test.result();
    if (state === 'passed') tally.passed += 1;
    else if (state === 'failed') failedTests += 1;
    else if (state === 'skipped') tally.skipped += 1;
    // A test that never got a result was cut off: it did not pass.
    else failedTests += 1;
  }
  // A module or a suite (its hooks) can fail without a failing test inside.
  if (failedTests === 0 && testModule.state() === 'failed') failedTests = 1;
  tally.failed += failedTests;
}
