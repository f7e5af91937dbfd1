// Asks a step type what a call with this input is likely to cost and take; it has no run, and must change nothing.
import { uuidv7 } from 'uuidv7';
import type { StepEstimate } from '../steps/api.ts';
import type { Attempt, AttemptServices } from '../steps/attempt-services.ts';
import { parseWithSchema } from '../steps/parse-with-schema.ts';
import type { Registry } from '../steps/registry.ts';
import { SecretMask } from '../steps/secret-mask.ts';
import { AttemptContext } from '../steps/step-context.ts';

export interface StepQuestion {
  tenant: string;
  pipeline: string;
  step: string;
  /** As the pipeline gives it. */
  input: unknown;
}

const longestMs = 10_000;

export type EstimateStep = (stepType: string, asked: StepQuestion) => Promise<StepEstimate | undefined>;

/** What cannot be estimated is undefined, whatever the reason: the run itself will say what is wrong with it. */
export function createEstimateStep(registry: Registry, services: AttemptServices): EstimateStep {
  return async (stepType, { tenant, pipeline, step, input }) => {
    const definition = registry.get(stepType)?.definition;
    if (definition?.estimate === undefined) return undefined;
    const runId = uuidv7();
    const attempt: Attempt = {
      ...{ runId, tenant, pipeline, step, item: undefined, attempt: 1, token: 0, idempotencyKey: `${runId}/${step}` },
      ...{ dryRun: true, input, env: {}, traceparent: undefined, timeoutMs: longestMs, secrets: [] },
      signal: AbortSignal.timeout(longestMs),
    };
    const ctx = new AttemptContext(attempt, services, new SecretMask([]));
    try {
      const parsed = await parseWithSchema(definition.input, input, 'input');
      const overdue = new Promise<undefined>((resolve) => {
        attempt.signal.addEventListener('abort', () => resolve(undefined), { once: true });
      });
      return read(await Promise.race([definition.estimate(ctx, parsed), overdue]));
    } catch {
      return undefined;
    } finally {
      AttemptContext.end(ctx);
    }
  };
}

function read(said: StepEstimate | undefined): StepEstimate | undefined {
  const isFigure = (value: unknown) => value === undefined || (typeof value === 'number' && value >= 0 && value < 1e12);
  return said !== undefined && isFigure(said.usd) && isFigure(said.durationMs) ? said : undefined;
}
