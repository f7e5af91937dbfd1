// Durations: what is understood, and what is refused although a lenient parser would guess.
import { describe, expect, it } from 'vitest';
import { parseDuration } from '../../../src/config/duration.ts';

describe('a duration', () => {
  it.each([
    ['500ms', 500],
    ['90s', 90_000],
    ['1.5h', 5_400_000],
    ['1h 30m', 5_400_000],
    ['1h30m', 5_400_000],
    ['2w', 1_209_600_000],
    [' 7d ', 604_800_000],
    ['0s', 0],
  ])('%s is understood', (text, milliseconds) => {
    expect(parseDuration(text)).toBe(milliseconds);
  });

  it.each([
    '',
    '5',
    'm',
    '-5m',
    '5 minutes',
    '1y',
    '1h 30',
    '5m!',
    '1,5h',
    '1e3s',
    'Infinitys',
    '1h '.repeat(20),
  ])('%j is refused', (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });
});
