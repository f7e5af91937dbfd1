// A step that waited goes on: what people answered to its worker is done, what is still open keeps it waiting.
import type { StoredError } from '../domain/outcome.ts';
import { firstShown } from '../domain/wait.ts';
import { findWait, type WaitRow } from '../store/waits.ts';
import { askPerson, type Instead } from './ask-person.ts';
import { expire, tellSettled } from './ask-question.ts';
import type { CompiledStep } from './compiled-pipeline.ts';
import type { ExecuteDeps } from './execute-deps.ts';
import { type LiveRun, type StepProgress, stepKey, waitsOf } from './live-run.ts';
import { repairStep } from './repair-step.ts';

type Item = { index: number; value: unknown } | undefined;

export const interruptedError: StoredError = {
  name: 'Interrupted',
  message: 'its worker died while it ran; what it did outside is unknown, and the pipeline does not run it twice',
  class: 'fatal',
};

/** Undefined where the step is to run. */
export async function resumeWait(
  run: LiveRun,
  step: CompiledStep,
  item: Item,
  progress: StepProgress,
  deps: ExecuteDeps,
): Promise<Instead | undefined> {
  const { id } = step.definition;
  const isInterrupted = run.interrupted?.has(stepKey(id, item?.index)) ?? false;
  const interruptedKey = `interrupted/${progress.attempts}`;
  const rows = waitsOf(run, id, item?.index);
  if (isInterrupted && !rows.some(({ key }) => key === interruptedKey)) {
    progress.error = interruptedError;
    const choices = ['retry', 'happened', 'fail'];
    return askPerson(run, step, item, progress, { askedBy: 'interrupted', key: interruptedKey, choices }, deps);
  }
  const last = rows.findLast(({ askedBy, state }) => askedBy !== 'step' && state !== 'cancelled');
  // Tries since then have used the answer up. Those of a worker that died are not all on record.
  if (last && last.askedBy !== 'fix' && last.attempt >= progress.attempts) {
    progress.attempts = last.attempt;
    return settle(run, step, item, progress, last, deps);
  }
  return stillAsking(rows);
}

/** The step is not run for nothing: only where one of its own questions has an answer it has not heard. */
function stillAsking(rows: readonly WaitRow[]): Instead | undefined {
  const own = rows.filter(({ askedBy }) => askedBy === 'step');
  if (own.some(({ state, told, isDue }) => isDue || (state === 'answered' && !told))) return undefined;
  const open = own.filter(({ state }) => state === 'open');
  if (open.length === 0) return undefined;
  const untilMs = Math.min(...open.map(({ timeoutAt }) => timeoutAt?.getTime() ?? Number.POSITIVE_INFINITY));
  return { kind: 'waiting', untilMs, waitKind: firstShown(open).kind };
}

async function settle(
  run: LiveRun,
  step: CompiledStep,
  item: Item,
  progress: StepProgress,
  row: WaitRow,
  deps: ExecuteDeps,
): Promise<Instead | undefined> {
  const key = { runId: run.claimed.runId, step: row.step, item: row.item, key: row.key };
  const open = row.state === 'open' && !row.isDue;
  if (open) {
    return { kind: 'waiting', untilMs: row.timeoutAt?.getTime() ?? Number.POSITIVE_INFINITY, waitKind: row.kind };
  }
  const settled = row.state === 'open' ? await expire(key, row, deps) : row;
  progress.error ??= (settled.form as { error?: StoredError } | null)?.error ?? null;
  await tellSettled(run, settled, deps);
  if (settled.state === 'timed_out') return giveUp(progress, deps);
  return decide(run, step, item, progress, (await findWait(deps.db, key)) ?? settled, deps);
}

async function decide(
  run: LiveRun,
  step: CompiledStep,
  item: Item,
  progress: StepProgress,
  { decision, data, answeredBy }: WaitRow,
  deps: ExecuteDeps,
): Promise<Instead | undefined> {
  const { error } = progress;
  switch (decision) {
    case 'fail':
      return giveUp(progress, deps);
    case 'skip':
      progress.state = 'skipped';
      progress.output = data ?? undefined;
      progress.finishedAt = new Date(deps.clock.now());
      return { kind: 'skipped', by: answeredBy };
    case 'happened':
      progress.state = 'completed';
      progress.output = data;
      progress.error = null;
      progress.finishedAt = new Date(deps.clock.now());
      return { kind: 'completed' };
    case 'ai_fix': {
      const rule = error === null ? undefined : step.definition.onError?.[error.name];
      if (error === null || rule === undefined) break;
      const end = await repairStep(run, step, item, progress, { error, rule }, deps);
      if (end !== 'again') return end;
      break;
    }
  }
  progress.retries = 0;
  progress.rateLimitedMs = 0;
  progress.notBefore = 0;
  return undefined;
}

/** What a person has given up is for no policy of the run to try again. */
function giveUp(progress: StepProgress, deps: ExecuteDeps): Instead {
  progress.state = 'failed';
  if (progress.error) progress.error = { ...progress.error, class: 'fatal' };
  progress.finishedAt = new Date(deps.clock.now());
  return { kind: 'failed' };
}
