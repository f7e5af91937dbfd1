// Pauses and resumes a pipeline or a whole tenant: nothing of it starts meanwhile, and its schedules owe nothing for the time.
import { uuidv7 } from 'uuidv7';
import { CronwrightError } from '../domain/errors.ts';
import { beginPause, countRunsOf, endPause, type Pause } from '../queue/pauses.ts';
import { settlePauses } from '../queue/settle-pauses.ts';
import { admitQuietly } from './announce-runs.ts';
import type { ControlContext } from './control-context.ts';

export interface PauseScope {
  tenant: string;
  /** Null: all of the tenant. */
  pipeline: string | null;
}

export interface PauseScopeRequest extends PauseScope {
  actor: string;
  reason?: string | undefined;
  /** When it ends by itself; absent: when somebody resumes it. */
  until?: Date | undefined;
}

export interface PausedScope {
  pause: Pause;
  /** Runs that it holds, and runs that were asked and have not obeyed yet. */
  held: number;
  asked: number;
}

/** Once more says anew why and until when. Throws `invalid_input` where `until` has passed. */
export async function pauseScope(context: ControlContext, request: PauseScopeRequest): Promise<PausedScope> {
  const { db, clock, events, wake } = context;
  const { tenant, pipeline, actor, reason, until } = request;
  if (until && until.getTime() <= clock.now()) throw alreadyPassed(until);
  const id = uuidv7();
  const pause = await db.transaction(
    (tx) => beginPause(tx, { id, tenant, pipeline, by: actor, reason: reason ?? null, until: until ?? null }),
    { idempotent: true },
  );
  if (!pause) throw new CronwrightError('internal', 'the pause was not stored');
  events.emit('pipeline.paused', {
    tenant,
    ...(pipeline === null ? {} : { pipeline }),
    actor,
    ...(reason === undefined ? {} : { reason }),
    ...(until === undefined ? {} : { until: until.getTime() }),
  });
  await settle(context);
  wake.scheduler();
  wake.requests(null);
  const { held, asked } = await countRunsOf(db, pause.id);
  return { pause, held, asked };
}

/** Throws `conflict` where it is not paused. What somebody paused for itself stays paused. */
export async function resumeScope(
  context: ControlContext,
  { tenant, pipeline, actor }: PauseScope & { actor: string },
): Promise<{ letGo: number }> {
  const { db, events, wake } = context;
  // Counted in the transaction: from then on any node may let them go.
  const letGo = await db.transaction(async (tx) => {
    const ended = await endPause(tx, { tenant, pipeline, by: actor });
    return ended && (await countRunsOf(tx, ended.id)).freed;
  });
  if (letGo === undefined) throw notPaused(tenant, pipeline);
  events.emit('pipeline.resumed', { tenant, ...(pipeline === null ? {} : { pipeline }), actor });
  await settle(context);
  wake.scheduler();
  wake.requests(null);
  return { letGo };
}

async function settle(context: ControlContext): Promise<void> {
  const settled = await settlePauses(context.db);
  await admitQuietly(context, settled.keys);
  if (settled.keys.length > 0 || settled.letGo > 0) context.wake.workers();
  if (settled.hasTimer || settled.keys.length > 0) context.wake.timers();
}

function alreadyPassed(until: Date): CronwrightError {
  const text = until.toISOString();
  return new CronwrightError('invalid_input', `"until" is ${text}, which has passed`, {
    problems: [{ path: 'until', message: 'has passed', got: text, expected: 'a later instant' }],
  });
}

function notPaused(tenant: string, pipeline: string | null): CronwrightError {
  const what = pipeline === null ? `tenant "${tenant}"` : `pipeline "${pipeline}"`;
  return new CronwrightError('conflict', `${what} is not paused`, {
    details: { state: 'active', requested: 'active' },
  });
}
