// Makes child runs out of steps and items: what they are given, which slots they inherit, and how everyone hears of them.
import { derivedIdBeside } from '../base/derived-id.ts';
import type { Database } from '../db/database.ts';
import { type ChildOf, maxDepth, pipelineRunType } from '../domain/child-run.ts';
import { CronwrightError, errorMessage } from '../domain/errors.ts';
import { createNewRun, type NewRun, type NewRunOptions } from '../domain/new-run.ts';
import type { StoredError } from '../domain/outcome.ts';
import type { PipelineCatalog } from '../domain/pipeline-catalog.ts';
import { admitRuns } from '../queue/admit-runs.ts';
import type { NewChild } from '../queue/enqueue-children.ts';
import type { CompiledStep } from './compiled-pipeline.ts';
import type { ExecuteDeps } from './execute-deps.ts';
import type { LiveRun } from './live-run.ts';
import { evaluateInput } from './step-input.ts';

export interface ChildDeps {
  db: Database;
  catalog: Pick<PipelineCatalog, 'get' | 'termsOf'>;
  /** There may be something to claim. */
  onReady: () => void;
  /** Runs of this node, or of another, were asked to end. */
  onRequests: (node: string) => void;
}

/** What telling of children takes. */
export type ChildHost = Pick<ExecuteDeps, 'events' | 'children'>;

/** The items of a child; undefined: the step itself. */
export type Range = { from: number; to: number; values: readonly unknown[] } | undefined;

export type MadeChild = { ok: true; child: NewChild } | { ok: false; error: StoredError };

/** A run of its own for a step, or for items of it, of the run's own pipeline. */
export function makePart(
  run: LiveRun,
  step: CompiledStep,
  range: Range,
  generation: number,
  deps: ExecuteDeps,
): MadeChild {
  const { pipeline } = run.compiled;
  const terms = { ...deps.children.catalog.termsOf(pipeline), weight: step.type?.weight ?? 'heavy' };
  // The inputs stay with the parent: there may be thousands of children.
  const at = range ? { ...range, generation } : { from: -1, to: 0, generation };
  return makeChild(run, step, at, true, (options) =>
    createNewRun({ ...pipeline, inputs: {} }, terms, { ...options, queue: queueOf(run, step) ?? run.claimed.queue }),
  );
}

/** A run of another pipeline, as `pipeline.run` asks for it. */
export async function makeRunOfPipeline(
  run: LiveRun,
  step: CompiledStep,
  item: { index: number; value: unknown } | undefined,
  generation: number,
  deps: ExecuteDeps,
): Promise<MadeChild & { isAwaited?: boolean }> {
  if (step.input.secrets.length > 0) {
    return refuse(
      'SecretInInputs',
      'inputs of runs are stored: name the secret in the pipeline that needs it, not here',
    );
  }
  const input = await evaluateInput(run, step, item, deps);
  if (!input.ok) return { ok: false, error: input.error };
  const wanted = readPipelineRun(input.value);
  if (typeof wanted === 'string') return refuse('InvalidInput', wanted);
  const { tenant } = run.claimed;
  const pipeline = deps.children.catalog.get(tenant, wanted.pipeline);
  if (!pipeline) return refuse('UnknownPipeline', `there is no pipeline "${wanted.pipeline}" of tenant "${tenant}"`);
  const at =
    item === undefined ? { from: -1, to: 0, generation } : { from: item.index, to: item.index + 1, generation };
  const made = makeChild(run, step, at, false, (options) =>
    createNewRun(pipeline, deps.children.catalog.termsOf(pipeline), {
      ...options,
      inputs: wanted.inputs,
      priority: wanted.priority ?? options.priority,
      queue: queueOf(run, step),
    }),
  );
  if (made.ok) made.child.isAwaited = wanted.wait;
  return made;
}

/** `cronwright run` has a queue of its own, and nobody else to leave anything to. */
function queueOf({ claimed }: LiveRun, { definition }: CompiledStep): string | undefined {
  return /^run-\d+$/.test(claimed.queue) ? claimed.queue : definition.queue;
}

/** `place` tells children of one step apart; without one, their first item does. */
export function makeChild(
  run: LiveRun,
  step: CompiledStep,
  at: { place?: string; from: number; to: number; generation: number; values?: readonly unknown[] },
  isPart: boolean,
  create: (options: NewRunOptions) => NewRun,
): MadeChild {
  const { claimed, record } = run;
  const { id } = step.definition;
  const depth = (record.child?.depth ?? 0) + 1;
  if (depth > maxDepth) {
    return refuse('TooDeep', `runs may start runs ${maxDepth} levels deep; is there a circle of ${pipelineRunType}?`);
  }
  // What the parent holds is held for its children too, or a limit of 1 would wait for itself.
  const held = [...new Set([...(claimed.limits ?? []), ...(record.child?.held ?? [])])];
  try {
    const made = create({
      origin: 'parent',
      priority: claimed.priority,
      dryRun: record.dryRun,
      actor: record.actor ?? undefined,
      parentId: claimed.runId,
      traceparent: run.span.traceparent ?? record.traceparent ?? undefined,
    });
    const child: ChildOf = {
      step: id,
      from: at.from,
      to: at.to,
      generation: at.generation,
      depth,
      held,
      ...(isPart && at.values ? { items: at.values } : {}),
    };
    const limits = made.limits.filter((key) => !held.includes(key));
    return {
      ok: true,
      child: {
        run: { ...made, id: derivedIdBeside(claimed.runId, `${id}/${at.place ?? at.from}/${at.generation}`), limits },
        child,
        isPart,
        isAwaited: true,
      },
    };
  } catch (error) {
    if (error instanceof CronwrightError && error.code === 'invalid_input') {
      return refuse('InvalidInput', errorMessage(error));
    }
    throw error;
  }
}

interface WantedRun {
  pipeline: string;
  inputs: Record<string, unknown>;
  priority: number | undefined;
  wait: boolean;
}

/** The values are expressions' until now: the step type's own schema has only seen what is plain. */
function readPipelineRun(value: unknown): WantedRun | string {
  const { pipeline, inputs = {}, priority, wait = true } = value as Record<string, unknown>;
  if (typeof pipeline !== 'string') return `pipeline is of type ${typeof pipeline}, expected the id of a pipeline`;
  if (typeof inputs !== 'object' || inputs === null || Array.isArray(inputs)) return 'inputs is no object';
  if (typeof wait !== 'boolean') return `wait is of type ${typeof wait}, expected boolean`;
  if (priority !== undefined && typeof priority !== 'number') return 'priority is no number';
  return { pipeline, inputs: inputs as Record<string, unknown>, priority, wait };
}

function refuse(name: string, message: string): { ok: false; error: StoredError } {
  return { ok: false, error: { name, message, class: 'fatal' } };
}

/** Tells of runs that are durable now, and gives them slots; the sweep admits what this could not. */
export async function announceChildren(children: readonly NewChild[], deps: ChildHost): Promise<void> {
  for (const { run } of children) {
    deps.events.emit('run.enqueued', {
      runId: run.id,
      tenant: run.tenant,
      pipeline: run.pipeline,
      origin: run.origin,
      queue: run.queue,
      ...(run.actor === null ? {} : { actor: run.actor }),
      ...(run.parentId === null ? {} : { parentId: run.parentId }),
    });
  }
  const keys = new Map<string, { tenant: string; key: string }>();
  for (const { run } of children)
    for (const key of run.limits) keys.set(`${run.tenant} ${key}`, { tenant: run.tenant, key });
  try {
    await admitRuns(deps.children.db, [...keys.values()]);
  } catch (error) {
    deps.events.emit('service.crashed', { service: 'admit', error: String(error) });
  }
  deps.children.onReady();
}
