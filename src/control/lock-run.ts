// Reads a run's state and keeps it from changing until the transaction ends.
import { type Queryable, statement } from '../db/database.ts';
import { CronwrightError } from '../domain/errors.ts';
import type { Origin, RunState, TerminalState } from '../domain/run.ts';
import { liveState } from '../queue/live-state.ts';

export interface LockedRun {
  /** As it is seen from outside: a run that lives only for its rollback is `rolling_back`. */
  state: RunState;
  pipeline: string;
  schedule: string | null;
  origin: Origin;
  token: number;
  /** The node that holds it. */
  node: string | null;
  startedAt: Date | null;
  /** What its worker was asked for and has not obeyed yet. */
  request: 'pause' | 'cancel' | null;
  /** What is to be undone, where that was asked for and has not begun: all (null), or what comes after a step. */
  rollback: { to: string | null } | undefined;
  /** The pause of its pipeline or tenant that holds it, or asks for it. */
  heldBy: string | null;
  /** Not before this instant. */
  runAt: Date | null;
}

const lock = statement(
  'lock_live_run',
  `select ${liveState('q')} as state, token, node, started_at, request, request_rollback, request_to, held_by, run_at
  from cronwright.queue q where run_id = $1 for update`,
);

interface LiveRow {
  state: RunState;
  token: number;
  node: string | null;
  started_at: Date | null;
  request: 'pause' | 'cancel' | null;
  request_rollback: boolean | null;
  request_to: string | null;
  held_by: string | null;
  run_at: Date | null;
}

// Read after the lock: a worker that finished the run meanwhile has committed its end.
const read = statement(
  'read_run_for_control',
  'select pipeline, schedule, origin, state from cronwright.runs where id = $1 and tenant = $2',
);

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Throws `not_found`. */
export async function lockRun(tx: Queryable, tenant: string, id: string): Promise<LockedRun> {
  if (!uuid.test(id)) throw notFound(id);
  const live = (await tx.query<LiveRow>(lock, [id])).rows[0];
  const run = (
    await tx.query<{ pipeline: string; schedule: string | null; origin: Origin; state: TerminalState | null }>(read, [
      id,
      tenant,
    ])
  ).rows[0];
  if (!run) throw notFound(id);
  const { pipeline, schedule, origin } = run;
  const state = run.state ?? live?.state;
  // Between the two reads at READ COMMITTED a run can only have ended, and then its end is what was read.
  if (!state) throw new CronwrightError('internal', `run "${id}" has neither a live row nor an end`);
  const { token = 0, node = null, started_at: startedAt = null, request = null } = live ?? {};
  const { held_by: heldBy = null, run_at: runAt = null } = live ?? {};
  const rollback = request === 'cancel' && live?.request_rollback ? { to: live.request_to } : undefined;
  return { state, pipeline, schedule, origin, token, node, startedAt, request, rollback, heldBy, runAt };
}

function notFound(id: string): CronwrightError {
  return new CronwrightError('not_found', `there is no run "${id}"`);
}
