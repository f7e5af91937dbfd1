// Asks a person what becomes of a step that has failed for good or was interrupted: nothing of it is lost meanwhile.
import type { Json } from '../base/json.ts';
import { restoreKept, secretsOfKept } from '../domain/expressions/kept-value.ts';
import type { AskedBy } from '../domain/wait.ts';
import type { AbortReason } from '../steps/api.ts';
import { findWait, openWait } from '../store/waits.ts';
import { tellOpened } from './ask-question.ts';
import type { AttemptsEnd } from './attempts-end.ts';
import type { CompiledStep } from './compiled-pipeline.ts';
import type { ExecuteDeps } from './execute-deps.ts';
import { addWait, type LiveRun, type StepProgress, waitsOf } from './live-run.ts';
import { keepInput } from './step-input.ts';

type Item = { index: number; value: unknown } | undefined;

/** What comes in place of an attempt, or of a failure. */
export type Instead = AttemptsEnd;

/** The question is durable when this returns; the step goes on from its answer. */
export async function askPerson(
  run: LiveRun,
  step: CompiledStep,
  item: Item,
  progress: StepProgress,
  asked: {
    askedBy: AskedBy;
    key?: string;
    choices: readonly string[];
    timeoutMs?: number | undefined;
    /** What was tried before it was asked. */
    tried?: string | undefined;
  },
  deps: ExecuteDeps,
): Promise<Instead> {
  const { runId, token } = run.claimed;
  const { id } = step.definition;
  const { askedBy, choices, timeoutMs = null } = asked;
  const before = waitsOf(run, id, item?.index).filter((row) => row.askedBy === askedBy).length;
  const key = { runId, step: id, item: item?.index ?? -1, key: asked.key ?? `${askedBy}/${before + 1}` };
  const said = `${progress.error?.name ?? 'Error'}: ${progress.error?.message ?? ''}`.slice(0, 3_000);
  const message = asked.tried === undefined ? said : `${asked.tried.slice(0, 900)}. ${said}`;
  const question = { kind: 'manual_edit' as const, message, choices, approvers: null, timeoutMs };
  const form = { error: (progress.error ?? null) as unknown as Json, input: shownInput(run, step, item, deps) };
  const rest = { form, starterMayAnswer: true, onTimeout: 'fail' as const };
  const opened = await openWait(deps.db, { ...key, ...question, ...rest, token, askedBy, attempt: progress.attempts });
  const row = await findWait(deps.db, key);
  const lost: AbortReason = 'lease_lost';
  if (row === undefined) return { kind: 'interrupted', by: lost };
  addWait(run, row);
  // Where this did not open it, an earlier try did whose answer was lost.
  tellOpened(run, key, question, (opened ?? row).timeoutAt, deps);
  return { kind: 'waiting', untilMs: row.timeoutAt?.getTime() ?? Number.POSITIVE_INFINITY, waitKind: 'manual_edit' };
}

const longestInput = 524_288;

/** The step's input as people may see it: evaluated, with secrets as the references they are in the file. */
export function shownInput(run: LiveRun, step: CompiledStep, item: Item, deps: ExecuteDeps): Json {
  const kept = keepInput(run, step, item, deps);
  if (!kept.ok) return null;
  const references = secretsOfKept(kept.value).map((name) => [name, `\${{ secrets.${name} }}`]);
  const shown = restoreKept(kept.value, Object.fromEntries(references)) as Json;
  return JSON.stringify(shown).length <= longestInput ? shown : null;
}
