// Builds what a step is given from one attempt and the host's services; after the attempt has ended nothing passes any more.
import type { Artifact, StepContext } from './api.ts';
import { StepError } from './api.ts';
import { type AttemptLog, createAttemptLog } from './attempt-log.ts';
import type { Attempt, AttemptServices } from './attempt-services.ts';
import { encodeOutput } from './encode-output.ts';
import type { SecretMask } from './secret-mask.ts';
import { storableText } from './storable-text.ts';

export interface ContextHandle {
  readonly ctx: StepContext;
  /** Aborts `ctx.signal`. */
  abort(reason: Error): void;
  /** Ends the log; a step that goes on after its attempt has ended reaches nothing any more. */
  close(): void;
}

const eventType = /^[a-z][a-z0-9_]{0,99}$/;

/** Everything is made on first use: most light steps use nothing but their input. */
export function createStepContext(attempt: Attempt, services: AttemptServices, mask: SecretMask): ContextHandle {
  let controller: AbortController | undefined;
  let abortedBy: Error | undefined;
  let attemptLog: AttemptLog | undefined;
  let workspace: string | undefined;
  let closed = false;

  const logOf = () => {
    attemptLog ??= createAttemptLog((line) => services.log(attempt, line), mask);
    return attemptLog;
  };
  const clean = (text: string) => storableText(mask.text(text));
  /** Async, so that a call after the end rejects instead of throwing where nobody expects it. */
  const whileOpen = async <T>(call: () => Promise<T>): Promise<T> => {
    if (closed) throw new StepError('fatal', `the attempt of ${attempt.step} has ended`, { name: 'AttemptEnded' });
    return call();
  };

  const checkpoint: StepContext['checkpoint'] = {
    load: () => whileOpen(() => services.loadCheckpoint(attempt)),
    save: (state) => whileOpen(() => services.saveCheckpoint(attempt, encodeOutput(state, mask, 'checkpoint').output)),
  };
  const artifacts: StepContext['artifacts'] = {
    put: ({ name, mediaType, content }): Promise<Artifact> =>
      whileOpen(() => {
        const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
        return services.putArtifact(attempt, { name: clean(name), mediaType, content: bytes });
      }),
    get: (id) => whileOpen(() => services.getArtifact(attempt, id)),
  };
  const secrets: StepContext['secrets'] = {
    get: (name) =>
      whileOpen(async () => {
        const value = await services.secret(attempt, name);
        if (value === undefined) {
          throw new StepError('fatal', `there is no secret named ${name}`, { name: 'MissingSecret' });
        }
        mask.add(value);
        return value;
      }),
  };

  const ctx: StepContext = {
    get signal() {
      if (controller === undefined) {
        controller = new AbortController();
        if (abortedBy !== undefined) controller.abort(abortedBy);
      }
      return controller.signal;
    },
    idempotencyKey: attempt.idempotencyKey,
    token: attempt.token,
    attempt: attempt.attempt,
    tenant: attempt.tenant,
    runId: attempt.runId,
    pipeline: attempt.pipeline,
    step: attempt.step,
    item: attempt.item,
    dryRun: attempt.dryRun,
    get workspace() {
      workspace ??= services.workspace(attempt);
      return workspace;
    },
    env: attempt.env,
    get log() {
      return logOf().log;
    },
    output(stream, chunk) {
      if (!closed) logOf().output(stream, chunk);
    },
    progress({ done, total, message }) {
      if (closed) return;
      services.progress(attempt, message === undefined ? { done, total } : { done, total, message: clean(message) });
    },
    checkpoint,
    artifacts,
    secrets,
    sql: (name) => whileOpen(() => services.sql(attempt, name)),
    event(type, data) {
      if (closed) return;
      if (!eventType.test(type)) {
        throw new StepError(
          'fatal',
          `event type is ${JSON.stringify(type)}, expected snake_case of at most 100 characters`,
        );
      }
      services.event(attempt, type, encodeOutput(data, mask, 'event data').output);
    },
    traceparent: attempt.traceparent,
    host: services.host,
  };

  return {
    ctx,
    abort(reason) {
      abortedBy = reason;
      controller?.abort(reason);
    },
    close() {
      attemptLog?.close();
      closed = true;
    },
  };
}
