// A step with `cache` is not run where its key has completed before: it takes the output of that time, and says so.
import { createHash } from 'node:crypto';
import { errorMessage } from '../domain/errors.ts';
import type { StoredError } from '../domain/outcome.ts';
import { type CachedResult, type CacheKey, findCachedResult, keepCachedResult } from '../store/step-cache.ts';
import type { CompiledStep } from './compiled-pipeline.ts';
import type { ExecuteDeps } from './execute-deps.ts';
import { flushRun } from './flush-run.ts';
import type { LiveRun, StepProgress } from './live-run.ts';
import { type AttemptsEnd, runAttempts } from './run-attempts.ts';
import { RunLostError, whileOurs } from './while-ours.ts';

type Item = { index: number; value: unknown } | undefined;

/**
 * Takes the stored result of the step or item, or carries it out by `orElse`. A dry run has no part in it: its outputs are not
 * real. What has begun is carried on with.
 */
export function takeOrRun(
  run: LiveRun,
  step: CompiledStep,
  item: Item,
  progress: StepProgress,
  deps: ExecuteDeps,
  orElse: () => Promise<AttemptsEnd> = () => runAttempts(run, step, item, progress, deps),
): Promise<AttemptsEnd> {
  const hasBegun = progress.attempts > 0 || progress.startedAt !== null;
  const isAsked = step.cacheKey !== undefined && !hasBegun && deps.usesCache && !run.record.dryRun;
  return isAsked ? lookThenRun(run, step, item, progress, deps, orElse) : orElse();
}

async function lookThenRun(
  run: LiveRun,
  step: CompiledStep,
  item: Item,
  progress: StepProgress,
  deps: ExecuteDeps,
  orElse: () => Promise<AttemptsEnd>,
): Promise<AttemptsEnd> {
  const key = cacheKeyOf(run, step, item, deps);
  if (key && 'error' in key) {
    progress.state = 'failed';
    progress.error = key.error;
    progress.finishedAt = new Date(deps.clock.now());
    return { kind: 'failed' };
  }
  const found = key && (await look(run, step, item, key, deps));
  if (!found) return orElse();
  progress.state = 'completed';
  progress.output = found.output;
  progress.error = null;
  // It has not begun in this run: there is nothing to undo, and no time it took.
  progress.startedAt = null;
  progress.finishedAt = new Date(deps.clock.now());
  progress.cachedFrom = { run_id: found.runId, step: found.step, at: found.completedAt.toISOString() };
  const text = `not run: the same key completed at ${progress.cachedFrom.at} in run ${found.runId}; its output is taken`;
  deps.logs.say(run.claimed, 'info', text, about(step, item));
  return { kind: 'completed' };
}

/** Keeps what the step or item has just come to for later runs. Where that fails the run goes on: it is only slower. */
export async function keepResult(
  run: LiveRun,
  step: CompiledStep,
  item: Item,
  progress: StepProgress,
  deps: ExecuteDeps,
): Promise<void> {
  const rule = step.definition.cache;
  if (!rule || !deps.usesCache || run.record.dryRun || progress.cachedFrom !== undefined) return;
  const key = cacheKeyOf(run, step, item, deps);
  if (!key || 'error' in key || !(await flushRun(run, deps))) return;
  const { runId, token } = run.claimed;
  try {
    const from = { runId, token, step: step.definition.id, item: item?.index ?? -1 };
    await keepCachedResult(whileOurs(run, deps).db, key, from, rule.ttlMs);
  } catch (error) {
    if (error instanceof RunLostError) throw error;
    deps.logs.say(
      run.claimed,
      'warn',
      `the result could not be kept for later: ${errorMessage(error)}`,
      about(step, item),
    );
  }
}

async function look(
  run: LiveRun,
  step: CompiledStep,
  item: Item,
  key: CacheKey,
  deps: ExecuteDeps,
): Promise<CachedResult | undefined> {
  try {
    return await findCachedResult(whileOurs(run, deps).db, key);
  } catch (error) {
    if (error instanceof RunLostError) throw error;
    deps.logs.say(run.claimed, 'warn', `the cache could not be asked: ${errorMessage(error)}`, about(step, item));
    return undefined;
  }
}

/** Undefined where the key comes to nothing (null, or empty): nothing is known of what the result depends on. */
function cacheKeyOf(
  run: LiveRun,
  { definition, type, cacheKey, env }: CompiledStep,
  item: Item,
  deps: ExecuteDeps,
): CacheKey | { error: StoredError } | undefined {
  if (!cacheKey || !definition.cache) return undefined;
  const own = env.secrets.length === 0 ? env.evaluate(run.scope) : undefined;
  if (own && !own.ok) return { error: own.error };
  const scope = { ...run.scope, env: { ...deps.baseEnv, ...((own?.value ?? {}) as Record<string, string>) } };
  const said = cacheKey.evaluate(item === undefined ? scope : { ...scope, item: item.value, index: item.index });
  if (!said.ok) return { error: { ...said.error, message: `cache.key: ${said.error.message}` } };
  if (said.value === null || said.value === undefined || said.value === '') return undefined;
  // Another version of the plugin may come to something else.
  const content = JSON.stringify([type?.pluginVersion ?? '', said.value]);
  return {
    tenant: run.claimed.tenant,
    stepType: definition.uses,
    scope: definition.cache.scope === 'tenant' ? '' : run.claimed.pipeline,
    key: createHash('sha256').update(content).digest('hex'),
  };
}

function about(step: CompiledStep, item: Item): { step: string; item?: number } {
  return item === undefined ? { step: step.definition.id } : { step: step.definition.id, item: item.index };
}
