// What misses its time is an alert of the live stream, with what was promised.
import { describe, expect, it } from 'vitest';
import { subscribeAlerts } from '../../../../src/http/live/alerts.ts';
import type { LiveEvent } from '../../../../src/http/live/live-event.ts';
import { createEventBus } from '../../../../src/observe/events.ts';

describe('a promise about time that was not kept', () => {
  it('is an alert, of the run or of the schedule', () => {
    const events = createEventBus();
    const told: LiveEvent[] = [];
    const clock = { now: () => 0, monotonic: () => 0 } as never;
    const end = subscribeAlerts({ events, clock, node: 'n', onAlert: (alert) => told.push(alert) });
    const missed = {
      tenant: 'acme',
      pipeline: 'backup',
      schedule: 'backup.nightly',
      kind: 'complete',
      withinMs: 60_000,
    };
    const at = { nominalAt: Date.UTC(2026, 0, 1, 2), dueAt: Date.UTC(2026, 0, 1, 2, 1), count: 3 };
    events.emit('run.sla_missed', { ...missed, ...at, runId: 'r' });
    events.emit('schedule.sla_missed', { ...missed, ...at });
    end();
    events.emit('schedule.sla_missed', { ...missed, ...at });
    const [first, second] = told.map(({ json }) => JSON.parse(json) as Record<string, unknown>);
    const data = {
      kind: 'complete',
      due_at: '2026-01-01T02:01:00.000Z',
      nominal_at: '2026-01-01T02:00:00.000Z',
      within_ms: 60_000,
      count: 3,
    };
    const of = { tenant: 'acme', pipeline: 'backup', schedule: 'backup.nightly', data };
    expect(told).toHaveLength(2);
    expect(first).toMatchObject({ ...of, event: 'alert.run.sla_missed', run_id: 'r' });
    expect(second).toMatchObject({ ...of, event: 'alert.schedule.sla_missed', run_id: null });
  });
});
