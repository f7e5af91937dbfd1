// Tries one step (or one item of a fan-out) until it completes, gives up, waits long or is interrupted.
import { sleepUnlessAborted } from '../base/service.ts';
import { errorMessage } from '../domain/errors.ts';
import type { StoredError } from '../domain/outcome.ts';
import { decideRetry, workerHoldMs } from '../domain/retry-policy.ts';
import { noSpan, type OpenSpan, startStepSpan } from '../observe/trace.ts';
import { abortReasonOf } from '../steps/abort-reason.ts';
import type { Attempt } from '../steps/attempt-services.ts';
import type { AttemptResult } from '../steps/observed-step.ts';
import { stepTimeoutMs } from './adaptive-timeouts.ts';
import { insteadOfFailing } from './after-failure.ts';
import type { AttemptsEnd } from './attempts-end.ts';
import type { CompiledStep } from './compiled-pipeline.ts';
import type { ExecuteDeps } from './execute-deps.ts';
import { flushRun } from './flush-run.ts';
import { isHolding, type LiveRun, noteStep, noteTransition, type StepProgress, signalOf } from './live-run.ts';
import { resumeWait } from './resume-wait.ts';
import { limitAfter, notCalled, rateLimitKeyOf, spreadMs } from './shared-rate-limits.ts';
import { evaluateInput, keepInput } from './step-input.ts';
import { attemptKey } from './step-key.ts';
import { whileOurs } from './while-ours.ts';

export type { AttemptsEnd };

/** The end of the year 9999: what asks for a later time gets this one, which every database can store. */
const latestMs = 253_402_300_799_000;

/** Leaves what came of it in `progress`; noting and flushing the outcome is the caller's. */
export async function runAttempts(
  run: LiveRun,
  step: CompiledStep,
  item: { index: number; value: unknown } | undefined,
  progress: StepProgress,
  deps: ExecuteDeps,
): Promise<AttemptsEnd> {
  const signal = signalOf(run);
  let rateLimitedInARow = 0;
  if (run.waits !== undefined || run.interrupted !== undefined) {
    if (!signal.aborted && isHolding(run)) return { kind: 'paused' };
    const instead = signal.aborted ? undefined : await resumeWait(run, step, item, progress, whileOurs(run, deps));
    if (instead) return instead;
  }
  for (;;) {
    const ended = interruption(run, signal, progress, deps);
    if (ended) return ended;
    const held = progress.notBefore - deps.clock.now();
    if (held > workerHoldMs) {
      const waitKind = progress.error?.class === 'rate_limited' ? 'rate_limit' : 'step_retry';
      return { kind: 'waiting', untilMs: progress.notBefore, waitKind };
    }
    if (isHolding(run)) return { kind: 'paused' };
    if (held > 0) {
      await sleepUnlessAborted(held, signal);
      // A pause may have come meanwhile.
      continue;
    }
    const span = openAttemptSpan(run, step, item?.index, progress.attempts + 1);
    const call: Call = { key: undefined, isHeldBack: false };
    const { startedAt } = progress;
    const result = await attemptOnce(run, step, item, progress, signal, span, call, deps);
    // What was never called is not undone, and may still be taken from the cache.
    if (call.isHeldBack) progress.startedAt = startedAt;
    if (result.kind === 'completed') {
      span.end('success');
      progress.state = 'completed';
      progress.output = result.output;
      progress.error = null;
      progress.finishedAt = new Date(deps.clock.now());
      return { kind: 'completed' };
    }
    if (result.kind === 'lease_lost' || result.kind === 'shutdown' || result.kind === 'cancelled') {
      span.end('cancellation', result.error);
      // Not a failure: the attempt is not counted, and the step starts again elsewhere.
      if (result.kind === 'shutdown') progress.attempts -= 1;
      return { kind: 'interrupted', by: result.kind };
    }
    if (result.kind === 'wait') {
      span.end('success');
      // Asking is no try: the step begins again with the answer.
      progress.attempts -= 1;
      return { kind: 'waiting', untilMs: result.untilMs, waitKind: result.waitKind };
    }
    const { error } = result;
    rateLimitedInARow = error.class === 'rate_limited' ? rateLimitedInARow + 1 : 0;
    const decision = decideRetry(step.definition.retry, { ...progress, rateLimitedInARow }, error, deps.random());
    const isOver = decision.kind === 'give_up' || (result.kind === 'timeout' && result.scope === 'run');
    progress.error = error;
    const word = result.kind === 'timeout' ? 'timeout' : 'failure';
    if (isOver) {
      span.end(word, error);
      const isOutOfTime = result.kind === 'timeout' && result.scope === 'run';
      const instead = isOutOfTime ? undefined : await insteadOfFailing(run, step, item, progress, deps);
      if (instead === 'again') continue;
      return instead ?? failed(progress, deps);
    }
    progress.retries = decision.retries;
    progress.rateLimitedMs = decision.rateLimitedMs;
    progress.notBefore = Math.min(deps.clock.now() + decision.delayMs, latestMs);
    const key = error.class === 'rate_limited' ? (error.key ?? call.key) : undefined;
    if (key !== undefined) progress.error = { ...error, key };
    if (call.isHeldBack) {
      span.end('success');
      noteHeldBack(run, step, item?.index, progress, error, deps);
      continue;
    }
    if (key !== undefined) {
      const limit = limitAfter(run, key, error, step.definition.retry, deps);
      progress.notBefore += spreadMs(limit, deps);
      await deps.rateLimits.close(limit);
    }
    span.within(() => noteRetry(run, step, item?.index, progress, error, decision.delayMs, deps));
    span.event('retry', { 'cronwright.delay_ms': decision.delayMs, 'cronwright.error_class': error.class });
    span.end(word, error);
  }
}

function openAttemptSpan(run: LiveRun, step: CompiledStep, item: number | undefined, attempt: number): OpenSpan {
  if (run.span === noSpan) return noSpan;
  const { id, uses } = step.definition;
  return startStepSpan(run.span, { step: id, stepType: uses, attempt, item });
}

function failed(progress: StepProgress, deps: ExecuteDeps): AttemptsEnd {
  progress.state = 'failed';
  progress.finishedAt = new Date(deps.clock.now());
  return { kind: 'failed' };
}

/** What is known of the call that an attempt makes. */
interface Call {
  /** What it is limited with. */
  key: string | undefined;
  /** It was not made: another run was told to wait. */
  isHeldBack: boolean;
}

async function attemptOnce(
  run: LiveRun,
  step: CompiledStep,
  item: { index: number; value: unknown } | undefined,
  progress: StepProgress,
  signal: AbortSignal,
  span: OpenSpan,
  call: Call,
  deps: ExecuteDeps,
): Promise<AttemptResult> {
  progress.state = 'running';
  progress.notBefore = 0;
  progress.attempts += 1;
  progress.startedAt ??= new Date(deps.clock.now());
  const { definition, type } = step;
  if (!type) {
    return fatal(
      'UnknownStepType',
      `this node has no step type ${definition.uses}; is its plugin listed in the configuration?`,
    );
  }
  const evaluated = evaluateInput(run, step, item, deps);
  const input = evaluated instanceof Promise ? await evaluated : evaluated;
  if (!input.ok) return { kind: 'failed', error: input.error };
  if (step.rateLimitKey || type.definition.rateLimitKey) {
    const refused = await holdBack(run, step, item, input, call, deps);
    if (refused) return { kind: 'failed', error: refused };
  }
  // What may change something outside is on record before it can.
  if (type.effects === 'outside') {
    const running = run.running.get(definition.id);
    if (running && item === undefined) running.toldAt = true;
    noteStep(run, step, item?.index, progress, { event: 'step.started', attempt: progress.attempts }, deps.clock);
    if (!(await flushRun(run, deps))) return { kind: 'lease_lost', error: leaseLost, abandoned: false };
  }
  const { runId, tenant, pipeline, token } = run.claimed;
  const attempt: Attempt = {
    runId,
    tenant,
    pipeline,
    step: definition.id,
    item: item?.index,
    attempt: progress.attempts,
    token,
    // A child does its parent's work: another child that does it again has the same key.
    idempotencyKey: attemptKey(run, definition.id, item?.index, run.part?.parentId),
    dryRun: run.record.dryRun,
    input: input.value,
    env: input.env,
    // Where no spans are made here, the caller's trace is passed on and does not break off.
    traceparent: span.traceparent ?? run.record.traceparent ?? undefined,
    timeoutMs: stepTimeoutMs(run, step),
    ...(definition.limits ? { limits: definition.limits } : {}),
    signal,
    secrets: input.secrets,
    keepInput: () => keepInput(run, step, item, deps),
  };
  return span.within(() => deps.observed.run(type, attempt));
}

/** Before a call: the error that stands for it where it is not made. */
async function holdBack(
  run: LiveRun,
  step: CompiledStep,
  item: { index: number; value: unknown } | undefined,
  input: { value: unknown; secrets: readonly string[] },
  call: Call,
  deps: ExecuteDeps,
): Promise<StoredError | undefined> {
  const key = rateLimitKeyOf(run, step, item, input);
  if (typeof key === 'object') return key.error;
  call.key = key;
  if (key === undefined) return undefined;
  const found = deps.rateLimits.find(run.claimed.tenant, key);
  const limit = found instanceof Promise ? await found : found;
  if (!limit) return undefined;
  call.isHeldBack = true;
  return notCalled(limit, deps);
}

const leaseLost: StoredError = {
  name: 'LeaseLost',
  message: 'the run now belongs to another worker',
  class: 'transient',
};

function fatal(name: string, message: string): AttemptResult {
  return { kind: 'failed', error: { name, message, class: 'fatal' } };
}

/** What ends the attempts before the next one begins; a run that is out of time fails its steps. */
function interruption(
  run: LiveRun,
  signal: AbortSignal,
  progress: StepProgress,
  deps: ExecuteDeps,
): AttemptsEnd | undefined {
  if (!signal.aborted) return undefined;
  const reason: unknown = signal.reason;
  const by = run.abortedBy === 'lease_lost' ? 'lease_lost' : abortReasonOf(reason);
  if (by !== 'timeout') return { kind: 'interrupted', by };
  progress.error = { name: 'TimeoutError', message: errorMessage(reason), class: 'fatal' };
  return failed(progress, deps);
}

/** It was no attempt: nothing was called. */
function noteHeldBack(
  run: LiveRun,
  step: CompiledStep,
  item: number | undefined,
  progress: StepProgress,
  error: StoredError,
  deps: ExecuteDeps,
): void {
  progress.attempts -= 1;
  progress.state = 'pending';
  const about = { step: step.definition.id, ...(item === undefined ? {} : { item }) };
  deps.logs.say(run.claimed, 'info', error.message, about);
}

function noteRetry(
  run: LiveRun,
  step: CompiledStep,
  item: number | undefined,
  progress: StepProgress,
  error: StoredError,
  delayMs: number,
  deps: ExecuteDeps,
): void {
  const id = step.definition.id;
  const reason = `${error.name}: ${error.message}`;
  noteTransition(
    run,
    {
      event: 'step.retried',
      step: id,
      ...(item === undefined ? {} : { item }),
      attempt: progress.attempts,
      reason,
      data: { delay_ms: delayMs, class: error.class },
    },
    deps.clock,
  );
  deps.logs.say(run.claimed, 'warn', `attempt ${progress.attempts} failed (${reason}); next try in ${delayMs} ms`, {
    step: id,
    ...(item === undefined ? {} : { item }),
    attempt: progress.attempts,
  });
  deps.events.emit('step.retried', {
    runId: run.claimed.runId,
    tenant: run.claimed.tenant,
    step: id,
    stepType: step.definition.uses,
    class: error.class,
    delayMs,
    error: reason,
  });
}
