// Carries out `ctx.startRun`: a step starts a run once a key, and is told how it ended where it waits.
import { createNewRun } from '../domain/new-run.ts';
import { enqueueChildren } from '../queue/enqueue-children.ts';
import { closeChildren, readOpenChild, readOutcomes } from '../queue/settle-children.ts';
import { type RunToStart, type StartedRun, StepError } from '../steps/api.ts';
import type { Attempt } from '../steps/attempt-services.ts';
import { announceChildren, type ChildDeps, type ChildHost, makeChild } from './child-runs.ts';
import { errorOfChild, outputOfRun } from './child-step.ts';
import type { LiveRun } from './live-run.ts';

export interface StartDeps extends ChildHost {
  children: ChildDeps;
}

/** Undefined where the run is waited for and has not ended. Rejects where it cannot be started, or ended otherwise than completed. */
export async function startChildRun(
  run: LiveRun | undefined,
  attempt: Attempt,
  request: RunToStart & { key: string },
  deps: StartDeps,
): Promise<StartedRun | undefined> {
  const step = run?.compiled.byId.get(attempt.step);
  if (!run || !step) throw new StepError('fatal', `the run ${attempt.runId} now belongs to another worker`);
  const { db, catalog } = deps.children;
  const pipeline = catalog.get(attempt.tenant, request.pipeline);
  if (!pipeline) {
    const message = `there is no pipeline "${request.pipeline}" of tenant "${attempt.tenant}"`;
    throw new StepError('fatal', message, { name: 'UnknownPipeline' });
  }
  const place = `${attempt.item ?? -1}/${request.key}`;
  const made = makeChild(run, step, { place, from: -1, to: 0, generation: -1 }, false, (options) =>
    createNewRun(pipeline, catalog.termsOf(pipeline), {
      ...options,
      inputs: request.inputs,
      priority: request.priority ?? options.priority,
    }),
  );
  if (!made.ok) throw new StepError('fatal', made.error.message, { name: made.error.name });
  const { child } = made;
  child.isAwaited = request.wait === true;
  const { isOurs, made: news } = await enqueueChildren(db, { runId: attempt.runId, token: attempt.token }, [child]);
  if (!isOurs) throw new StepError('fatal', `the run ${attempt.runId} now belongs to another worker`);
  if (news.size > 0) await announceChildren([child], deps);
  const { id } = child.run;
  if (!child.isAwaited) return { runId: id, state: 'pending', failedItems: 0, outputs: null };
  const found = await readOpenChild(db, id);
  if (!found || found.state === null) return undefined;
  await closeChildren(db, [id]);
  if (found.state !== 'completed') {
    const { class: errorClass, name, message } = errorOfChild(found);
    throw new StepError(errorClass, message, { name });
  }
  const { outputs } = outputOfRun(found, await readOutcomes(db, id)) as { outputs: StartedRun['outputs'] };
  return { runId: id, state: 'completed', failedItems: found.failedItems, outputs };
}
