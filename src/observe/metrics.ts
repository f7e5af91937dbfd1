// The metrics of DESIGN §12 in Prometheus' text form: fed by events, and by a sampler for what only the database knows.
import { collectDefaultMetrics, Gauge, type Metric, Registry } from 'prom-client';
import { createBoundedLabel, otherLabel } from './bounded-label.ts';
import type { EventBus } from './events.ts';
import { type CounterSeries, createCounterSeries, createHistogramSeries, type Series } from './series.ts';

export interface MetricsOptions {
  events: EventBus;
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
  /** For the sampler: how many runs ended as dead letters and are still kept. */
  setDeadLetters(count: number): void;
  /** For the sampler: all schedules; those that are absent are dropped. Between samples `schedule.next` keeps it fresh. */
  setScheduleNextFires(rows: readonly NextFireRow[]): void;
  /** Ends the subscriptions; safe twice. */
  close(): void;
}

const prefix = 'cronwright_';

/** Upper bounds in seconds; chosen around the figures of DESIGN §14 and the default timeouts. */
const buckets = {
  /** From a single quick step to the run timeout of an hour and twice that. */
  run: [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 1_800, 3_600, 7_200],
  /** From a free worker at once to a queue that is far behind. */
  wait: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300, 1_800],
  /** Around the 60 s of `grace`, beyond which a fire time is missed. */
  lag: [0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300],
  /** To the step timeout of ten minutes and half an hour. */
  step: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1_800],
  query: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  http: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
};

export function createMetrics(options: MetricsOptions): Metrics {
  const registry = new Registry();
  const ends = subscribe(options.events, registry);
  const gauges = createGauges(registry);
  ends.push(
    options.events.on('schedule.next', gauges.updateNextFire),
    options.events.on('scheduler.ticked', ({ at }) => gauges.lastTick.set(at / 1_000)),
  );
  setBuildInfo(registry, options);
  if (options.processMetrics !== false) addProcessMetrics(registry);
  return {
    async render() {
      return { contentType: registry.contentType, body: await registry.metrics() };
    },
    setQueueDepth: gauges.setQueueDepth,
    setDeadLetters: (count) => gauges.deadLetters.set(count),
    setScheduleNextFires: gauges.setScheduleNextFires,
    close() {
      for (const end of ends.splice(0)) end();
    },
  };
}

/** Connects the counters and histograms to their events. These handlers run tens of thousands of times a second. */
function subscribe(events: EventBus, registry: Registry): (() => void)[] {
  const counter = (name: string, help: string, ...labelNames: string[]): CounterSeries =>
    exposed(registry, createCounterSeries({ name: prefix + name, help, labelNames }));
  const histogram = (name: string, help: string, bounds: readonly number[], ...labelNames: string[]) =>
    exposed(registry, createHistogramSeries({ name: prefix + name, help, labelNames, buckets: bounds }));

  const runs = counter('runs_total', 'Runs that ended, by result.', 'tenant', 'pipeline', 'origin', 'result');
  const runDuration = histogram('run_duration_seconds', 'From first claim to end.', buckets.run, 'tenant', 'pipeline');
  const queueWait = histogram('run_queue_wait_seconds', 'From due to claimed.', buckets.wait, 'tenant', 'pipeline');
  const leasesLost = counter('leases_lost_total', 'Leases this node lost while it worked on their runs.');
  const rescued = counter('runs_rescued_total', 'Runs this node took back from nodes that died.');
  const attempts = counter('step_attempts_total', 'Attempts of steps that ended.', 'step_type', 'result');
  const stepDuration = histogram('step_duration_seconds', 'Time of one attempt.', buckets.step, 'step_type');
  const stepRetries = counter('step_retries_total', 'Retries of steps, by class of error.', 'class');
  const lag = histogram('schedule_lag_seconds', 'From the nominal fire time to its run in the queue.', buckets.lag);
  const occurrences = counter('occurrences_total', 'Nominal fire times, by what became of them.', 'outcome');
  const query = histogram('db_query_duration_seconds', 'SQL statements.', buckets.query, 'operation');
  const http = histogram(
    'http_request_duration_seconds',
    'Answered HTTP requests.',
    buckets.http,
    'route',
    'method',
    'status_class',
  );

  const tenants = createBoundedLabel();
  const pipelines = createBoundedLabel();
  const stepTypes = createBoundedLabel();
  const operations = createBoundedLabel();
  const routes = createBoundedLabel();
  const methods = createBoundedLabel(10);
  const classes = createBoundedLabel(10);

  return [
    events.on('run.finished', ({ tenant, pipeline, origin, result, durationMs }) => {
      const owner = tenants.of(tenant);
      const name = pipelines.of(pipeline, tenant);
      runs.add([owner, name, origin, result]);
      runDuration.observe([owner, name], durationMs / 1_000);
    }),
    events.on('run.claimed', ({ tenant, pipeline, waitMs }) => {
      queueWait.observe([tenants.of(tenant), pipelines.of(pipeline, tenant)], waitMs / 1_000);
    }),
    events.on('run.lease_lost', () => leasesLost.add([])),
    events.on('run.rescued', () => rescued.add([])),
    events.on('step.finished', ({ stepType, result, durationMs }) => {
      const type = stepTypes.of(stepType);
      attempts.add([type, result]);
      stepDuration.observe([type], durationMs / 1_000);
    }),
    events.on('step.retried', (payload) => stepRetries.add([classes.of(payload.class)])),
    events.on('schedule.due', ({ lagMs }) => {
      occurrences.add(['enqueued']);
      lag.observe([], lagMs / 1_000);
    }),
    events.on('schedule.skipped', ({ outcome, count }) => occurrences.add([outcome], count)),
    events.on('db.query', ({ operation, seconds }) => query.observe([operations.of(operation)], seconds)),
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

function createGauges(registry: Registry) {
  const gauge = (name: string, help: string, ...labelNames: string[]) =>
    new Gauge({ name: prefix + name, help, labelNames, registers: [registry] });

  const active = gauge('runs_active', 'Live runs, by state.', 'state');
  const depth = gauge('queue_depth', 'Live runs, by queue and state.', 'queue', 'state');
  const deadLetters = gauge('dead_letters', 'Runs that ended as dead letters.');
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
  const schedules = createBoundedLabel();

  return {
    deadLetters,
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
