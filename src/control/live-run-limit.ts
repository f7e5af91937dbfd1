// Keeps a tenant's queue from growing without end: counts its live runs and refuses what is above the limit.
import type { Clock } from '../base/clock.ts';
import { type Database, statement } from '../db/database.ts';
import { CronwrightError } from '../domain/errors.ts';

export interface LiveRunLimit {
  /** Makes room for `runs` more. Throws `limit_reached` where the queue is full; nothing is dropped. */
  reserve(tenant: string, runs: number): Promise<void>;
  /** Why there is no room for `runs` more; undefined where there is, and then it is taken. */
  refusal(tenant: string, runs: number): Promise<string | undefined>;
}

/** A count is believed for this long; what this node adds meanwhile is counted on top. */
const believedForMs = 1_000;
const ampleForMs = 90_000;

// Counting stops at the limit: a full queue costs no more to look at than one that is nearly full.
const count = statement(
  'count_live_runs',
  'select count(*) as n from (select 1 from cronwright.queue where tenant = $1 limit $2) live',
);

interface Estimate {
  countedAt: number;
  live: number;
}

export function createLiveRunLimit(options: {
  db: Database;
  clock: Clock;
  limitOf: (tenant: string) => number;
}): LiveRunLimit {
  const { db, clock, limitOf } = options;
  const estimates = new Map<string, Promise<Estimate>>();
  const countedAt = new Map<string, number>();

  function estimateOf(tenant: string): Promise<Estimate> {
    const known = estimates.get(tenant);
    const now = clock.monotonic();
    if (known && now - (countedAt.get(tenant) ?? 0) < believedForMs) return known;
    const counting = db
      .query<{ n: number }>(count, [tenant, limitOf(tenant) + 1])
      .then(({ rows }) => ({ countedAt: now, live: rows[0]?.n ?? 0 }));
    estimates.set(tenant, counting);
    countedAt.set(tenant, now);
    counting.catch(() => estimates.delete(tenant));
    return counting;
  }

  /** How many there are, where as many more would be too many. */
  async function overfull(tenant: string, runs: number): Promise<number | undefined> {
    const estimate = await estimateOf(tenant);
    if (estimate.live + runs > limitOf(tenant)) return estimate.live;
    estimate.live += runs;
    return undefined;
  }

  /** What is not half full fills up no faster than it is counted again: nothing waits for that. */
  async function hasAmpleRoom(tenant: string, runs: number): Promise<boolean> {
    const known = estimates.get(tenant);
    if (!known || clock.monotonic() - (countedAt.get(tenant) ?? 0) > ampleForMs) return false;
    const estimate = await known.catch(() => undefined);
    if (!estimate || estimate.live + runs > limitOf(tenant) / 2) return false;
    estimate.live += runs;
    // Whoever asks next has the new count; that it could not be had is said then.
    estimateOf(tenant).catch(() => {});
    return true;
  }

  return {
    async reserve(tenant, runs) {
      const live = await overfull(tenant, runs);
      if (live === undefined) return;
      const limit = limitOf(tenant);
      throw new CronwrightError('limit_reached', queueFull(tenant, live, runs, limit), {
        details: { live, limit, retry_after_seconds: 5 },
      });
    },
    async refusal(tenant, runs) {
      if (await hasAmpleRoom(tenant, runs)) return undefined;
      const live = await overfull(tenant, runs);
      return live === undefined ? undefined : queueFull(tenant, live, runs, limitOf(tenant));
    },
  };
}

function queueFull(tenant: string, live: number, runs: number, limit: number): string {
  return `the queue of tenant "${tenant}" is full: ${live} live runs and ${runs} more would pass its limit of ${limit}`;
}
