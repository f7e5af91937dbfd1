import { describe, expect, it } from 'vitest';
import { describeCron } from '../../../src/cli/describe-cron.ts';

describe('a cron expression in words', () => {
  it.each([
    ['0 2 * * *', 'At 02:00'],
    ['*/15 * * * *', 'Every 15 minutes'],
    ['0 9 * * MON-FRI', 'At 09:00, Monday through Friday'],
    ['0 9 ? * THU', 'At 09:00, only on Thursday'],
    ['0 0 LW * *', 'At 00:00, on the last weekday of the month'],
  ])('%s is "%s"', (expression, words) => {
    expect(describeCron(expression)).toBe(words);
  });

  it.each([
    ['a day of month or a weekday', '0 0 13 * FRI'],
    ['a step from a star and a weekday', '0 0 */2 * FRI'],
    ['a hash', 'H H * * *'],
    ['a nickname', '@daily'],
    ['a period', '@every 90s'],
    ['hours that wrap around', '0 22-2 * * *'],
    ['a step larger than its field', '*/90 * * * *'],
    ['what is no expression', 'nonsense'],
    ['what the describer throws at', '0 0 ? * FRI#L'],
  ])('says nothing about %s: it could be wrong', (_, expression) => {
    expect(describeCron(expression)).toBeUndefined();
  });
});
