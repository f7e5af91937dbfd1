// Finish: a run's end, recorded once, and told to everyone who has to know.
import type { FailureNotice } from '../domain/failure-notice.ts';
import type { StoredError } from '../domain/outcome.ts';
import { resultOfState, type TerminalState, type Transition } from '../domain/run.ts';
import type { Events } from '../observe/events.ts';
import { readRunCosts } from '../store/run-costs.ts';
import { cancelOpenWaits } from '../store/waits.ts';
import type { ExecuteDeps } from './execute-deps.ts';
import { flushFinish } from './flush-run.ts';
import type { Verdict } from './judge-run.ts';
import { hasWritten, type LiveRun, noteTransition } from './live-run.ts';
import { tellLost } from './release-run.ts';

export async function finishRun(run: LiveRun, end: Verdict & { kind: 'finish' }, deps: ExecuteDeps): Promise<void> {
  const { claimed, record } = run;
  const error = end.error ? `${end.error.name}: ${end.error.message}` : undefined;
  const event = end.state === 'dead_letter' ? 'run.dead_lettered' : `run.${end.state}`;
  const from = end.state === 'rolled_back' ? 'rolling_back' : 'running';
  const ended: Omit<Transition, 'at'> = { event, from, to: end.state };
  const reason = reasonOf(run, end);
  if (reason !== undefined) ended.reason = reason;
  if (run.cancelledBy?.actor) ended.actor = run.cancelledBy.actor;
  // A first claim that noted nothing has cost nothing; of earlier claims the ledger alone knows.
  if (run.usesLedger || claimed.token > 1) await addCost(run, ended, deps);
  noteTransition(run, ended, deps.clock);
  await deps.logs.flush(claimed);
  const finishedAt = new Date(deps.clock.now());
  const isOurs = await flushFinish(
    run,
    {
      state: end.state,
      error: end.error,
      startedAt: claimed.startedAt,
      finishedAt,
      attempt: claimed.attempt,
      claims: claimed.token,
      failedItems: run.failedItems,
      progress: end.state === 'completed' ? 100 : run.progress,
      message: run.message,
      limited: claimed.limits !== null,
      notices: noticesOf(run, end, finishedAt, deps),
    },
    deps,
  );
  if (!isOurs) return tellLost(run, deps);
  if (run.waits !== undefined) await cancelQuestions(run, deps);
  const finished: Events['run.finished'] = {
    runId: claimed.runId,
    tenant: claimed.tenant,
    pipeline: claimed.pipeline,
    origin: record.origin,
    state: end.state,
    result: resultOfState(end.state, end.timedOut),
    durationMs: Math.max(0, finishedAt.getTime() - claimed.startedAt.getTime()),
  };
  if (claimed.schedule !== null) finished.schedule = claimed.schedule;
  if (error !== undefined) finished.error = error;
  if (end.state === 'failed' && isUndone(run)) finished.isUndone = true;
  run.span.within(() => deps.events.emit('run.finished', finished));
  run.span.end(finished.result, end.error ?? undefined);
}

/** Whoever listens need not ask what the run has cost. */
async function addCost({ claimed, part }: LiveRun, ended: Omit<Transition, 'at'>, deps: ExecuteDeps): Promise<void> {
  if (part) return;
  try {
    const { usd, estimatedUsd, promptTokens, completionTokens } = await readRunCosts(
      deps.db,
      claimed.tenant,
      claimed.runId,
    );
    if (usd + promptTokens + completionTokens === 0 && estimatedUsd === null) return;
    const tokens = { prompt_tokens: promptTokens, completion_tokens: completionTokens };
    ended.data = { cost: { usd, estimated_usd: estimatedUsd, ...tokens } };
  } catch (error) {
    deps.events.emit('service.crashed', { service: 'costs', error: String(error) });
  }
}

/** Work outside that cannot be undone is not done again for the sake of its files. */
function isUndone(run: LiveRun): boolean {
  const { steps, byId } = run.compiled;
  const undone = [...(run.undone?.values() ?? [])].filter(({ state }) => state === 'completed');
  if (!undone.some(({ step }) => byId.get(step)?.type?.compensates)) return false;
  return !steps.some((step) => step.type?.effects === 'outside' && !step.type.compensates && hasWritten(run, step));
}

/** What the person said who ended it, who stands beside it; else the error. */
function reasonOf({ cancelledBy }: LiveRun, { state, error }: Verdict & { kind: 'finish' }): string | undefined {
  if (cancelledBy !== undefined && (state === 'cancelled' || state === 'rolled_back')) {
    return cancelledBy.reason ?? undefined;
  }
  return error ? `${error.name}: ${error.message}` : undefined;
}

/** Nobody has to answer any more. What this does not reach is not shown: the questions of live runs are. */
async function cancelQuestions({ claimed }: LiveRun, deps: ExecuteDeps): Promise<void> {
  try {
    await cancelOpenWaits(deps.db, claimed.runId);
  } catch (error) {
    deps.events.emit('service.crashed', { service: 'waits', error: String(error) });
  }
}

/** What a dry run came to is seen by whoever started it. */
function noticesOf(
  { claimed, record }: LiveRun,
  end: { state: TerminalState; error: (StoredError & { step?: string }) | null },
  finishedAt: Date,
  deps: ExecuteDeps,
): readonly FailureNotice[] | undefined {
  const { state, error } = end;
  // The parent tells of its parts.
  if (record.dryRun || record.isPart || (state !== 'failed' && state !== 'dead_letter')) return undefined;
  return deps.noticesOf({
    id: claimed.runId,
    pipeline: claimed.pipeline,
    tenant: claimed.tenant,
    schedule: claimed.schedule,
    state,
    error: { name: error?.name ?? 'Error', message: error?.message ?? '', step: error?.step ?? null },
    started_at: claimed.startedAt.toISOString(),
    finished_at: finishedAt.toISOString(),
  });
}
