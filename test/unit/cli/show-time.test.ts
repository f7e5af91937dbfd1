import { describe, expect, it } from 'vitest';
import { localTime, showDuration, showRelative, showUtc } from '../../../src/cli/show-time.ts';

describe('durations and instants for people', () => {
  it.each([
    [0, '0 ms'],
    [999, '999 ms'],
    [1_250, '1.3 s'],
    [9_949, '9.9 s'],
    [9_951, '10 s'],
    [59_600, '1 min'],
    [125_000, '2 min 5 s'],
    [3_600_000, '1 h'],
    [3_601_000, '1 h'],
    [12_000_000, '3 h 20 min'],
    [367_200_000, '4 d 6 h'],
    [-5, '0 ms'],
  ])('%d ms is %s', (ms, text) => {
    expect(showDuration(ms)).toBe(text);
  });

  it('says how far away an instant is', () => {
    expect(showRelative(10_000, 10_400)).toBe('now');
    expect(showRelative(1_000, 0)).toBe('in 1 s');
    expect(showRelative(0, 9_400)).toBe('9 s ago');
    expect(showRelative(100_000, 0)).toBe('in 1 min 40 s');
    expect(showRelative(0, 3_600_000)).toBe('1 h ago');
  });

  it('shows UTC to the second', () => {
    expect(showUtc(Date.parse('2026-11-22T03:12:44.999Z'))).toBe('2026-11-22 03:12:44Z');
  });

  it.each([
    ['2026-07-01T00:00:00Z', 'America/New_York', 'Tue 2026-06-30 20:00:00 -04:00'],
    ['2026-01-01T00:00:00Z', 'Asia/Kathmandu', 'Thu 2026-01-01 05:45:00 +05:45'],
    ['2026-01-01T00:00:00.999Z', 'UTC', 'Thu 2026-01-01 00:00:00 +00:00'],
    ['2011-12-30T10:00:00Z', 'Pacific/Apia', 'Sat 2011-12-31 00:00:00 +14:00'],
    ['1800-01-01T00:00:00Z', 'Europe/Amsterdam', /1800-01-01 00:\d\d:\d\d \+00:\d\d:\d\d$/],
  ])('%s in %s is on its wall clock with the offset', (instant, zone, text) => {
    expect(localTime(Date.parse(instant), zone).text).toMatch(text);
  });
});
