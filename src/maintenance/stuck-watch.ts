// Tells of runs that make no progress: an alert for people, nothing is ended by it.
import { createLoopService, type Service, sleepUnlessAborted } from '../base/service.ts';
import { type Database, statement } from '../db/database.ts';
import type { EventBus } from '../observe/events.ts';

export interface StuckWatchOptions {
  db: Database;
  events: EventBus;
  /** This node: each tells of its own runs. */
  node: string;
  /** Without progress for so long, in milliseconds. */
  stuckMs: number;
}

const longestIntervalMs = 60_000;

const findStuck = statement(
  'find_stuck_runs',
  `select run_id, tenant, pipeline, token, coalesce(step, '') as step,
    (extract(epoch from now() - coalesce(progress_at, started_at)) * 1000)::float8 as for_ms
  from cronwright.queue
  where node = $1 and state = 'running'
    and coalesce(progress_at, started_at) < now() - $2::int8 * interval '1 millisecond'`,
);

export function createStuckWatch(options: StuckWatchOptions): Service {
  const { db, events, stuckMs } = options;
  /** Told once per claim. */
  let told = new Set<string>();

  async function look(): Promise<void> {
    const { rows } = await db.query<{
      run_id: string;
      tenant: string;
      pipeline: string;
      token: number;
      step: string;
      for_ms: number;
    }>(findStuck, [options.node, stuckMs]);
    const stuck = new Set<string>();
    for (const { run_id: runId, tenant, pipeline, token, step, for_ms: forMs } of rows) {
      const key = `${runId}/${token}`;
      stuck.add(key);
      if (!told.has(key)) events.emit('run.stuck', { runId, tenant, pipeline, step, forMs: Math.round(forMs) });
    }
    told = stuck;
  }

  return createLoopService({
    name: 'stuck-watch',
    async loop(signal) {
      while (!signal.aborted) {
        await look();
        await sleepUnlessAborted(Math.min(longestIntervalMs, stuckMs / 2), signal);
      }
    },
    onCrash: (error) => events.emit('service.crashed', { service: 'stuck-watch', error: String(error) }),
  });
}
