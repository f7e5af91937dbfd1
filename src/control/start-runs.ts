// Starts many runs of one pipeline in one statement: all of them, or none.
import { CronwrightError, type Problem } from '../domain/errors.ts';
import type { NewRun } from '../domain/new-run.ts';
import { enqueueRuns } from '../queue/enqueue-runs.ts';
import { announceRuns } from './announce-runs.ts';
import { answerOnce, recallAnswer } from './idempotency.ts';
import { type Caller, newRunOf, type RunRequest, type RunStarter, requirePipeline } from './start-run.ts';

export interface StartedRuns {
  count: number;
  ids: string[];
}

/** How many wrong runs are told in one answer. */
const mostProblems = 100;

/** Throws `not_found`, `invalid_input` (naming each wrong run by its index), `conflict`, `limit_reached`. */
export async function startRuns(
  starter: RunStarter,
  pipelineId: string,
  requests: readonly RunRequest[],
  caller: Caller,
): Promise<StartedRuns> {
  const { context, room } = starter;
  const runs = newRuns(starter, pipelineId, requests, caller);
  const answer = { count: runs.length, ids: runs.map((run) => run.id) };
  if (caller.idempotencyKey === undefined) {
    await room.reserve(caller.tenant, runs.length);
    await enqueueRuns(context.db, runs);
    await announceRuns(context, runs);
    return answer;
  }
  const identity = {
    tenant: caller.tenant,
    key: caller.idempotencyKey,
    request: ['start_batch', pipelineId, requests],
  };
  const kept = await recallAnswer<StartedRuns>(context.db, identity);
  if (kept) return kept.answer;
  await room.reserve(caller.tenant, runs.length);
  const once = await answerOnce(context.db, identity, { status: 202, answer }, async (tx) => {
    await enqueueRuns(tx, runs);
  });
  if (!once.repeated) await announceRuns(context, runs);
  return once.answer;
}

function newRuns(
  { context }: RunStarter,
  pipelineId: string,
  requests: readonly RunRequest[],
  caller: Caller,
): NewRun[] {
  const pipeline = requirePipeline(context, caller.tenant, pipelineId);
  const problems: Problem[] = [];
  const runs: NewRun[] = [];
  for (const [i, request] of requests.entries()) {
    try {
      runs.push(newRunOf(context, pipeline, request, caller));
    } catch (error) {
      if (!(error instanceof CronwrightError)) throw error;
      problems.push(...error.problems.map((problem) => ({ ...problem, path: `runs[${i}].${problem.path ?? ''}` })));
      if (problems.length >= mostProblems) break;
    }
  }
  if (problems.length > 0) {
    throw new CronwrightError(
      'invalid_input',
      `${problems.length === 1 ? '1 input is' : `${problems.length} inputs are`} wrong; no run was started`,
      { problems },
    );
  }
  return runs;
}
