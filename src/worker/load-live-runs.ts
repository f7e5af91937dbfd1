// Turns a claimed batch into runs in memory: definitions and, where a run has been claimed before, its checkpoints.
import type { Queryable } from '../db/database.ts';
import type { ClaimedRun } from '../queue/claim-runs.ts';
import { loadLastSeq, loadSteps, type StepRecord } from '../queue/load-runs.ts';
import { type CompiledPipeline, compilePipeline } from './compiled-pipeline.ts';
import { type Definitions, InvalidDefinition } from './definitions.ts';
import { createLiveRun, itemProgress, type LiveRun, stepProgress } from './live-run.ts';

export async function loadLiveRuns(
  claimed: readonly ClaimedRun[],
  deps: {
    db: Queryable;
    definitions: Definitions;
    apiUrl: () => string | undefined;
    /** Whether this node has the files of the run, or of the run it goes on from. */
    hasWorkspace: (runId: string, parentId: string | null) => boolean;
  },
): Promise<LiveRun[]> {
  const resumed = claimed.filter(hasPast).map((one) => one.runId);
  const [steps, seqs] =
    resumed.length === 0
      ? [new Map(), new Map()]
      : await Promise.all([loadSteps(deps.db, resumed), loadLastSeq(deps.db, resumed)]);
  const runs: LiveRun[] = [];
  for (const one of claimed) {
    const { record } = one;
    if (!record) continue;
    const compiled = await definitionOf(one, deps.definitions);
    const prior = { steps: steps.get(one.runId) ?? [], seq: seqs.get(one.runId) ?? 1 };
    const isInvalid = compiled instanceof InvalidDefinition;
    const run = createLiveRun(one, record, isInvalid ? missingDefinition(one) : compiled, prior, deps.apiUrl());
    if (isInvalid) failDefinition(run, compiled);
    if (prior.steps.length > 0 && !deps.hasWorkspace(record.id, record.parentId)) reopenLostSteps(run);
    failInterruptedSteps(run, prior.steps);
    runs.push(run);
  }
  return runs;
}

/** A first claim has nothing behind it, but where the run goes on from another's checkpoints or was woken at its time. */
function hasPast({ token, record }: ClaimedRun): boolean {
  return token > 1 || Boolean(record?.parentId) || Boolean(record?.runAt);
}

/**
 * A step with outside effects that had begun when its worker died may have had them. Where the pipeline does not want it
 * to run a second time by itself, it fails, and a person decides by retrying the run.
 */
function failInterruptedSteps(run: LiveRun, prior: readonly StepRecord[]): void {
  if (run.compiled.pipeline.onInterrupted === 'retry') return;
  for (const row of prior) {
    const step = run.compiled.byId.get(row.step);
    if (row.state !== 'running' || step?.type?.effects !== 'outside') continue;
    // A fan-out has no effects but its items'.
    if (row.item < 0 && step.items) continue;
    const progress = row.item < 0 ? stepProgress(run, row.step) : itemProgress(run, row.step, row.item);
    progress.state = 'failed';
    progress.error = {
      name: 'Interrupted',
      message: 'its worker died while it ran; what it did outside is unknown, and the pipeline does not run it twice',
      class: 'fatal',
    };
  }
}

/** The files are elsewhere, or gone: the run goes on from the first completed step that wrote any. */
function reopenLostSteps(run: LiveRun): void {
  const { steps } = run.compiled;
  const first = steps.findIndex(
    (step) => step.type?.workspace === 'writes' && run.steps.get(step.definition.id)?.state === 'completed',
  );
  if (first < 0) return;
  for (const { definition } of steps.slice(first)) {
    run.steps.delete(definition.id);
    run.items.delete(definition.id);
    delete run.scope.steps[definition.id];
  }
}

/** A version that does not compile is the fault of its runs, and of no other in the batch. */
async function definitionOf(
  claimed: ClaimedRun,
  definitions: Definitions,
): Promise<CompiledPipeline | InvalidDefinition> {
  try {
    const compiled = await definitions.get(claimed.tenant, claimed.pipeline, claimed.pipelineVersion);
    return compiled ?? missingDefinition(claimed);
  } catch (error) {
    if (error instanceof InvalidDefinition) return error;
    throw error;
  }
}

function failDefinition(run: LiveRun, { name, message }: InvalidDefinition): void {
  const progress = stepProgress(run, 'definition');
  progress.state = 'failed';
  progress.error = { name, message, class: 'fatal' };
}

/** A pipeline of one step whose type does not exist: it fails the run with a reason instead of losing it. */
function missingDefinition(claimed: ClaimedRun): CompiledPipeline {
  const definition = {
    id: 'definition',
    uses: `${claimed.pipeline}@${claimed.pipelineVersion}`,
    with: {},
    needs: [],
    continueOnError: false,
    env: {},
    retry: { initialMs: 0, multiplier: 1, maxMs: 0, jitter: 0, maxRetries: 0, on: [] },
    timeoutMs: 1_000,
  };
  return compilePipeline(
    {
      id: claimed.pipeline,
      tenant: claimed.tenant,
      version: claimed.pipelineVersion,
      inputs: {},
      env: {},
      schedules: [],
      priority: claimed.priority,
      queue: claimed.queue,
      timeoutMs: 60_000,
      onInterrupted: 'retry',
      steps: [definition],
      finally: [],
      onFailure: [],
    },
    { get: () => undefined, list: () => [] },
  );
}
