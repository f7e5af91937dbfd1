// The closing line of a test run says what CI reads.
import { describe, expect, it } from 'vitest';
import { closingLine } from '../../support/closing-line.ts';

describe('the closing line', () => {
  it('counts passed and failed', () => {
    expect(closingLine({ passed: 12, failed: 0, skipped: 0 })).toBe('12 passed, 0 failed');
  });

  it('does not hide what was skipped', () => {
    expect(closingLine({ passed: 12, failed: 1, skipped: 2 })).toBe('12 passed, 1 failed, 2 skipped');
  });
});
