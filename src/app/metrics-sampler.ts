// Asks the database now and then for the numbers that no event tells: depth of the queue, waits, dead letters, next fires.
import { createLoopService, type Service, sleepUnlessAborted } from '../base/service.ts';
import { pipelineDefaults } from '../config/defaults.ts';
import { type Database, statement } from '../db/database.ts';
import { isTerminal, runStates } from '../domain/run.ts';
import type { EventBus } from '../observe/events.ts';
import type { Metrics, NextFireRow, QueueDepthRow } from '../observe/metrics.ts';
import { findReadyRoutes } from '../queue/find-ready-routes.ts';
import { liveState } from '../queue/live-state.ts';
import { oldestWaits } from '../reads/oldest-waits.ts';

const everyMs = 15_000;

/** The queue that every node serves says 0 from the start, so that an empty one is told from one that nobody measures. */
const noRuns: readonly QueueDepthRow[] = runStates
  .filter((state) => !isTerminal(state))
  .map((state) => ({ queue: pipelineDefaults.queue.value, state, count: 0 }));

const depth = statement(
  'sample_queue_depth',
  `select substring(queue, '^[^{#@]+') as queue, ${liveState('q')} as state, count(*) as count
  from cronwright.queue q group by 1, 2`,
);

const deadLetters = statement(
  'sample_dead_letters',
  `select count(*) as count from cronwright.runs where failure = 'dead_letter'`,
);

const outbox = statement(
  'sample_outbox_depth',
  `select (select count(*) from cronwright.outbox where state = 'pending' and coalesce(sum_of, 2) > 1) as pending,
    (select count(*) from cronwright.outbox where state = 'failed') as failed`,
);

const openWaits = statement(
  'sample_open_waits',
  `select w.kind, count(*) as count from cronwright.waits w join cronwright.queue q on q.run_id = w.run_id
  where w.state = 'open' group by w.kind`,
);

const nextFires = statement(
  'sample_next_fires',
  `select tenant, id as schedule, (extract(epoch from next_at) * 1000)::float8 as next_at
  from cronwright.schedules where removed_at is null and enabled order by tenant, id limit 1000`,
);

export function createMetricsSampler(options: { db: Database; metrics: Metrics; events: EventBus }): Service {
  const { db, metrics, events } = options;

  async function sample(): Promise<void> {
    const { rows: depths } = await db.query<QueueDepthRow>(depth);
    metrics.setQueueDepth([...noRuns, ...depths]);
    const waits = await oldestWaits(db, await findReadyRoutes(db));
    metrics.setOldestWaits([{ queue: pipelineDefaults.queue.value, waitMs: 0 }, ...waits]);
    metrics.setDeadLetters((await db.query<{ count: number }>(deadLetters)).rows[0]?.count ?? 0);
    for (const row of (await db.query<{ pending: number; failed: number }>(outbox)).rows) metrics.setOutboxDepth(row);
    metrics.setOpenWaits((await db.query<{ kind: string; count: number }>(openWaits)).rows);
    const fires = await db.query<{ tenant: string; schedule: string; next_at: number | null }>(nextFires);
    const rows: NextFireRow[] = fires.rows.map((row) => ({
      tenant: row.tenant,
      schedule: row.schedule,
      nextAt: row.next_at,
    }));
    metrics.setScheduleNextFires(rows);
  }

  return createLoopService({
    name: 'metrics-sampler',
    async loop(signal) {
      while (!signal.aborted) {
        await sample();
        await sleepUnlessAborted(everyMs, signal);
      }
    },
    onCrash: (error) => events.emit('service.crashed', { service: 'metrics-sampler', error: String(error) }),
    restartDelayMs: everyMs,
  });
}
