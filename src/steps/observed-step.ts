// Runs one attempt of a step and says what it came to, as a value; whoever listens to events sees it begin and end.
import { setMaxListeners } from 'node:events';
import { type Clock, systemClock } from '../base/clock.ts';
import type { StoredError } from '../domain/outcome.ts';
import { type AskedKind, firstShown } from '../domain/wait.ts';
import type { EventBus } from '../observe/events.ts';
import { abortReasonOf, createAbortError } from './abort-reason.ts';
import type { AbortReason, Json, StepContext } from './api.ts';
import type { Attempt, AttemptServices } from './attempt-services.ts';
import { toStoredError } from './classify-error.ts';
import { encodeOutput } from './encode-output.ts';
import { type ProcessLimits, runInProcess } from './isolation/run-in-process.ts';
import { parseWithSchema } from './parse-with-schema.ts';
import type { RegisteredStep } from './registry.ts';
import { SecretMask } from './secret-mask.ts';
import { AttemptContext } from './step-context.ts';
import { abandonAfterMs, maxTimerMs } from './step-limits.ts';
import { ownStrays } from './stray-errors.ts';

export type AttemptResult =
  | { kind: 'completed'; output: Json; outputJson: string }
  | { kind: 'failed'; error: StoredError }
  /** Ended by a question: neither a failure nor one of its tries. The question is durable; `error` is what the step threw. */
  | { kind: 'wait'; waitKind: AskedKind | 'children'; untilMs: number; error: StoredError }
  /** `step`: the attempt's own timeout (class transient). `run`: the signal said that the run's time is up (class fatal). */
  | { kind: 'timeout'; scope: 'step' | 'run'; error: StoredError; abandoned: boolean }
  | { kind: 'cancelled' | 'lease_lost' | 'shutdown'; error: StoredError; abandoned: boolean };

export interface ObservedStep {
  /**
   * Never rejects. A step that returns in spite of an aborted signal has completed: what it did is done. One that goes on
   * for longer than the grace is left behind (`abandoned`). Where the attempt is a compensation, `compensate` runs, and the
   * output is null.
   */
  run(step: RegisteredStep, attempt: Attempt): Promise<AttemptResult>;
}

export interface ObservedStepOptions {
  services: AttemptServices;
  events: EventBus;
  clock?: Clock;
  /** Milliseconds between the abort and going on without the step; default 5,000. */
  abandonAfterMs?: number;
  /** For steps in a process of their own. */
  process?: ProcessLimits;
}

export function createObservedStep(options: ObservedStepOptions): ObservedStep {
  const clock = options.clock ?? systemClock;
  return {
    async run(step, attempt) {
      const startedAt = clock.monotonic();
      const about = describe(step, attempt);
      if (attempt.compensation === undefined) options.events.emit('step.started', about);
      const result = await attemptStep(step, attempt, options);
      const finished = { ...about, result: resultWord(result), durationMs: clock.monotonic() - startedAt };
      options.events.emit(
        attempt.compensation === undefined ? 'step.finished' : 'step.compensation_finished',
        result.kind === 'completed' || result.kind === 'wait'
          ? finished
          : { ...finished, error: `${result.error.name}: ${result.error.message}` },
      );
      return result;
    },
  };
}

async function attemptStep(
  step: RegisteredStep,
  attempt: Attempt,
  options: ObservedStepOptions,
): Promise<AttemptResult> {
  const mask = new SecretMask(attempt.secrets);
  if (attempt.signal.aborted) return interruptedResult({ by: asError(attempt.signal.reason), scope: 'run' }, false);
  const ctx = new AttemptContext(attempt, options.services, mask);
  let interruption: Interruption | undefined;
  const onInterrupted = (by: Interruption) => {
    interruption = by;
    AttemptContext.abort(ctx, by.by);
  };
  try {
    const parsedInput = parseWithSchema(step.definition.input, attempt.input, 'input');
    const input = parsedInput instanceof Promise ? await parsedInput : parsedInput;
    if (attempt.dryRun && mustNotRunDry(step)) {
      ctx.log.info(
        `dry run: ${step.id} changes things outside and declares no dryRun: it was not run, its output is null`,
      );
      return { kind: 'completed', output: null, outputJson: 'null' };
    }
    const running = execute(step, ctx, input, attempt, options);
    const returned = isThenable(running) ? await race(running, attempt, options, onInterrupted) : running;
    const waits = waitResult(ctx, interruption);
    if (waits) return waits;
    if (returned === abandoned && interruption !== undefined) {
      const said = abortReasonOf(interruption.by);
      ctx.log.warn(`the step did not end after its signal said ${said}; going on without it, it may still be running`);
      return interruptedResult(interruption, true);
    }
    if (attempt.compensation !== undefined) return { kind: 'completed', output: null, outputJson: 'null' };
    const parsed = parseWithSchema(step.definition.output, returned, 'output');
    const encoded = encodeOutput(parsed instanceof Promise ? await parsed : parsed, mask);
    return { kind: 'completed', output: encoded.output, outputJson: encoded.outputJson };
  } catch (thrown) {
    const waits = waitResult(ctx, interruption);
    if (waits) return waits;
    if (interruption !== undefined) return interruptedResult(interruption, false);
    return { kind: 'failed', error: toStoredError(thrown, mask) };
  } finally {
    AttemptContext.end(ctx);
  }
}

/** Whatever the step did with what `suspend` threw, its attempt is a wait; only what ends the run ends it otherwise. */
function waitResult(ctx: AttemptContext, interruption: Interruption | undefined): AttemptResult | undefined {
  const open = AttemptContext.openQuestions(ctx);
  if (open === undefined || interruption?.scope === 'run') return undefined;
  const { kind, key } = firstShown(open);
  const untilMs = Math.min(...open.map((one) => one.untilMs));
  const error: StoredError = { name: 'Suspended', message: `the attempt waits for ${key}`, class: 'fatal' };
  return { kind: 'wait', waitKind: kind, untilMs, error };
}

/** Whether it looks at `ctx.dryRun` is not known otherwise, and what is done outside cannot be taken back. */
function mustNotRunDry(step: RegisteredStep): boolean {
  return step.effects === 'outside' && step.definition.dryRun !== 'handled';
}

/** A plugin's process parses the input again, so it gets it as it was written; a program gets it with its defaults. */
function execute(
  step: RegisteredStep,
  ctx: StepContext,
  input: unknown,
  attempt: Attempt,
  options: ObservedStepOptions,
): unknown {
  const { compensation } = attempt;
  if (step.isolation === 'inline') {
    if (step.source.kind !== 'built-in') return ownStrays(() => runInline(step, ctx, input, compensation));
    return runInline(step, ctx, input, compensation);
  }
  return runInProcess(step, ctx, step.command ? input : attempt.input, options.process, compensation);
}

function runInline(
  { definition }: RegisteredStep,
  ctx: StepContext,
  input: unknown,
  compensation: Attempt['compensation'],
): unknown {
  return compensation === undefined
    ? definition.run(ctx, input)
    : definition.compensate?.(ctx, input, compensation.output);
}

interface Interruption {
  /** Its name is an AbortReason. */
  by: Error;
  /** `step`: the attempt's own timeout. */
  scope: 'step' | 'run';
}

const abandoned = Symbol('abandoned');

/** Waits for the step, its timeout or the attempt's signal; after an abort the step has the grace to end by itself. */
function race(
  running: PromiseLike<unknown>,
  attempt: Attempt,
  options: ObservedStepOptions,
  onInterrupted: (by: Interruption) => void,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    let isInterrupted = false;
    const end = () => {
      clearTimeout(timer);
      attempt.signal.removeEventListener('abort', onAbort);
    };
    const interrupt = (by: Error, scope: Interruption['scope']) => {
      if (isInterrupted) return;
      isInterrupted = true;
      end();
      timer = setTimeout(() => resolve(abandoned), options.abandonAfterMs ?? abandonAfterMs);
      onInterrupted({ by, scope });
    };
    const onAbort = () => interrupt(asError(attempt.signal.reason), 'run');
    const { timeoutMs } = attempt;
    if (timeoutMs > 0 && Number.isFinite(timeoutMs)) {
      const onTimeout = () =>
        interrupt(createAbortError('timeout', `the step took longer than ${timeoutMs} ms`), 'step');
      timer = setTimeout(onTimeout, Math.min(timeoutMs, maxTimerMs));
    }
    // The signal may have aborted while the step ran its first, synchronous part.
    if (attempt.signal.aborted) onAbort();
    else {
      // All items of a fan-out listen to the signal of their run: Node would take more than ten for a leak.
      setMaxListeners(0, attempt.signal);
      attempt.signal.addEventListener('abort', onAbort, { once: true });
    }
    running.then(
      (value) => {
        end();
        resolve(value);
      },
      (error: unknown) => {
        end();
        reject(error);
      },
    );
  });
}

function interruptedResult({ by, scope }: Interruption, isAbandoned: boolean): AttemptResult {
  const reason = abortReasonOf(by);
  const error: StoredError = { name: errorNames[reason], message: by.message, class: 'transient' };
  switch (reason) {
    case 'timeout':
      // The time of a whole run is not given a second time, unless its policy names TimeoutError.
      return {
        kind: 'timeout',
        scope,
        error: { ...error, class: scope === 'step' ? 'transient' : 'fatal' },
        abandoned: isAbandoned,
      };
    case 'cancelled':
      return { kind: 'cancelled', error: { ...error, class: 'fatal' }, abandoned: isAbandoned };
    default:
      return { kind: reason, error, abandoned: isAbandoned };
  }
}

const errorNames: Record<AbortReason, string> = {
  cancelled: 'Cancelled',
  timeout: 'TimeoutError',
  lease_lost: 'LeaseLost',
  shutdown: 'Shutdown',
};

/** A reason that a plugin can rely on, whatever the signal was aborted with. */
function asError(reason: unknown): Error {
  const known = abortReasonOf(reason);
  return reason instanceof Error && reason.name === known ? reason : createAbortError(known);
}

function describe(step: RegisteredStep, attempt: Attempt) {
  const { runId, tenant, pipeline, item } = attempt;
  const about = { runId, tenant, pipeline, step: attempt.step, stepType: step.id, attempt: attempt.attempt };
  return item === undefined ? about : { ...about, item };
}

function resultWord(result: AttemptResult): string {
  if (result.kind === 'completed') return 'success';
  if (result.kind === 'wait') return 'wait';
  if (result.kind === 'failed') return 'failure';
  return result.kind === 'timeout' ? 'timeout' : 'cancellation';
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}
