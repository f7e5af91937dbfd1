// The metrics that events and the sampler add up to, read from the text that Prometheus would read.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packageRoot } from '../../../src/base/package-root.ts';
import { createBoundedLabel } from '../../../src/observe/bounded-label.ts';
import { createEventBus } from '../../../src/observe/events.ts';
import { createMetrics } from '../../../src/observe/metrics.ts';
import { createHistogramSeries } from '../../../src/observe/series.ts';

function setUp() {
  const events = createEventBus((_name, error) => {
    throw error;
  });
  const clock = { now: () => 1_764_000_000_250 };
  const metrics = createMetrics({ events, clock, version: '0.1.0', database: 'pglite', processMetrics: false });
  const value = async (series: string): Promise<number | undefined> => {
    const { body } = await metrics.render();
    const line = body.split('\n').find((candidate) => candidate.startsWith(`${series} `));
    return line === undefined ? undefined : Number(line.slice(series.length + 1));
  };
  const lines = async (start: string): Promise<string[]> => {
    const { body } = await metrics.render();
    return body.split('\n').filter((line) => line.startsWith(start));
  };
  return { events, metrics, value, lines };
}

const run = { runId: 'r', tenant: 'default', pipeline: 'p', origin: 'api', state: 'completed', result: 'success' };
const step = { runId: 'r', tenant: 'default', pipeline: 'p', step: 's', stepType: 'shell.run', attempt: 1 };

describe('questions to language models', () => {
  it('are counted by provider and result, and those that were called are timed', async () => {
    const { metrics, events } = setUp();
    const about = { runId: 'r', tenant: 'default', pipeline: 'p', step: 's', provider: 'acme', model: 'm' };
    for (const result of ['success', 'success', 'cached', 'RateLimited']) {
      events.emit('llm.called', { ...about, result, durationMs: 2_000 });
    }
    const { body } = await metrics.render();
    expect(body).toContain('cronwright_llm_calls_total{provider="acme",result="success"} 2');
    expect(body).toContain('cronwright_llm_calls_total{provider="acme",result="cached"} 1');
    expect(body).toContain('cronwright_llm_call_duration_seconds_count{provider="acme"} 3');
  });
});

describe('the core set', () => {
  it('has the names of the design, all of them, from the start', async () => {
    const { metrics } = setUp();
    const { body, contentType } = await metrics.render();
    expect(contentType).toBe('text/plain; version=0.0.4; charset=utf-8');
    const names = body.split('\n').flatMap((line) => /^# TYPE cronwright_(\S+)/.exec(line)?.[1] ?? []);
    expect(names.sort()).toEqual(
      [
        'build_info',
        'budgets_exceeded_total',
        'compensations_total',
        'config_hashes',
        'cost_usd_total',
        'costs_lost_total',
        'db_query_duration_seconds',
        'dead_letters',
        'http_request_duration_seconds',
        'leases_lost_total',
        'live_clients',
        'live_dropped_total',
        'live_events_total',
        'llm_call_duration_seconds',
        'llm_calls_total',
        'llm_tokens_total',
        'notifications_total',
        'occurrences_total',
        'outbox_depth',
        'pipeline_last_run_end_timestamp_seconds',
        'queue_depth',
        'queue_oldest_wait_seconds',
        'rollbacks_failed_total',
        'run_duration_seconds',
        'run_queue_wait_seconds',
        'runs_active',
        'runs_rescued_total',
        'runs_total',
        'schedule_lag_seconds',
        'schedule_missed_total',
        'schedule_next_fire_timestamp_seconds',
        'schedules_stalled',
        'sensor_checks_total',
        'sla_misses_total',
        'scheduler_last_tick_timestamp_seconds',
        'step_attempts_total',
        'step_duration_seconds',
        'step_retries_total',
        'waits_ended_total',
        'waits_open',
      ].sort(),
    );
  });

  it('counts runs by tenant, pipeline, origin and result', async () => {
    const { events, value } = setUp();
    events.emit('run.finished', { ...run, durationMs: 10 });
    events.emit('run.finished', { ...run, durationMs: 20 });
    events.emit('run.finished', { ...run, result: 'failure', state: 'failed', durationMs: 20 });
    const series = (result: string) =>
      `cronwright_runs_total{tenant="default",pipeline="p",origin="api",result="${result}"}`;
    expect(await value(series('success'))).toBe(2);
    expect(await value(series('failure'))).toBe(1);
  });

  it('takes durations in seconds, in cumulative buckets', async () => {
    const { events, value } = setUp();
    for (const durationMs of [5, 40, 700, 90_000, 10_000_000]) events.emit('run.finished', { ...run, durationMs });
    const bucket = (le: string) =>
      value(`cronwright_run_duration_seconds_bucket{tenant="default",pipeline="p",le="${le}"}`);
    expect([await bucket('0.01'), await bucket('0.05'), await bucket('1'), await bucket('7200')]).toEqual([1, 2, 3, 4]);
    expect(await bucket('+Inf')).toBe(5);
    expect(await value('cronwright_run_duration_seconds_count{tenant="default",pipeline="p"}')).toBe(5);
    expect(await value('cronwright_run_duration_seconds_sum{tenant="default",pipeline="p"}')).toBeCloseTo(10_090.745);
  });

  it('counts attempts, retries, leases and occurrences', async () => {
    const { events, value } = setUp();
    events.emit('step.finished', { ...step, result: 'timeout', durationMs: 3 });
    events.emit('step.retried', { ...step, class: 'transient', delayMs: 1_000, error: 'ECONNRESET' });
    events.emit('run.lease_lost', { runId: 'r', tenant: 'default' });
    const missed = { tenant: 'default', pipeline: 'p', kind: 'start', withinMs: 1, dueAt: 1 };
    events.emit('run.sla_missed', { ...missed, runId: 'r', count: 1 });
    events.emit('schedule.sla_missed', { ...missed, schedule: 'p.s', nominalAt: 0, count: 3 });
    events.emit('run.rescued', { runId: 'r', tenant: 'default', node: 'n', deadLetter: false });
    events.emit('schedule.due', { schedule: 'p.s', tenant: 'default', nominalAt: 0, lagMs: 4 });
    events.emit('schedule.skipped', {
      schedule: 'p.s',
      tenant: 'default',
      outcome: 'missed',
      count: 7,
      reason: 'down',
    });
    expect(await value('cronwright_step_attempts_total{step_type="shell.run",result="timeout"}')).toBe(1);
    expect(await value('cronwright_step_retries_total{class="transient"}')).toBe(1);
    expect(await value('cronwright_leases_lost_total')).toBe(1);
    expect(await value('cronwright_runs_rescued_total')).toBe(1);
    expect(await value('cronwright_sla_misses_total{tenant="default",pipeline="p",kind="start"}')).toBe(4);
    expect(await value('cronwright_occurrences_total{outcome="enqueued"}')).toBe(1);
    expect(await value('cronwright_occurrences_total{outcome="missed"}')).toBe(7);
    expect(await value('cronwright_schedule_lag_seconds_bucket{le="0.005"}')).toBe(1);
  });

  it('says when a pipeline last ended well and when it last did not', async () => {
    const { events, lines } = setUp();
    events.emit('run.finished', { ...run, durationMs: 10 });
    events.emit('run.finished', { ...run, result: 'failure', state: 'failed', durationMs: 20 });
    const series = (result: string) =>
      `cronwright_pipeline_last_run_end_timestamp_seconds{tenant="default",pipeline="p",result="${result}"} 1764000000.25`;
    expect(await lines('cronwright_pipeline_last')).toEqual([series('success'), series('failure')]);
  });

  it('has every outcome of a fire time from the start, as the database knows them', async () => {
    const { lines } = setUp();
    const migration = readFileSync(join(packageRoot, 'src/db/migrations/0001_core.sql'), 'utf8');
    const [, list = ''] = /check \(outcome in \(([^)]+)\)/.exec(migration) ?? [];
    const known = [...list.matchAll(/'(\w+)'/g)].map(
      ([, outcome]) => `cronwright_occurrences_total{outcome="${outcome}"} 0`,
    );
    expect(known).toHaveLength(5);
    expect(await lines('cronwright_occurrences_total{')).toEqual(known);
  });

  it('counts what a schedule missed, from 0 when the schedule is known', async () => {
    const { events, metrics, lines } = setUp();
    const series = (schedule: string, value: number) =>
      `cronwright_schedule_missed_total{tenant="default",schedule="${schedule}"} ${value}`;
    metrics.setScheduleNextFires([
      { tenant: 'default', schedule: 'p.a', nextAt: 1_000 },
      { tenant: 'default', schedule: 'p.b', nextAt: null },
    ]);
    expect(await lines('cronwright_schedule_missed')).toEqual([series('p.a', 0), series('p.b', 0)]);
    const skipped = { schedule: 'p.b', tenant: 'default', count: 3, reason: 'down' };
    events.emit('schedule.skipped', { ...skipped, outcome: 'missed' });
    events.emit('schedule.skipped', { ...skipped, outcome: 'skipped_paused' });
    metrics.setScheduleNextFires([{ tenant: 'default', schedule: 'p.b', nextAt: 1_000 }]);
    expect(await lines('cronwright_schedule_missed')).toEqual([series('p.a', 0), series('p.b', 3)]);
  });

  it('takes no wait from a run that is claimed again', async () => {
    const { events, value } = setUp();
    const claimed = { runId: 'r', tenant: 'default', pipeline: 'p', waitMs: 3_600_000, node: 'n' };
    events.emit('run.claimed', { ...claimed, token: 1, waitMs: 2 });
    events.emit('run.claimed', { ...claimed, token: 2 });
    expect(await value('cronwright_run_queue_wait_seconds_count{tenant="default",pipeline="p"}')).toBe(1);
  });

  it('measures queue wait, statements and answers', async () => {
    const { events, value } = setUp();
    events.emit('run.claimed', { runId: 'r', tenant: 'default', pipeline: 'p', waitMs: 2, token: 1, node: 'n' });
    events.emit('db.query', { operation: 'claim_runs', seconds: 0.003, ok: true });
    events.emit('http.served', { route: '/api/v1/runs/{id}', method: 'GET', status: 404, seconds: 0.002 });
    expect(await value('cronwright_run_queue_wait_seconds_count{tenant="default",pipeline="p"}')).toBe(1);
    expect(await value('cronwright_db_query_duration_seconds_sum{operation="claim_runs"}')).toBe(0.003);
    const answered = 'route="/api/v1/runs/{id}",method="GET",status_class="4xx"';
    expect(await value(`cronwright_http_request_duration_seconds_count{${answered}}`)).toBe(1);
  });

  it('says what runs and when its scheduler last looked', async () => {
    const { events, value } = setUp();
    events.emit('scheduler.ticked', { at: 1_764_000_000_500, due: 0 });
    expect(await value('cronwright_scheduler_last_tick_timestamp_seconds')).toBe(1_764_000_000.5);
    const labels = `version="0.1.0",node_version="${process.version}",database="pglite"`;
    expect(await value(`cronwright_build_info{${labels}}`)).toBe(1);
  });

  it('escapes what would break a line', async () => {
    const { events, lines } = setUp();
    events.emit('step.retried', { ...step, class: 'a"b\\c\nd', delayMs: 0, error: '' });
    expect(await lines('cronwright_step_retries_total{')).toEqual([
      'cronwright_step_retries_total{class="a\\"b\\\\c\\nd"} 1',
    ]);
  });

  it('stops listening when closed', async () => {
    const { events, metrics, value } = setUp();
    metrics.close();
    metrics.close();
    events.emit('run.lease_lost', { runId: 'r', tenant: 'default' });
    expect(await value('cronwright_leases_lost_total')).toBe(0);
  });
});

describe('labels', () => {
  it('hold at most 200 pipelines over all tenants; the rest is _other', async () => {
    const { events, lines, value } = setUp();
    for (let index = 0; index < 500; index += 1) {
      events.emit('run.finished', { ...run, tenant: `t${index % 2}`, pipeline: `p${index}`, durationMs: 1 });
    }
    const series = await lines('cronwright_runs_total{');
    expect(series).toHaveLength(202);
    const other = (tenant: string) =>
      value(`cronwright_runs_total{tenant="${tenant}",pipeline="_other",origin="api",result="success"}`);
    expect([await other('t0'), await other('t1')]).toEqual([150, 150]);
  });

  it('keep the values that were seen first', () => {
    const label = createBoundedLabel(2);
    expect(['a', 'b', 'c', 'a', 'c'].map((value) => label.of(value))).toEqual(['a', 'b', '_other', 'a', '_other']);
  });

  it('tell equal names of two groups apart within one bound', () => {
    const label = createBoundedLabel(2);
    expect([label.of('a', 't1'), label.of('a', 't2'), label.of('a', 't3')]).toEqual(['a', 'a', '_other']);
  });
});

describe('what the sampler says', () => {
  it('sums live runs by state and by queue, and sets to 0 what is gone', async () => {
    const { metrics, value } = setUp();
    metrics.setQueueDepth([
      { queue: 'default', state: 'pending', count: 3 },
      { queue: 'slow', state: 'pending', count: 2 },
      { queue: 'default', state: 'running', count: 1 },
    ]);
    expect(await value('cronwright_runs_active{state="pending"}')).toBe(5);
    expect(await value('cronwright_queue_depth{queue="slow",state="pending"}')).toBe(2);
    metrics.setQueueDepth([{ queue: 'default', state: 'running', count: 4 }]);
    expect(await value('cronwright_runs_active{state="pending"}')).toBe(0);
    expect(await value('cronwright_runs_active{state="running"}')).toBe(4);
    expect(await value('cronwright_queue_depth{queue="slow",state="pending"}')).toBe(0);
  });

  it('shows the oldest wait by queue, and 0 where nothing waits any more', async () => {
    const { metrics, value } = setUp();
    metrics.setOldestWaits([
      { queue: 'default', waitMs: 0 },
      { queue: 'default', waitMs: 1_500 },
      { queue: 'slow', waitMs: 90_000 },
    ]);
    expect(await value('cronwright_queue_oldest_wait_seconds{queue="default"}')).toBe(1.5);
    expect(await value('cronwright_queue_oldest_wait_seconds{queue="slow"}')).toBe(90);
    metrics.setOldestWaits([{ queue: 'default', waitMs: 0 }]);
    expect(await value('cronwright_queue_oldest_wait_seconds{queue="default"}')).toBe(0);
    expect(await value('cronwright_queue_oldest_wait_seconds{queue="slow"}')).toBe(0);
  });

  it('counts attempts from the outbox by how they ended, and shows what is not delivered', async () => {
    const { events, metrics, value } = setUp();
    const call = { id: 'i', tenant: 't', pipeline: 'p', step: 's', stepType: 'notify.email', attempts: 1 };
    events.emit('notification.retried', { ...call, delayMs: 5_000, error: 'E' });
    events.emit('notification.delivered', { ...call, durationMs: 5 });
    events.emit('notification.delivered', { ...call, durationMs: 5 });
    events.emit('notification.failed', { ...call, error: 'E' });
    const series = (result: string) => `cronwright_notifications_total{step_type="notify.email",result="${result}"}`;
    expect([await value(series('retry')), await value(series('success')), await value(series('failure'))]).toEqual([
      1, 2, 1,
    ]);
    metrics.setOutboxDepth({ pending: 4, failed: 2 });
    expect(await value('cronwright_outbox_depth{state="pending"}')).toBe(4);
    expect(await value('cronwright_outbox_depth{state="failed"}')).toBe(2);
  });

  it('counts dead letters', async () => {
    const { metrics, value } = setUp();
    metrics.setDeadLetters(3);
    expect(await value('cronwright_dead_letters')).toBe(3);
  });

  it('shows next fires, drops schedules that are gone, and follows changes in between', async () => {
    const { events, metrics, lines } = setUp();
    metrics.setScheduleNextFires([
      { tenant: 'default', schedule: 'p.a', nextAt: 1_000 },
      { tenant: 'default', schedule: 'p.b', nextAt: null },
    ]);
    const series = (schedule: string, value: number) =>
      `cronwright_schedule_next_fire_timestamp_seconds{tenant="default",schedule="${schedule}"} ${value}`;
    expect(await lines('cronwright_schedule_next')).toEqual([series('p.a', 1)]);
    events.emit('schedule.next', { tenant: 'default', schedule: 'p.a', nextAt: 2_000 });
    events.emit('schedule.next', { tenant: 'default', schedule: 'p.b', nextAt: 3_000 });
    expect(await lines('cronwright_schedule_next')).toEqual([series('p.a', 2), series('p.b', 3)]);
    events.emit('schedule.next', { tenant: 'default', schedule: 'p.b', nextAt: null });
    expect(await lines('cronwright_schedule_next')).toEqual([series('p.a', 2)]);
    metrics.setScheduleNextFires([]);
    expect(await lines('cronwright_schedule_next')).toEqual([]);
  });

  it('shows the first of the schedules beyond the bound as _other', async () => {
    const { metrics, lines } = setUp();
    metrics.setScheduleNextFires(
      Array.from({ length: 203 }, (_, index) => ({
        tenant: 't',
        schedule: `s${index}`,
        nextAt: 500_000 - index * 1_000,
      })),
    );
    const series = await lines('cronwright_schedule_next');
    expect(series).toHaveLength(201);
    expect(series.at(-1)).toContain('{tenant="_other",schedule="_other"} 298');
    const missed = await lines('cronwright_schedule_missed_total{');
    expect(missed).toHaveLength(201);
    expect(missed.at(-1)).toContain('{tenant="_other",schedule="_other"} 0');
  });
});

describe('a histogram', () => {
  it('counts a value on a bound in that bucket, drops what is no number and takes negative as 0', () => {
    const histogram = createHistogramSeries({ name: 'h', help: 'h', labelNames: [], buckets: [1, 2] });
    for (const value of [1, 2, 2.1, -5, Number.NaN, Number.POSITIVE_INFINITY]) histogram.observe([], value);
    const values = Object.fromEntries(
      histogram.samples().map(({ suffix, labels, value }) => [`${suffix}${labels.le ?? ''}`, value]),
    );
    expect(values).toEqual({ _bucket1: 2, _bucket2: 3, '_bucket+Inf': 4, _sum: 5.1, _count: 4 });
  });
});

describe('process metrics', () => {
  it('carry the prefix and keep to the naming rules', async () => {
    const metrics = createMetrics({ events: createEventBus(), clock: { now: () => 0 }, version: '0.1.0' });
    const { body } = await metrics.render();
    const types = body.split('\n').flatMap((line) => (line.startsWith('# TYPE ') ? [line.slice(7).split(' ')] : []));
    expect(types.map(([name]) => name)).toContain('cronwright_process_cpu_seconds_total');
    expect(types.map(([name]) => name)).toContain('cronwright_nodejs_eventloop_lag_p99_seconds');
    expect(types.filter(([name]) => !name?.startsWith('cronwright_'))).toEqual([]);
    expect(types.filter(([name, type]) => name?.endsWith('_total') && type !== 'counter')).toEqual([]);
  });
});

describe('the live stream', () => {
  it('counts clients as they come and go, those that were dropped by why, and events', async () => {
    const { events, value } = setUp();
    events.emit('live.connected', { transport: 'sse' });
    events.emit('live.connected', { transport: 'sse' });
    events.emit('live.connected', { transport: 'websocket' });
    events.emit('live.ended', { transport: 'sse', reason: 'left' });
    events.emit('live.ended', { transport: 'websocket', reason: 'too_slow' });
    events.emit('live.published', { count: 7 });
    expect(await value('cronwright_live_clients{transport="sse"}')).toBe(1);
    expect(await value('cronwright_live_clients{transport="websocket"}')).toBe(0);
    expect(await value('cronwright_live_dropped_total{transport="websocket",reason="too_slow"}')).toBe(1);
    expect(await value('cronwright_live_dropped_total{transport="sse",reason="too_slow"}')).toBe(0);
    expect(await value('cronwright_live_dropped_total{transport="sse",reason="left"}')).toBe(undefined);
    expect(await value('cronwright_live_events_total')).toBe(7);
  });
});
