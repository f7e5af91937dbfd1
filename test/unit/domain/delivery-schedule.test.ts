// When the outbox tries again: the waits, what ends them, what a receiver may ask for.
import { describe, expect, it } from 'vitest';
import { decideDelivery, mostDeliveryAttempts } from '../../../src/domain/delivery-schedule.ts';
import type { StoredError } from '../../../src/domain/outcome.ts';

const error = (errorClass: StoredError['class'], retryAfterMs?: number): StoredError => ({
  name: 'E',
  message: '',
  class: errorClass,
  ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
});
const delay = (attempts: number, of = error('transient'), random = 0) => {
  const decision = decideDelivery(attempts, of, random);
  return decision.kind === 'retry' ? decision.delayMs / 1_000 : decision.kind;
};

describe('the schedule of deliveries', () => {
  it('waits longer and longer for three days, and then gives up', () => {
    const delays = Array.from({ length: mostDeliveryAttempts }, (_, i) => delay(i + 1));
    const [m, h] = [60, 3_600];
    expect(delays).toEqual([5, 5 * m, 30 * m, 2 * h, 5 * h, 10 * h, 14 * h, 20 * h, 24 * h, 'give_up']);
  });

  it('adds up to a tenth at random', () => {
    expect([delay(1, error('transient'), 0.5), delay(1, error('transient'), 1)]).toEqual([5.25, 5.5]);
  });

  it('gives up at once what will not get better', () => {
    expect([delay(1, error('fatal')), delay(1, error('item'))]).toEqual(['give_up', 'give_up']);
    expect(delay(1, error('rate_limited'))).toBe(5);
  });

  it('waits as long as it is asked to, a day at most, and never shorter than it would', () => {
    expect(delay(1, error('rate_limited', 90_000))).toBe(90);
    expect(delay(1, error('transient', 90_000))).toBe(90);
    expect(delay(3, error('rate_limited', 90_000))).toBe(1_800);
    expect(delay(1, error('rate_limited', 9e12))).toBe(86_400);
  });
});
