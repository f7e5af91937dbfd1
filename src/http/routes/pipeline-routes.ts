// /pipelines: what can be run, and starting it.
import { z } from 'zod';
import { startEstimatedRun } from '../../control/estimate-run.ts';
import type { RunRequest } from '../../control/start-run.ts';
import { requirePipeline } from '../../control/start-run.ts';
import { startRuns } from '../../control/start-runs.ts';
import type { Problem } from '../../domain/errors.ts';
import { inputProblems } from '../../domain/new-run.ts';
import type { Pipeline } from '../../domain/pipeline.ts';
import { describePipelines, listPipelines, pipelineView } from '../../reads/list-pipelines.ts';
import { defineRoute, type Route } from '../route.ts';
import { idParams, instantText, pageOf, pageQuery, tags } from './fields.ts';

const runRequest = z
  .strictObject({
    inputs: z.record(z.string(), z.unknown()).optional(),
    priority: z.int().min(1).max(10).optional().describe('1 (first) … 10'),
    run_at: instantText.optional().describe('not before this instant'),
    dry_run: z.boolean().optional().describe('run everything without outside effects'),
  })
  .meta({ id: 'RunRequest' });

const startRequest = runRequest
  .extend({ estimate: z.boolean().optional().describe('estimate it first, and show that beside what it does cost') })
  .meta({ id: 'StartRequest' });

const mostRuns = 10_000;

const startedRun = z
  .object({
    id: z.uuid(),
    tenant: z.string(),
    pipeline: z.string(),
    pipeline_version: z.string(),
    state: z.enum(['pending', 'scheduled', 'paused']).describe('paused where its pipeline or tenant is'),
    priority: z.int(),
    run_at: z.iso.datetime().nullable(),
    dry_run: z.boolean(),
  })
  .meta({ id: 'StartedRun' });

export { startedRun };

const list = defineRoute({
  method: 'GET',
  path: '/api/v1/pipelines',
  operationId: 'listPipelines',
  summary: 'Pipelines in force, by id',
  tag: tags.pipelines,
  query: pageQuery,
  answer: { status: 200, description: 'a page of pipelines', schema: pageOf(pipelineView) },
  async handle({ context }, { query, caller }) {
    return { body: await listPipelines(context.db, context.pipelines.list(caller.tenant), query) };
  },
});

const show = defineRoute({
  method: 'GET',
  path: '/api/v1/pipelines/{id}',
  operationId: 'getPipeline',
  summary: 'One pipeline',
  tag: tags.pipelines,
  params: idParams,
  answer: { status: 200, description: 'the pipeline', schema: pipelineView },
  problems: ['not_found'],
  async handle({ context }, { params, caller }) {
    const pipeline = requirePipeline(context.control, caller.tenant, params.id);
    const [body] = await describePipelines(context.db, [pipeline]);
    if (!body) throw new Error(`pipeline "${params.id}" has no view`);
    return { body };
  },
});

const start = defineRoute({
  method: 'POST',
  path: '/api/v1/pipelines/{id}/runs',
  operationId: 'startRun',
  summary: 'Start a run; with an Idempotency-Key at most once',
  tag: tags.pipelines,
  params: idParams,
  body: startRequest,
  answer: { status: 202, description: 'the run is durable and will be run', schema: startedRun },
  problems: ['not_found', 'conflict', 'limit_reached'],
  alsoWrong({ context }, { params, body, caller }) {
    return wrongInputs(requirePipeline(context.control, caller.tenant, params.id), body, '');
  },
  async handle({ starter }, { params, body, caller }) {
    const request = toRequest(body);
    const run = body.estimate
      ? await startEstimatedRun(starter, params.id, request, caller)
      : await starter.start(params.id, request, caller);
    return { body: run, headers: { location: `/api/v1/runs/${run.id}` } };
  },
});

const batch = defineRoute({
  method: 'POST',
  path: '/api/v1/pipelines/{id}/runs/batch',
  operationId: 'startRuns',
  summary: 'Start up to 10,000 runs at once: all of them or none',
  tag: tags.pipelines,
  params: idParams,
  bodyLimit: 33_554_432,
  body: z.strictObject({ runs: z.array(runRequest).min(1).max(mostRuns) }),
  answer: {
    status: 202,
    description: 'all runs are durable; ids in the order of the request',
    schema: z.object({ count: z.int(), ids: z.array(z.uuid()) }),
  },
  problems: ['not_found', 'conflict', 'limit_reached'],
  alsoWrong({ context }, { params, body, caller }) {
    const pipeline = requirePipeline(context.control, caller.tenant, params.id);
    const runs = isObject(body) && Array.isArray(body.runs) ? body.runs.slice(0, mostRuns) : [];
    return runs.flatMap((run, i) => wrongInputs(pipeline, run, `runs[${i}].`));
  },
  async handle({ starter }, { params, body, caller }) {
    return { body: await startRuns(starter, params.id, body.runs.map(toRequest), caller) };
  },
});

/** Of a body that the schema has refused: whatever else is wrong, its inputs can be looked at. */
function wrongInputs(pipeline: Pipeline, body: unknown, prefix: string): Problem[] {
  if (!isObject(body)) return [];
  const { inputs = {} } = body;
  if (!isObject(inputs)) return [];
  return inputProblems(pipeline.inputs, inputs).map((one) => ({ ...one, path: `${prefix}${one.path}` }));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function toRequest(body: z.output<typeof runRequest>): RunRequest {
  return { inputs: body.inputs, priority: body.priority, runAt: body.run_at, dryRun: body.dry_run };
}

export const pipelineRoutes: readonly Route[] = [list, show, start, batch];
