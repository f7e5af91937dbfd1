// What /metrics renders, checked by Prometheus' own linter where it is installed (Debian: the package `prometheus`).
import { execFileSync, spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { createEventBus } from '../../src/observe/events.ts';
import { createMetrics } from '../../src/observe/metrics.ts';
import { metricsExposed } from '../monitoring/shipped-files.ts';

const found = spawnSync('promtool', ['--version'], { encoding: 'utf8' }).status === 0;
if (!found) console.warn('SKIPPED: promtool is not installed, so `promtool check metrics` was not run on /metrics');

/** Every metric with at least one series, as a daemon that has seen everything renders it. */
async function renderEverything(): Promise<string> {
  const events = createEventBus((_name, error) => {
    throw error;
  });
  const metrics = createMetrics({
    events,
    clock: { now: () => 1_764_000_000_000 },
    version: '0.1.0',
    database: 'pglite',
  });
  const run = { runId: 'r', tenant: 'default', pipeline: 'repo-docs' };
  const step = { ...run, step: 'fetch', stepType: 'git.checkout', attempt: 1 };
  events.emit('run.claimed', { ...run, waitMs: 2, token: 1, node: 'n' });
  events.emit('run.finished', { ...run, origin: 'api', state: 'completed', result: 'success', durationMs: 1_234 });
  events.emit('run.lease_lost', run);
  events.emit('run.rescued', { ...run, node: 'n', deadLetter: false });
  events.emit('step.finished', { ...step, result: 'success', durationMs: 12 });
  events.emit('step.compensation_finished', { ...step, result: 'success', durationMs: 12 });
  events.emit('run.rollback_failed', { ...run, steps: ['push'], error: 'CannotUndo: it moved on' });
  events.emit('wait.answered', {
    ...run,
    step: 'ask',
    key: 'approval',
    kind: 'approval',
    decision: 'approve',
    actor: 'ann',
  });
  events.emit('step.retried', { ...step, class: 'transient', delayMs: 1_000, error: 'ECONNRESET' });
  events.emit('schedule.due', { tenant: 'default', schedule: 'repo-docs.nightly', nominalAt: 0, lagMs: 4 });
  events.emit('schedule.skipped', {
    tenant: 'default',
    schedule: 'repo-docs.nightly',
    outcome: 'skipped_overlap',
    count: 1,
    reason: 'the run before it is live',
  });
  events.emit('schedule.skipped', {
    tenant: 'default',
    schedule: 'repo-docs.nightly',
    outcome: 'missed',
    count: 2,
    reason: 'no node was there',
  });
  events.emit('schedules.watched', { stalled: 1 });
  const { tenant, pipeline } = run;
  events.emit('run.sla_missed', { ...run, kind: 'start', withinMs: 60_000, dueAt: 60_000, count: 1 });
  events.emit('sensor.checked', {
    tenant,
    pipeline,
    sensor: 's',
    result: 'success',
    events: 1,
    runs: 1,
    durationMs: 9,
  });
  const asked = { ...run, step: 'write', provider: 'openai', model: 'm' };
  events.emit('llm.called', { ...asked, result: 'success', durationMs: 900 });
  const tokens = { promptTokens: 10, completionTokens: 5, cachedTokens: 2 };
  events.emit('cost.spent', { ...asked, what: 'llm:openai/m', usd: 0.01, ...tokens });
  const budget = { budget: 'run', limitUsd: 1, spentUsd: 1, heldUsd: 0, unknownUsd: 0, wantedUsd: 1 } as const;
  events.emit('budget.exceeded', { ...run, step: 'write', ...budget, action: 'fail' });
  events.emit('nodes.counted', { live: 2, hashes: 2 });
  const call = {
    id: 'c',
    tenant: 'default',
    pipeline: 'repo-docs',
    step: 'tell',
    stepType: 'notify.webhook',
    attempts: 1,
  };
  events.emit('notification.retried', { ...call, delayMs: 1_000, error: 'ECONNREFUSED' });
  events.emit('notification.delivered', { ...call, attempts: 2, durationMs: 40 });
  events.emit('notification.failed', { ...call, error: '404' });
  events.emit('live.connected', { transport: 'sse' });
  events.emit('live.connected', { transport: 'websocket' });
  events.emit('live.published', { count: 3 });
  events.emit('live.ended', { transport: 'websocket', reason: 'too_slow' });
  events.emit('scheduler.ticked', { at: 1_764_000_000_000, due: 1 });
  events.emit('db.query', { operation: 'claim_runs', seconds: 0.002, ok: true });
  events.emit('http.served', { route: '/api/v1/runs', method: 'GET', status: 200, seconds: 0.004 });
  metrics.setQueueDepth([{ queue: 'default', state: 'pending', count: 3 }]);
  metrics.setOldestWaits([{ queue: 'default', waitMs: 1_500 }]);
  metrics.setDeadLetters(1);
  metrics.setOpenWaits([{ kind: 'approval', count: 1 }]);
  metrics.setOutboxDepth({ pending: 2, failed: 1 });
  metrics.setScheduleNextFires([{ tenant: 'default', schedule: 'repo-docs.nightly', nextAt: 1_764_000_000_000 }]);
  return (await metrics.render()).body;
}

describe('everything that is rendered', () => {
  it('has a sample of every metric that it declares', async () => {
    const body = await renderEverything();
    const exposed = metricsExposed(body);
    // What Node and the process are asked for comes from the library: it depends on what they are doing.
    const declared = [...body.matchAll(/^# TYPE (cronwright_(?!nodejs_|process_)\w+) (\w+)$/gm)];
    const bare = declared
      .map(([, name, kind]) => `${name}${kind === 'histogram' ? '_bucket' : ''}`)
      .filter((name) => !exposed.has(name));
    expect(declared.length).toBeGreaterThan(25);
    expect(bare).toEqual([]);
  });
});

describe('promtool check metrics', () => {
  it.skipIf(!found)('finds nothing to say about everything that is rendered', async () => {
    const body = await renderEverything();
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: body, encoding: 'utf8' });
    expect({ status, said: stdout + stderr }).toEqual({ status: 0, said: '' });
  });

  it.skipIf(!found)('does find what is wrong', () => {
    const wrong = '# TYPE cronwright_runs counter\ncronwright_runs 1\n';
    expect(() => execFileSync('promtool', ['check', 'metrics'], { input: wrong, stdio: 'pipe' })).toThrow();
  });
});
