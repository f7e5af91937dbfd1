// After an error that its step has a rule for (`on_error`): lets people choose what to do, or a step type repair the input.
import type { Json } from '../base/json.ts';
import type { StoredError } from '../domain/outcome.ts';
import type { OnErrorRule } from '../domain/pipeline.ts';
import type { Attempt } from '../steps/attempt-services.ts';
import type { AttemptResult } from '../steps/observed-step.ts';
import { findWait, openWait, type WaitRow } from '../store/waits.ts';
import { askPerson, type Instead, shownInput } from './ask-person.ts';
import { note } from './ask-question.ts';
import type { CompiledStep } from './compiled-pipeline.ts';
import type { ExecuteDeps } from './execute-deps.ts';
import { addWait, type LiveRun, type StepProgress, signalOf, waitsOf } from './live-run.ts';
import { evaluateInput } from './step-input.ts';

type Item = { index: number; value: unknown } | undefined;

interface Failure {
  error: StoredError;
  rule: OnErrorRule;
  /** Whether people choose, unless they have chosen repairs before or there is nothing to choose from. */
  asksFirst?: boolean;
}

/** `again`: the step is to run once more, with what was repaired. */
export async function repairStep(
  run: LiveRun,
  step: CompiledStep,
  item: Item,
  progress: StepProgress,
  failure: Failure,
  deps: ExecuteDeps,
): Promise<Instead | 'again'> {
  const { error, rule, asksFirst = false } = failure;
  const rows = waitsOf(run, step.definition.id, item?.index);
  const used = rows.filter(({ askedBy }) => askedBy === 'fix').length;
  const canFix = rule.aiFix !== undefined && rule.choose.includes('ai_fix') && used < rule.aiFix.max;
  const wasChosen = rows.findLast(({ askedBy }) => askedBy === 'error')?.decision === 'ai_fix';
  const isOnlyChoice = rule.choose.length === 1;
  // A repair that failed is for people to hear of before the next.
  const last = rows.at(-1);
  const hasFailed = last?.askedBy === 'fix' && last.decision === 'failed';
  if (!canFix || (asksFirst && !isOnlyChoice && (!wasChosen || hasFailed))) {
    const left = rule.choose.filter((choice) => choice !== 'ai_fix' || canFix);
    const choices = [...(left.length > 0 ? left : ['manual_edit']), 'fail'];
    const asked = { askedBy: 'error' as const, choices, timeoutMs: rule.timeoutMs, tried: whatWasTried(rows, rule) };
    return askPerson(run, step, item, progress, asked, deps);
  }
  const result = await fix(run, step, item, error, used + 1, deps);
  if (result.kind === 'cancelled' || result.kind === 'lease_lost' || result.kind === 'shutdown') {
    return { kind: 'interrupted', by: result.kind };
  }
  const edits = result.kind === 'completed' ? editsOf(result.output, shownInput(run, step, item, deps)) : undefined;
  await keepFix(run, step, item, progress, { n: used + 1, edits, result }, deps);
  // What could not be repaired is for people again, unless nobody wanted to be asked.
  if (edits === undefined) return repairStep(run, step, item, progress, { ...failure, asksFirst: !isOnlyChoice }, deps);
  progress.retries = 0;
  progress.rateLimitedMs = 0;
  progress.notBefore = 0;
  return 'again';
}

/** Why people are asked although repairs were chosen; undefined where they were not. */
function whatWasTried(rows: readonly WaitRow[], { aiFix }: OnErrorRule): string | undefined {
  const fixes = rows.filter(({ askedBy }) => askedBy === 'fix');
  const last = fixes.at(-1);
  if (last === undefined || aiFix === undefined) return undefined;
  const counted = `${fixes.length} of ${aiFix.max} repairs`;
  if (last.decision === 'failed' && rows.at(-1) === last) {
    const why = isObject(last.data) && typeof last.data.error === 'string' ? `: ${last.data.error}` : '';
    return `AI fix failed (${counted})${why}`;
  }
  return fixes.length >= aiFix.max ? `Max retries exceeded (${counted})` : undefined;
}

/** One attempt of the repairing step type; `error` and `input` are names in its `with`. */
async function fix(
  run: LiveRun,
  step: CompiledStep,
  item: Item,
  error: StoredError,
  n: number,
  deps: ExecuteDeps,
): Promise<AttemptResult> {
  const compiled = step.fixes?.get(error.name);
  if (!compiled?.type) return failed('UnknownStepType', 'this node does not have the step type of ai_fix');
  const { name, message, details = null } = error;
  const scope = { ...run.scope, error: { name, message, details }, input: shownInput(run, step, item, deps) };
  const evaluated = await evaluateInput({ ...run, scope, edits: undefined }, compiled.step, item, deps);
  if (!evaluated.ok) return { kind: 'failed', error: evaluated.error };
  const { runId, tenant, pipeline, token } = run.claimed;
  const suffix = item === undefined ? '' : `/${item.index}`;
  const attempt: Attempt = {
    ...{ runId, tenant, pipeline, token, step: step.definition.id, item: item?.index, attempt: n },
    idempotencyKey: `${runId}/${step.definition.id}${suffix}/ai_fix/${n}`,
    dryRun: run.record.dryRun,
    input: evaluated.value,
    env: evaluated.env,
    traceparent: run.record.traceparent ?? undefined,
    timeoutMs: step.definition.timeoutMs,
    signal: signalOf(run),
    secrets: evaluated.secrets,
  };
  return deps.observed.run(compiled.type, attempt);
}

/** The fields of the step's input that the repair has; others, such as what it cost, are its own. */
function editsOf(output: Json, input: Json): Record<string, Json> | undefined {
  if (!isObject(output) || !isObject(input)) return undefined;
  const fields = Object.entries(output).filter(([name]) => Object.hasOwn(input, name));
  return fields.length === 0 ? undefined : Object.fromEntries(fields);
}

/** On record before the step runs with it: a repair is paid for once. */
async function keepFix(
  run: LiveRun,
  step: CompiledStep,
  item: Item,
  progress: StepProgress,
  made: { n: number; edits: Record<string, Json> | undefined; result: AttemptResult },
  deps: ExecuteDeps,
): Promise<void> {
  const { runId, token } = run.claimed;
  const key = { runId, step: step.definition.id, item: item?.index ?? -1, key: `ai_fix/${made.n}` };
  const reason =
    made.result.kind === 'completed' ? 'it gave none of the fields of the input' : made.result.error.message;
  const decision = made.edits === undefined ? 'failed' : 'fixed';
  const data: Json = made.edits === undefined ? { error: reason } : { with: made.edits };
  const question = { kind: 'ai_fix' as const, message: progress.error?.message ?? null, form: null, choices: null };
  const rest = { approvers: null, starterMayAnswer: true, timeoutMs: null, onTimeout: 'fail' as const };
  const answer = { decision, data, by: 'ai_fix' };
  await openWait(deps.db, { ...key, ...question, ...rest, token, askedBy: 'fix', attempt: progress.attempts, answer });
  const row = await findWait(deps.db, key);
  if (row !== undefined) addWait(run, row);
  note(run, key, { event: 'wait.answered', actor: 'ai_fix', data: { key: key.key, kind: 'ai_fix', decision } }, deps);
}

function failed(name: string, message: string): AttemptResult {
  return { kind: 'failed', error: { name, message, class: 'fatal' } };
}

function isObject(value: Json): value is Record<string, Json> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
