// Restores the fan-outs of a run that was claimed before: which items are settled, and outputs only where they are read.
import type { Queryable } from '../db/database.ts';
import { runsByChildren } from '../domain/child-run.ts';
import { loadItemOutputs, loadItems, loadSettledItems } from '../queue/load-items.ts';
import type { StepRecord } from '../queue/load-runs.ts';
import type { CompiledStep } from './compiled-pipeline.ts';
import { keepsOutputs, maxCollected } from './fan-out.ts';
import { type LiveRun, restoreStep, toStepScope } from './live-run.ts';

/** Returns the rows of items that were under way, or wait. */
export async function loadFanOuts(db: Queryable, run: LiveRun): Promise<StepRecord[]> {
  const begun: StepRecord[] = [];
  for (const step of run.compiled.byId.values()) {
    if (!step.items) continue;
    if (runsByChildren(step.definition)) await loadDistributed(db, run, step);
    else await loadLocal(db, run, step, begun);
  }
  return begun;
}

async function loadLocal(db: Queryable, run: LiveRun, step: CompiledStep, begun: StepRecord[]): Promise<void> {
  const rows = loadItems(db, run.claimed.runId, step.definition.id, keepsOutputs(step));
  for await (const row of rows) {
    restoreStep(run, row);
    if (row.state === 'running' || row.state === 'waiting') begun.push(row);
  }
}

/** While it is open, the step itself looks at its children. */
async function loadDistributed(db: Queryable, run: LiveRun, step: CompiledStep): Promise<void> {
  const { id } = step.definition;
  const progress = run.steps.get(id);
  if (progress?.state !== 'completed') return;
  const { failed } = await loadSettledItems(db, run.claimed.runId, id);
  run.failedOfChildren ??= new Map();
  run.failedOfChildren.set(id, failed.length);
  if (!step.isCollected || progress.output !== undefined) return;
  progress.output = await loadItemOutputs(db, run.claimed.runId, id, maxCollected);
  run.scope.steps[id] = toStepScope(progress);
}
