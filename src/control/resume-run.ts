// Resumes a paused run, or withdraws a pause that its worker has not obeyed yet.
import { type Queryable, statement } from '../db/database.ts';
import type { RunState } from '../domain/run.ts';
import { type LetGoRuns, letGoRuns } from '../queue/let-go-runs.ts';
import { findPauseOver } from '../queue/pauses.ts';
import { admitQuietly } from './announce-runs.ts';
import type { ControlContext } from './control-context.ts';
import { forbiddenTransition } from './forbidden-transition.ts';
import { type LockedRun, lockRun } from './lock-run.ts';
import { reachChildren } from './reach-children.ts';

export interface ResumedRun {
  id: string;
  state: RunState;
  requested: null;
}

interface ResumeRequest {
  tenant: string;
  id: string;
  actor: string;
  reason?: string | undefined;
}

// Who withdrew it stays beside it, for the worker that heard of the request to put on record.
const withdraw = statement(
  'withdraw_pause',
  `update cronwright.queue set request = null, request_by = $4, request_reason = $5, held_by = null
  where run_id = $1 and state = $2 and token = $3 and request = 'pause'`,
);

const lastEvent = statement(
  'last_event_of_run',
  `select transitions -> -1 ->> 'event' as event from cronwright.history where run_id = $1 order by seq desc limit 1`,
);

/** Throws `not_found`, and `conflict` where the run is not paused, or its pipeline or tenant is. */
export async function resumeRun(context: ControlContext, request: ResumeRequest): Promise<ResumedRun> {
  const { db, events, wake } = context;
  let first: { run: LockedRun; gone: LetGoRuns | undefined } | undefined;
  const { run, gone } = await db.transaction(
    async (tx) => {
      const run = await lockRun(tx, request.tenant, request.id);
      // It was done, and only the answer to the commit was lost: somebody may work on it already.
      if (first && run.state !== 'paused' && run.request !== 'pause') return first;
      first = { run, gone: await resume(tx, run, request) };
      return first;
    },
    { idempotent: true },
  );
  const { id, tenant, actor } = request;
  await reachChildren(context, id, (child) => resumeRun(context, { ...request, id: child }));
  if (run.state !== 'paused') {
    if (run.state === 'running') wake.requests(run.node);
    return { id, state: run.state, requested: null };
  }
  events.emit('run.resumed', { runId: id, tenant, pipeline: run.pipeline, actor });
  await admitQuietly(context, gone?.wanted ?? []);
  wake.workers();
  if (gone?.hasTimer || gone?.wanted.length) wake.timers();
  return { id, state: 'pending', requested: null };
}

async function resume(tx: Queryable, run: LockedRun, request: ResumeRequest): Promise<LetGoRuns | undefined> {
  const { id, tenant, actor, reason } = request;
  const isAsked = run.request === 'pause' && (run.state === 'running' || run.state === 'pending');
  if (run.state !== 'paused' && !isAsked) {
    // A repeat after a lost answer: nothing has happened to the run since.
    if (run.state === 'pending' && (await wasResumedLast(tx, id))) return undefined;
    throw forbiddenTransition(id, run.state, 'pending', 'it is not paused');
  }
  const pause = await findPauseOver(tx, tenant, run.pipeline);
  if (pause) {
    const what = pause.pipeline === null ? `tenant "${tenant}"` : `pipeline "${pause.pipeline}"`;
    throw forbiddenTransition(id, run.state, 'pending', `${what} was paused by ${pause.by}: resume that`);
  }
  if (run.state === 'paused') return letGoRuns(tx, [id], { actor, reason: reason ?? null });
  await tx.query(withdraw, [id, run.state, run.token, actor, reason ?? null]);
  return undefined;
}

async function wasResumedLast(tx: Queryable, id: string): Promise<boolean> {
  const { rows } = await tx.query<{ event: string | null }>(lastEvent, [id]);
  return rows[0]?.event === 'run.resumed';
}
