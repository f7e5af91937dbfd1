// Timeouts that follow the past of a pipeline: decided for a run when it is claimed, the past asked for once a minute.
import type { Clock } from '../base/clock.ts';
import type { Queryable } from '../db/database.ts';
import { type AdaptiveTimeout, type DecidedTimeout, decideTimeout, formatAuto } from '../domain/adaptive-timeout.ts';
import type { EventBus } from '../observe/events.ts';
import { loadPastDurations, type PastDurations } from '../store/past-durations.ts';
import type { CompiledPipeline, CompiledStep } from './compiled-pipeline.ts';
import type { LiveRun } from './live-run.ts';

/** What was decided for one claim; only what adapts is in it. */
export interface RunTimeouts {
  run: DecidedTimeout | undefined;
  steps: ReadonlyMap<string, DecidedTimeout>;
}

export interface AdaptiveTimeouts {
  /** For a pipeline that has any. Never rejects: where the past cannot be asked the defaults hold. */
  of(pipeline: CompiledPipeline): Promise<RunTimeouts>;
}

const keptMs = 60_000;
const mostKept = 2_000;
const nothing: PastDurations = { run: undefined, steps: new Map() };

export function createAdaptiveTimeouts(options: { db: Queryable; clock: Clock; events: EventBus }): AdaptiveTimeouts {
  const { db, clock, events } = options;
  const known = new Map<string, { until: number; past: Promise<PastDurations> }>();

  function pastOf({ pipeline, byId }: CompiledPipeline): Promise<PastDurations> {
    const key = `${pipeline.tenant}/${pipeline.id}/${pipeline.version}`;
    const kept = known.get(key);
    if (kept && kept.until > clock.monotonic()) return kept.past;
    if (known.size >= mostKept) known.clear();
    const adaptive = [...byId.values()].filter(({ definition }) => definition.adaptiveTimeout);
    const steps = adaptive.map(({ definition }) => ({ id: definition.id, hasItems: definition.foreach !== undefined }));
    const past = loadPastDurations(db, { tenant: pipeline.tenant, pipeline: pipeline.id, steps }).catch((error) => {
      known.delete(key);
      events.emit('service.crashed', { service: 'adaptive-timeouts', error: String(error) });
      return nothing;
    });
    known.set(key, { until: clock.monotonic() + keptMs, past });
    return past;
  }

  return {
    async of(compiled) {
      const past = await pastOf(compiled);
      const steps = new Map<string, DecidedTimeout>();
      for (const { definition } of compiled.byId.values()) {
        const { id, adaptiveTimeout, timeoutMs } = definition;
        if (adaptiveTimeout) steps.set(id, decideTimeout(adaptiveTimeout, past.steps.get(id), timeoutMs));
      }
      const { adaptiveTimeout, timeoutMs } = compiled.pipeline;
      return { run: adaptiveTimeout && decideTimeout(adaptiveTimeout, past.run, timeoutMs), steps };
    },
  };
}

export function runTimeoutMs(run: LiveRun): number {
  return run.timeouts?.run?.ms ?? run.compiled.pipeline.timeoutMs;
}

export function stepTimeoutMs(run: LiveRun, { definition }: CompiledStep): number {
  return run.timeouts?.steps.get(definition.id)?.ms ?? definition.timeoutMs;
}

/** For the run's history: what was decided, and from what. */
export function tellTimeouts({ timeouts, compiled }: LiveRun): Record<string, ToldTimeout> | undefined {
  if (!timeouts) return undefined;
  const told: Record<string, ToldTimeout> = {};
  const { adaptiveTimeout } = compiled.pipeline;
  if (timeouts.run && adaptiveTimeout) told.run = tell(timeouts.run, adaptiveTimeout);
  for (const [id, decided] of timeouts.steps) {
    const rule = compiled.byId.get(id)?.definition.adaptiveTimeout;
    if (rule) told[`steps.${id}`] = tell(decided, rule);
  }
  return told;
}

type ToldTimeout = DecidedTimeout & { auto: string };

function tell(decided: DecidedTimeout, rule: AdaptiveTimeout): ToldTimeout {
  return { ...decided, auto: formatAuto(rule) };
}
