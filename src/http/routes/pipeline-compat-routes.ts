// /api/pipeline: runs under the routes and words of an older pipeline service; each calls the same verb as the route of today.
import { z } from 'zod';
import { pauseRun } from '../../control/pause-run.ts';
import { resumeRun } from '../../control/resume-run.ts';
import { rollbackRun } from '../../control/rollback-run.ts';
import { pipelineState, pipelineStateView } from '../../reads/pipeline-state.ts';
import { checkpointView, runCheckpoints } from '../../reads/run-checkpoints.ts';
import { stats, statsView } from '../../reads/stats.ts';
import { defineRoute, type Route } from '../route.ts';
import { idParams, instantText, pageOf, pageQuery, tags } from './fields.ts';

const reason = z.string().max(1_000).optional();
const ofRun = z.strictObject({ id: z.string().min(1).max(300).describe('of the run'), reason });

const start = defineRoute({
  method: 'POST',
  path: '/api/pipeline/start',
  operationId: 'olderStartPipeline',
  summary: 'Older form of POST /api/v1/pipelines/{id}/runs',
  tag: tags.older,
  body: z.strictObject({
    pipeline: z.string().min(1).max(300).describe('id of the pipeline'),
    inputs: z.record(z.string(), z.unknown()).optional(),
    priority: z.int().min(1).max(10).optional().describe('1 (first) … 10'),
    run_at: instantText.optional().describe('not before this instant'),
    dry_run: z.boolean().optional(),
  }),
  answer: { status: 202, description: 'the run is durable and will be run', schema: pipelineStateView },
  problems: ['not_found', 'conflict', 'limit_reached'],
  async handle({ context, starter }, { body, caller }) {
    const { pipeline, inputs, priority, run_at: runAt, dry_run: dryRun } = body;
    const { id } = await starter.start(pipeline, { inputs, priority, runAt, dryRun }, caller);
    const headers = { location: `/api/pipeline/${id}/state` };
    return { body: await pipelineState(context.db, caller.tenant, id), headers };
  },
});

const state = defineRoute({
  method: 'GET',
  path: '/api/pipeline/{id}/state',
  operationId: 'olderPipelineState',
  summary: 'A run in nine states, its phases in six; older form of GET /api/v1/runs/{id}',
  tag: tags.older,
  params: idParams,
  answer: { status: 200, description: 'the run', schema: pipelineStateView },
  problems: ['not_found'],
  async handle({ context }, { params, caller }) {
    return { body: await pipelineState(context.db, caller.tenant, params.id) };
  },
});

const checkpoints = defineRoute({
  method: 'GET',
  path: '/api/pipeline/{id}/checkpoints',
  operationId: 'olderPipelineCheckpoints',
  summary: 'What a run can be rolled back to; older form of GET /api/v1/runs/{id}/checkpoints',
  tag: tags.older,
  params: idParams,
  query: pageQuery,
  answer: {
    status: 200,
    description: 'a page of checkpoints; `step` is what rollback takes',
    schema: pageOf(checkpointView),
  },
  problems: ['not_found'],
  async handle({ context }, { params, query, caller }) {
    return { body: await runCheckpoints(context.db, caller.tenant, params.id, query) };
  },
});

const pause = defineRoute({
  method: 'PATCH',
  path: '/api/pipeline/pause',
  operationId: 'olderPausePipeline',
  summary: 'Older form of POST /api/v1/runs/{id}/pause',
  tag: tags.older,
  body: ofRun,
  answer: { status: 200, description: 'paused; 202 where a worker has to obey first', schema: pipelineStateView },
  problems: ['not_found', 'conflict'],
  async handle({ context }, { body, caller }) {
    const { tenant, actor } = caller;
    const { requested } = await pauseRun(context.control, { tenant, actor, ...body });
    return { body: await pipelineState(context.db, tenant, body.id), status: requested === null ? 200 : 202 };
  },
});

const resume = defineRoute({
  method: 'PATCH',
  path: '/api/pipeline/resume',
  operationId: 'olderResumePipeline',
  summary: 'Older form of POST /api/v1/runs/{id}/resume',
  tag: tags.older,
  body: ofRun,
  answer: { status: 200, description: 'it goes on', schema: pipelineStateView },
  problems: ['not_found', 'conflict'],
  async handle({ context }, { body, caller }) {
    const { tenant, actor } = caller;
    await resumeRun(context.control, { tenant, actor, ...body });
    return { body: await pipelineState(context.db, tenant, body.id) };
  },
});

const rollback = defineRoute({
  method: 'POST',
  path: '/api/pipeline/rollback',
  operationId: 'olderRollbackPipeline',
  summary: 'Undo what came after a checkpoint; older form of POST /api/v1/runs/{id}/rollback',
  tag: tags.older,
  body: ofRun.extend({ checkpoint: z.string().min(1).max(300).describe('a completed step; the run is paused there') }),
  answer: { status: 202, description: 'a worker will', schema: pipelineStateView },
  problems: ['not_found', 'conflict', 'limit_reached'],
  async handle({ context, starter }, { body, caller }) {
    const { id } = await rollbackRun(starter, body.id, { to: body.checkpoint, reason: body.reason }, caller);
    return { body: await pipelineState(context.db, caller.tenant, id) };
  },
});

const gatewayStats = z
  .object({
    connections: z.int().describe('clients of the live stream of this node'),
    subscriptions: z.int().describe('those that hear something'),
    by_transport: z.object({ sse: z.int(), websocket: z.int() }),
    runs: statsView.describe('of the last 24 hours'),
  })
  .meta({ id: 'PipelineStats' });

const dayMs = 86_400_000;

const counts = defineRoute({
  method: 'GET',
  path: '/api/pipeline/stats',
  operationId: 'olderPipelineStats',
  summary: 'Clients of the live stream, and how runs have been going; older form of GET /api/v1/stats',
  tag: tags.older,
  answer: { status: 200, description: 'of this moment', schema: gatewayStats },
  async handle({ context, live }, { caller }) {
    const { connections, subscriptions, byTransport } = live.counts();
    const runs = await stats(context.db, caller.tenant, new Date(context.clock.now() - dayMs));
    return { body: { connections, subscriptions, by_transport: byTransport, runs } };
  },
});

export const pipelineCompatRoutes: readonly Route[] = [counts, start, state, checkpoints, pause, resume, rollback];
