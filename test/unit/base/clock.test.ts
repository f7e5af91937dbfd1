// The clock that all others take their time from.
import { describe, expect, it } from 'vitest';
import { type Clock, createAdjustableClock, systemClock } from '../../../src/base/clock.ts';

describe('the system clock', () => {
  it('tells milliseconds since the epoch, and a monotonic time that does not go back', () => {
    const before = Date.now();
    expect(systemClock.now()).toBeGreaterThanOrEqual(before);
    expect(systemClock.now()).toBeLessThanOrEqual(Date.now());
    const earlier = systemClock.monotonic();
    expect(systemClock.monotonic()).toBeGreaterThanOrEqual(earlier);
  });
});

describe('an adjustable clock', () => {
  const base: Clock = { now: () => 1_000, monotonic: () => 5 };

  it('adds its offset to now and leaves the monotonic time alone', () => {
    const clock = createAdjustableClock(base);
    expect(clock.now()).toBe(1_000);
    clock.offsetMs = -250;
    expect([clock.now(), clock.monotonic()]).toEqual([750, 5]);
  });
});
