// What this node knows of peers that asked for quiet, so that of all runs that would call one only the first is refused.
import { createHash } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import type { Queryable } from '../db/database.ts';
import type { StoredError } from '../domain/outcome.ts';
import { type RetryPolicy, rateLimitDelayMs } from '../domain/retry-policy.ts';
import type { EventBus } from '../observe/events.ts';
import { closeRateLimit, type RateLimit, readRateLimit } from '../queue/rate-limits.ts';
import type { CompiledStep } from './compiled-pipeline.ts';
import type { ExecuteDeps } from './execute-deps.ts';
import type { LiveRun } from './live-run.ts';

export interface SharedRateLimits {
  /** The quiet that lasts now; at once where this node has looked within a second. */
  find(tenant: string, key: string): RateLimit | undefined | Promise<RateLimit | undefined>;
  /** Nobody calls before its end. Never rejects: where it cannot be stored it holds on this node. */
  close(limit: RateLimit): Promise<void>;
}

interface Known {
  limit: RateLimit | undefined;
  readAt: number;
  reading: Promise<RateLimit | undefined> | undefined;
}

/** What was read is believed for this long. */
const believedForMs = 1_000;
const mostKept = 10_000;
/** Whoever waited for the end of a quiet goes on within this share of its length. */
const spread = 0.2;
const longestKey = 500;

export function createSharedRateLimits(options: {
  db: Queryable;
  clock: Clock;
  events: EventBus;
  node: string;
}): SharedRateLimits {
  const { db, clock, events } = options;
  const known = new Map<string, Known>();

  function open(limit: RateLimit | undefined): RateLimit | undefined {
    return limit && limit.until.getTime() > clock.now() ? limit : undefined;
  }

  function entryOf(tenant: string, key: string): Known {
    const id = `${tenant} ${key}`;
    let entry = known.get(id);
    if (!entry) {
      if (known.size >= mostKept) known.clear();
      entry = { limit: undefined, readAt: Number.NEGATIVE_INFINITY, reading: undefined };
      known.set(id, entry);
    }
    return entry;
  }

  async function look(entry: Known, tenant: string, key: string): Promise<RateLimit | undefined> {
    try {
      const found = await readRateLimit(db, tenant, key);
      // Meanwhile a run of this node may have been told of a later end.
      if (found && found.until.getTime() > (entry.limit?.until.getTime() ?? 0)) entry.limit = found;
      entry.readAt = clock.monotonic();
    } catch (error) {
      // A call too many is a smaller evil than a step that fails because nobody could be asked.
      events.emit('service.crashed', { service: 'rate-limits', error: String(error) });
    }
    entry.reading = undefined;
    return open(entry.limit);
  }

  return {
    find(tenant, key) {
      const entry = entryOf(tenant, key);
      const closed = open(entry.limit);
      if (closed || clock.monotonic() - entry.readAt < believedForMs) return closed;
      entry.reading ??= look(entry, tenant, key);
      return entry.reading;
    },
    async close(limit) {
      const entry = entryOf(limit.tenant, limit.key);
      if (limit.until.getTime() <= (entry.limit?.until.getTime() ?? 0)) return;
      entry.limit = limit;
      const { tenant, key, reason, runId } = limit;
      events.emit('rate_limit.closed', {
        tenant,
        key,
        runId,
        reason,
        forMs: limit.until.getTime() - limit.since.getTime(),
      });
      try {
        await closeRateLimit(db, limit, options.node);
      } catch (error) {
        events.emit('service.crashed', { service: 'rate-limits', error: String(error) });
      }
    },
  };
}

/** What the call of a step is limited with; undefined: nothing. */
export function rateLimitKeyOf(
  run: LiveRun,
  { definition, type, rateLimitKey }: CompiledStep,
  item: { index: number; value: unknown } | undefined,
  input: { value: unknown; secrets: readonly string[] },
): string | undefined | { error: StoredError } {
  if (rateLimitKey) {
    const said = rateLimitKey.evaluate(
      item === undefined ? run.scope : { ...run.scope, item: item.value, index: item.index },
    );
    if (!said.ok) return { error: { ...said.error, message: `rate_limit_key: ${said.error.message}` } };
    const key = said.value;
    if (key === null || key === undefined || key === '') return undefined;
    return (typeof key === 'string' ? key : JSON.stringify(key)).slice(0, longestKey);
  }
  const own = type?.definition.rateLimitKey;
  if (own === undefined || definition.rateLimitKey !== undefined) return undefined;
  try {
    const key: unknown = own(input.value as never);
    if (typeof key !== 'string' || key === '') return undefined;
    // Keys are stored and shown.
    const isSecret = input.secrets.some((secret) => secret !== '' && key.includes(secret));
    return isSecret ? `sha256:${createHash('sha256').update(key).digest('hex')}` : key.slice(0, longestKey);
  } catch {
    // The input is checked by the step itself, which says better what is wrong with it.
    return undefined;
  }
}

/** The wait of a step that did not call, as the error of a call that was refused. */
export function notCalled(limit: RateLimit, deps: Pick<ExecuteDeps, 'clock' | 'random'>): StoredError {
  const left = limit.until.getTime() - deps.clock.now();
  const until = limit.until.toISOString();
  return {
    name: 'RateLimited',
    message: `not called: ${limit.key} asked for quiet until ${until} (told to run ${limit.runId})`,
    class: 'rate_limited',
    retryAfterMs: Math.max(0, left) + spreadMs(limit, deps),
  };
}

/** Those who wait for one end do not all come at once. */
export function spreadMs(limit: Pick<RateLimit, 'since' | 'until'>, deps: Pick<ExecuteDeps, 'random'>): number {
  return Math.round(deps.random() * spread * (limit.until.getTime() - limit.since.getTime()));
}

/** Tells everyone who uses the same key of an error that says how long to wait. */
export function limitAfter(
  run: LiveRun,
  key: string,
  error: StoredError,
  policy: RetryPolicy,
  deps: Pick<ExecuteDeps, 'clock'>,
): RateLimit {
  const now = deps.clock.now();
  const waitMs = Math.min(rateLimitDelayMs(policy, 1, error.retryAfterMs, 0), longestQuietMs);
  return {
    tenant: run.claimed.tenant,
    key,
    since: new Date(now),
    until: new Date(now + waitMs),
    reason: `${error.name}: ${error.message}`.slice(0, 1_000),
    runId: run.claimed.runId,
  };
}

/** A peer that asks for more is asked again after this. */
const longestQuietMs = 3_600_000;
