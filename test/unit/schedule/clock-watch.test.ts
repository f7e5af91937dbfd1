// Jumps of the database's clock against the process's own: what is told, and what the scheduler does about them.
import { describe, expect, it } from 'vitest';
import { createEventBus } from '../../../src/observe/events.ts';
import { createClockWatch } from '../../../src/schedule/clock-watch.ts';

const second = 1_000;
const minute = 60_000;

function watched() {
  const events = createEventBus();
  const told: number[] = [];
  events.on('clock.jumped', ({ byMs }) => told.push(byMs));
  let monotonic = 0;
  let database = 1_700_000_000_000;
  const watch = createClockWatch({ clock: { now: () => 0, monotonic: () => monotonic }, events });
  return {
    told,
    /** Both clocks go on by `ms`, the database's by `jumpMs` more. */
    observe(ms: number, jumpMs = 0) {
      monotonic += ms;
      database += ms + jumpMs;
      return watch.observe(database);
    },
  };
}

describe('the watch on the clock', () => {
  it('takes the first look, and time that passes, for what they are', () => {
    const { observe, told } = watched();
    expect([observe(0), observe(3_600 * second), observe(10, -10)]).toEqual(Array(3).fill({ kind: 'none' }));
    expect(told).toEqual([]);
  });

  it('tells of seconds, and acts on more than five minutes', () => {
    const { observe, told } = watched();
    observe(0);
    expect(observe(second, 6 * second)).toEqual({ kind: 'none' });
    expect(observe(second, 5 * minute + 1)).toEqual({ kind: 'ahead', holdMs: minute });
    expect(observe(second, -5 * minute)).toEqual({ kind: 'none' });
    expect(observe(second, -5 * minute - 1)).toEqual({ kind: 'back' });
    expect(told).toEqual([6 * second, 5 * minute + 1, -5 * minute, -5 * minute - 1]);
  });

  it('tells of a jump once', () => {
    const { observe, told } = watched();
    observe(0);
    observe(second, 10 * minute);
    expect(observe(second)).toEqual({ kind: 'none' });
    expect(told).toEqual([10 * minute]);
  });
});
