// The metrics of DESIGN §12 in Prometheus' text form: fed by events, and by a sampler for what only the database knows.
import { collectDefaultMetrics, Gauge, type Metric, Registry } from 'prom-client';
import { type BoundedLabel, createBoundedLabel, otherLabel } from './bounded-label.ts';
import type { EventBus } from './events.ts';
import { buckets } from './metric-buckets.ts';
import {
  type CounterSeries,
  createCounterSeries,
  createGaugeSeries,
  createHistogramSeries,
  type Series,
} from './series.ts';

export interface MetricsOptions {
  events: EventBus;
  /** Wall-clock time in milliseconds since the epoch, for when a run ended. */
  clock: { now(): number };
  /** Cronwright's own version, for `build_info`. */
  version: string;
  /** For `build_info`, e.g. `pglite` or `postgres`. */
  database?: string;
  /** CPU, memory, garbage collection, event-loop lag; default true. They watch the process until it ends. */
  processMetrics?: boolean;
}

/** Live runs of one queue in one state. */
export interface QueueDepthRow {
  queue: string;
  state: string;
  count: number;
}

/** How long the oldest run of a queue has been ready without ever being claimed. */
export interface OldestWaitRow {
  queue: string;
  waitMs: number;
}

/** When a schedule fires next, in milliseconds since the epoch; null: not before something changes. */
export interface NextFireRow {
  tenant: string;
  schedule: string;
  nextAt: number | null;
}

export interface Metrics {
  render(): Promise<{ contentType: string; body: string }>;
  /** For the sampler: all live runs, counted by queue and state. Sets `queue_depth` and `runs_active`; what is absent becomes 0. */
  setQueueDepth(rows: readonly QueueDepthRow[]): void;
  /** For the sampler: all queues in which a run is ready; what is absent becomes 0. */
  setOldestWaits(rows: readonly OldestWaitRow[]): void;
  /** For the sampler: how many runs ended as dead letters and are still kept. */
  setDeadLetters(count: number): void;
  /** For the sampler: calls in the outbox that wait, and that were given up and are still kept. */
  setOutboxDepth(depth: { pending: number; failed: number }): void;
  /** For the sampler: open questions, by kind; what is absent becomes 0. */
  setOpenWaits(rows: readonly { kind: string; count: number }[]): void;
  /** For the sampler: all schedules; those that are absent are dropped. Between samples `schedule.next` keeps it fresh. */
  setScheduleNextFires(rows: readonly NextFireRow[]): void;
  /** Ends the subscriptions; safe twice. */
  close(): void;
}

const prefix = 'cronwright_';

/**
 * What becomes of nominal fire times, as migration 0001 lists it. They are there from the start, as 0: what appears with its
 * first count has not increased, for Prometheus.
 */
const outcomes = ['enqueued', 'missed', 'skipped_overlap', 'skipped_paused', 'skipped_calendar'];

/** Why listeners are dropped; 0 from the start, like the outcomes. */
const drops = [
  ...['too_slow', 'failed'].flatMap((reason) => ['sse', 'websocket'].map((transport) => [transport, reason] as const)),
  ['websocket', 'bad_message'],
] as const;

/** As the migration of the waits lists them. */
const waitKinds = ['approval', 'manual_edit', 'ai_fix', 'timer', 'budget'];

export function createMetrics(options: MetricsOptions): Metrics {
  const registry = new Registry();
  const schedules = createBoundedLabel();
  const missed = exposed(
    registry,
    createCounterSeries({
      name: `${prefix}schedule_missed_total`,
      help: 'Fire times that were missed, by schedule; 0 from when the schedule is known.',
      labelNames: ['tenant', 'schedule'],
    }),
  );
  const addMissed = (tenant: string, schedule: string, count: number) => {
    const label = schedules.of(schedule, tenant);
    missed.add(label === otherLabel ? [otherLabel, otherLabel] : [tenant, label], count);
  };
  const ends = subscribe(options, registry);
  const gauges = createGauges(registry, schedules);
  ends.push(
    options.events.on('schedule.next', gauges.updateNextFire),
    options.events.on('schedule.skipped', ({ tenant, schedule, outcome, count }) => {
      if (outcome === 'missed') addMissed(tenant, schedule, count);
    }),
    options.events.on('scheduler.ticked', ({ at }) => gauges.lastTick.set(at / 1_000)),
    options.events.on('live.connected', ({ transport }) => gauges.liveClients.inc({ transport })),
    options.events.on('live.ended', ({ transport }) => gauges.liveClients.dec({ transport })),
    options.events.on('nodes.counted', ({ hashes }) => gauges.configHashes.set(hashes)),
    options.events.on('schedules.watched', ({ stalled }) => gauges.stalledSchedules.set(stalled)),
  );
  setBuildInfo(registry, options);
  if (options.processMetrics !== false) addProcessMetrics(registry);
  return {
    async render() {
      return { contentType: registry.contentType, body: await registry.metrics() };
    },
    setQueueDepth: gauges.setQueueDepth,
    setOldestWaits: gauges.setOldestWaits,
    setDeadLetters: (count) => gauges.deadLetters.set(count),
    setOutboxDepth({ pending, failed }) {
      gauges.outbox.set({ state: 'pending' }, pending);
      gauges.outbox.set({ state: 'failed' }, failed);
    },
    setOpenWaits(rows) {
      for (const kind of waitKinds) gauges.openWaits.set({ kind }, rows.find((row) => row.kind === kind)?.count ?? 0);
    },
    setScheduleNextFires(rows) {
      gauges.setScheduleNextFires(rows);
      for (const { tenant, schedule } of rows) addMissed(tenant, schedule, 0);
    },
    close() {
      for (const end of ends.splice(0)) end();
    },
  };
}

/** Connects the counters and histograms to their events. These handlers run tens of thousands of times a second. */
function subscribe({ events, clock }: MetricsOptions, registry: Registry): (() => void)[] {
  const counter = (name: string, help: string, ...labelNames: string[]): CounterSeries =>
    exposed(registry, createCounterSeries({ name: prefix + name, help, labelNames }));
  const histogram = (name: string, help: string, bounds: readonly number[], ...labelNames: string[]) =>
    exposed(registry, createHistogramSeries({ name: prefix + name, help, labelNames, buckets: bounds }));

  const runs = counter('runs_total', 'Runs that ended, by result.', 'tenant', 'pipeline', 'origin', 'result');
  const runDuration = histogram('run_duration_seconds', 'From first claim to end.', buckets.run, 'tenant', 'pipeline');
  const lastEnds = exposed(
    registry,
    createGaugeSeries({
      name: `${prefix}pipeline_last_run_end_timestamp_seconds`,
      help: 'When the newest run with this result ended on this node.',
      labelNames: ['tenant', 'pipeline', 'result'],
    }),
  );
  const queueWait = histogram(
    'run_queue_wait_seconds',
    'From due to the first claim.',
    buckets.wait,
    'tenant',
    'pipeline',
  );
  const leasesLost = counter('leases_lost_total', 'Leases this node lost while it worked on their runs.');
  const rescued = counter('runs_rescued_total', 'Runs this node took back from nodes that died.');
  const waitsEnded = counter('waits_ended_total', 'Questions that came to an end, by kind and how.', 'kind', 'end');
  const attempts = counter('step_attempts_total', 'Attempts of steps that ended.', 'step_type', 'result');
  const compensations = counter('compensations_total', 'Tries to undo steps that ended.', 'step_type', 'result');
  const rollbacksFailed = counter('rollbacks_failed_total', 'Runs of which steps could not be undone.');
  rollbacksFailed.add([], 0);
  const stepDuration = histogram('step_duration_seconds', 'Time of one attempt.', buckets.step, 'step_type');
  const stepRetries = counter('step_retries_total', 'Retries of steps, by class of error.', 'class');
  const lag = histogram('schedule_lag_seconds', 'From the nominal fire time to its run in the queue.', buckets.lag);
  const occurrences = counter('occurrences_total', 'Nominal fire times, by what became of them.', 'outcome');
  for (const outcome of outcomes) occurrences.add([outcome], 0);
  const looks = counter('sensor_checks_total', 'Looks of sensors that ended.', 'pipeline', 'sensor', 'result');
  const slaMisses = counter(
    'sla_misses_total',
    'Runs and nominal times that did not start, or were not completed, by the time promised.',
    'tenant',
    'pipeline',
    'kind',
  );
  const query = histogram('db_query_duration_seconds', 'SQL statements.', buckets.query, 'operation');
  const notifications = counter(
    'notifications_total',
    'Attempts of calls from the outbox; retry: failed, and to be made again.',
    'step_type',
    'result',
  );
  const costUsd = counter(
    'cost_usd_total',
    'US dollars that steps have spent; provider: of a language model.',
    ...['tenant', 'pipeline', 'provider'],
  );
  const tokens = counter(
    'llm_tokens_total',
    'Tokens that language models have counted; cached are some of the prompt.',
    ...['tenant', 'provider', 'kind'],
  );
  const llmCalls = counter(
    'llm_calls_total',
    'Questions to language models; result: success, cached, or the name of the error.',
    ...['provider', 'result'],
  );
  const llmDuration = histogram(
    'llm_call_duration_seconds',
    'Calls of language models, to the end of the answer or the failure.',
    buckets.step,
    'provider',
  );
  const budgetsExceeded = counter(
    'budgets_exceeded_total',
    'Spendings that a budget had no room for: run or month, and what followed.',
    ...['tenant', 'budget', 'action'],
  );
  const costsLost = counter('costs_lost_total', 'Reservations whose attempts ended without a word.');
  costsLost.add([], 0);
  const http = histogram(
    'http_request_duration_seconds',
    'Answered HTTP requests.',
    buckets.http,
    'route',
    'method',
    'status_class',
  );

  const liveDropped = counter(
    'live_dropped_total',
    'Clients of the live stream that were dropped.',
    'transport',
    'reason',
  );
  for (const [transport, reason] of drops) liveDropped.add([transport, reason], 0);
  const livePublished = counter('live_events_total', 'Events told to the clients of the live stream.');

  const tenants = createBoundedLabel();
  const pipelines = createBoundedLabel();
  const sensors = createBoundedLabel();
  const stepTypes = createBoundedLabel();
  const operations = createBoundedLabel();
  const routes = createBoundedLabel();
  const methods = createBoundedLabel(10);
  const classes = createBoundedLabel(10);
  const providers = createBoundedLabel(20);

  return [
    events.on('run.finished', ({ tenant, pipeline, origin, result, durationMs }) => {
      const owner = tenants.of(tenant);
      const name = pipelines.of(pipeline, tenant);
      runs.add([owner, name, origin, result]);
      runDuration.observe([owner, name], durationMs / 1_000);
      lastEnds.set([owner, name, result], clock.now() / 1_000);
    }),
    events.on('run.claimed', ({ tenant, pipeline, waitMs, token }) => {
      // A run that is claimed again did not wait all the time since it was due: it ran, or waited for its retry.
      if (token > 1) return;
      queueWait.observe([tenants.of(tenant), pipelines.of(pipeline, tenant)], waitMs / 1_000);
    }),
    events.on('sensor.checked', ({ tenant, pipeline, sensor, result }) => {
      const name = sensors.of(sensor, tenant);
      looks.add([name === otherLabel ? otherLabel : pipelines.of(pipeline, tenant), name, result]);
    }),
    events.on('run.sla_missed', ({ tenant, pipeline, kind, count }) =>
      slaMisses.add([tenants.of(tenant), pipelines.of(pipeline, tenant), kind], count),
    ),
    events.on('schedule.sla_missed', ({ tenant, pipeline, kind, count }) =>
      slaMisses.add([tenants.of(tenant), pipelines.of(pipeline, tenant), kind], count),
    ),
    events.on('cost.spent', ({ tenant, pipeline, provider = 'none', usd, ...spent }) => {
      const owner = tenants.of(tenant);
      const from = providers.of(provider);
      costUsd.add([owner, pipelines.of(pipeline, tenant), from], usd);
      const kinds = [
        ['prompt', spent.promptTokens],
        ['completion', spent.completionTokens],
        ['cached', spent.cachedTokens],
      ] as const;
      for (const [kind, count] of kinds) if (count > 0) tokens.add([owner, from, kind], count);
    }),
    events.on('llm.called', ({ provider, result, durationMs }) => {
      const from = providers.of(provider);
      llmCalls.add([from, result]);
      if (result !== 'cached') llmDuration.observe([from], durationMs / 1_000);
    }),
    events.on('budget.exceeded', ({ tenant, budget, action }) =>
      budgetsExceeded.add([tenants.of(tenant), budget, action]),
    ),
    events.on('costs.lost', ({ reservations }) => costsLost.add([], reservations)),
    events.on('wait.answered', ({ kind }) => waitsEnded.add([kind, 'answered'])),
    events.on('wait.timed_out', ({ kind }) => waitsEnded.add([kind, 'timed_out'])),
    events.on('run.lease_lost', () => leasesLost.add([])),
    events.on('run.rescued', () => rescued.add([])),
    events.on('step.finished', ({ stepType, result, durationMs }) => {
      const type = stepTypes.of(stepType);
      attempts.add([type, result]);
      stepDuration.observe([type], durationMs / 1_000);
    }),
    events.on('step.compensation_finished', ({ stepType, result }) =>
      compensations.add([stepTypes.of(stepType), result]),
    ),
    events.on('run.rollback_failed', () => rollbacksFailed.add([])),
    events.on('step.retried', (payload) => stepRetries.add([classes.of(payload.class)])),
    events.on('schedule.due', ({ lagMs }) => {
      occurrences.add(['enqueued']);
      lag.observe([], lagMs / 1_000);
    }),
    events.on('schedule.skipped', ({ outcome, count }) => occurrences.add([outcome], count)),
    events.on('db.query', ({ operation, seconds }) => query.observe([operations.of(operation)], seconds)),
    events.on('live.ended', ({ transport, reason }) => {
      if (reason !== 'left' && reason !== 'shutdown') liveDropped.add([transport, reason]);
    }),
    events.on('live.published', ({ count }) => livePublished.add([], count)),
    events.on('notification.delivered', ({ stepType }) => notifications.add([stepTypes.of(stepType), 'success'])),
    events.on('notification.retried', ({ stepType }) => notifications.add([stepTypes.of(stepType), 'retry'])),
    events.on('notification.failed', ({ stepType }) => notifications.add([stepTypes.of(stepType), 'failure'])),
    events.on('http.served', ({ route, method, status, seconds }) => {
      http.observe([routes.of(route), methods.of(method), `${Math.trunc(status / 100)}xx`], seconds);
    }),
  ];
}

/** prom-client renders whatever has a name and a `get`; its own counters build a string key at each addition. */
function exposed<S extends Series>(registry: Registry, series: S): S {
  const { name, help, type } = series;
  const get = async () => ({
    name,
    help,
    type,
    aggregator: 'sum',
    values: series.samples().map(({ suffix, labels, value }) => ({ metricName: name + suffix, labels, value })),
  });
  registry.registerMetric({ name, help, type, aggregator: 'sum', get } as unknown as Metric);
  return series;
}

function createGauges(registry: Registry, schedules: BoundedLabel) {
  const gauge = (name: string, help: string, ...labelNames: string[]) =>
    new Gauge({ name: prefix + name, help, labelNames, registers: [registry] });

  const active = gauge('runs_active', 'Live runs, by state.', 'state');
  const depth = gauge('queue_depth', 'Live runs, by queue and state.', 'queue', 'state');
  const oldestWait = gauge(
    'queue_oldest_wait_seconds',
    'How long the oldest run that is ready and was never claimed has waited, by queue.',
    'queue',
  );
  const deadLetters = gauge('dead_letters', 'Runs that ended as dead letters.');
  const outbox = gauge('outbox_depth', 'Calls in the outbox that are not delivered; failed: given up.', 'state');
  const openWaits = gauge('waits_open', 'Questions of live runs that nobody has answered yet, by kind.', 'kind');
  const configHashes = gauge('config_hashes', 'Different configurations in the files of live nodes; 1 is right.');
  const stalledSchedules = gauge(
    'schedules_stalled',
    'Schedules with times that should be decided by now and are not.',
  );
  const lastTick = gauge('scheduler_last_tick_timestamp_seconds', 'When the scheduler of this node last looked.');
  const nextFires = gauge(
    'schedule_next_fire_timestamp_seconds',
    'When the schedule fires next; _other is the first of the rest.',
    'tenant',
    'schedule',
  );
  const seenStates = new Set<string>();
  const seenDepths = new Map<string, { queue: string; state: string }>();
  const queues = createBoundedLabel();
  const waitedIn = new Set<string>();

  const liveClients = gauge('live_clients', 'Clients of the live stream.', 'transport');
  for (const transport of ['sse', 'websocket']) liveClients.set({ transport }, 0);

  return {
    liveClients,
    deadLetters,
    outbox,
    openWaits,
    configHashes,
    stalledSchedules,
    lastTick,
    setQueueDepth(rows: readonly QueueDepthRow[]) {
      for (const state of seenStates) active.set({ state }, 0);
      for (const labels of seenDepths.values()) depth.set(labels, 0);
      for (const { queue, state, count } of rows) {
        const labels = { queue: queues.of(queue), state };
        seenStates.add(state);
        seenDepths.set(`${state} ${labels.queue}`, labels);
        active.inc({ state }, count);
        depth.inc(labels, count);
      }
    },
    setOldestWaits(rows: readonly OldestWaitRow[]) {
      for (const queue of waitedIn) oldestWait.set({ queue }, 0);
      const longest = new Map<string, number>();
      for (const row of rows) {
        const queue = queues.of(row.queue);
        waitedIn.add(queue);
        longest.set(queue, Math.max(longest.get(queue) ?? 0, row.waitMs));
      }
      for (const [queue, waitMs] of longest) oldestWait.set({ queue }, waitMs / 1_000);
    },
    setScheduleNextFires(rows: readonly NextFireRow[]) {
      nextFires.reset();
      let firstOfOthers = Number.POSITIVE_INFINITY;
      for (const { tenant, schedule, nextAt } of rows) {
        if (nextAt === null) continue;
        if (schedules.of(schedule, tenant) !== otherLabel) nextFires.set({ tenant, schedule }, nextAt / 1_000);
        else firstOfOthers = Math.min(firstOfOthers, nextAt);
      }
      if (Number.isFinite(firstOfOthers)) {
        nextFires.set({ tenant: otherLabel, schedule: otherLabel }, firstOfOthers / 1_000);
      }
    },
    updateNextFire({ tenant, schedule, nextAt }: NextFireRow) {
      if (schedules.of(schedule, tenant) === otherLabel) return;
      if (nextAt === null) nextFires.remove({ tenant, schedule });
      else nextFires.set({ tenant, schedule }, nextAt / 1_000);
    },
  };
}

function setBuildInfo(registry: Registry, { version, database }: MetricsOptions): void {
  new Gauge({
    name: `${prefix}build_info`,
    help: 'Always 1; the labels say what runs.',
    labelNames: ['version', 'node_version', 'database'],
    registers: [registry],
  }).set({ version, node_version: process.version, database: database ?? '' }, 1);
}

/** How often the event loop's delay is sampled, in milliseconds: finer costs an idle daemon more than it tells. */
const lagSampleMs = 20;

function addProcessMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry, prefix, eventLoopMonitoringPrecision: lagSampleMs });
  // Gauges called `_total` break Prometheus' naming rules (promtool refuses them) and say nothing that an operator asks.
  for (const { name } of registry.getMetricsAsArray()) {
    if (name.startsWith(`${prefix}nodejs_active_`) && name.endsWith('_total')) registry.removeSingleMetric(name);
  }
}
