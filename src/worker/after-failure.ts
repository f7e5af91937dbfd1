// What becomes of a step that has failed for good: it fails, people decide, or it is repaired.
import { askPerson, type Instead } from './ask-person.ts';
import type { CompiledStep } from './compiled-pipeline.ts';
import type { ExecuteDeps } from './execute-deps.ts';
import type { LiveRun, StepProgress } from './live-run.ts';
import { repairStep } from './repair-step.ts';
import { whileOurs } from './while-ours.ts';

type Item = { index: number; value: unknown } | undefined;

/** What is to happen instead of the failure; undefined: it fails. `again`: it is repaired and runs once more. */
export async function insteadOfFailing(
  run: LiveRun,
  step: CompiledStep,
  item: Item,
  progress: StepProgress,
  deps: ExecuteDeps,
): Promise<Instead | 'again' | undefined> {
  const { error } = progress;
  if (run.cleaningUp || error === null) return undefined;
  const rule = step.definition.onError?.[error.name];
  if (rule !== undefined) {
    return repairStep(run, step, item, progress, { error, rule, asksFirst: true }, whileOurs(run, deps));
  }
  if (exhaustedPolicy(run, step, item) !== 'wait_manual') return undefined;
  const asked = { askedBy: 'exhausted' as const, choices: ['retry', 'skip', 'fail'] };
  return askPerson(run, step, item, progress, asked, whileOurs(run, deps));
}

/** The pipeline's word does not count where a failure is tolerated anyway. */
export function exhaustedPolicy(run: LiveRun, step: CompiledStep, item: Item): 'fail' | 'dead_letter' | 'wait_manual' {
  const { onExhausted, continueOnError, foreach } = step.definition;
  if (onExhausted !== undefined) return onExhausted;
  const isTolerated = continueOnError || (item !== undefined && foreach?.onItemError === 'continue');
  return isTolerated ? 'fail' : (run.compiled.pipeline.onExhausted ?? 'fail');
}
