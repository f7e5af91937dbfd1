// Pausing and resuming runs, pipelines and tenants, and the priority of a run.
import { z } from 'zod';
import { pauseRun } from '../../control/pause-run.ts';
import { pauseScope, resumeScope } from '../../control/pause-scope.ts';
import { resumeRun } from '../../control/resume-run.ts';
import { setPriority } from '../../control/set-priority.ts';
import { requirePipeline } from '../../control/start-run.ts';
import { runStates } from '../../domain/run.ts';
import { pauseView, toPauseView } from '../../reads/pause-view.ts';
import { defineRoute, type Route } from '../route.ts';
import { idParams, instantText, tags } from './fields.ts';

const reason = z.string().max(1_000).optional();

const pauseRunRoute = defineRoute({
  method: 'POST',
  path: '/api/v1/runs/{id}/pause',
  operationId: 'pauseRun',
  summary: 'Pause a run: at once, or by asking its worker (202), which stops before the next step, item or attempt',
  tag: tags.runs,
  params: idParams,
  body: z.strictObject({ reason }),
  answer: {
    status: 200,
    description: 'paused; 202 with requested: pause where a worker has to obey first',
    schema: z.object({ id: z.uuid(), state: z.enum(runStates), requested: z.literal('pause').nullable() }),
  },
  problems: ['not_found', 'conflict'],
  async handle({ context }, { params, body, caller }) {
    const { tenant, actor } = caller;
    const run = await pauseRun(context.control, { tenant, id: params.id, actor, reason: body.reason });
    return { body: run, status: run.requested === null ? 200 : 202 };
  },
});

const resumeRunRoute = defineRoute({
  method: 'POST',
  path: '/api/v1/runs/{id}/resume',
  operationId: 'resumeRun',
  summary: 'Let a paused run go on, or withdraw a pause that its worker has not obeyed yet',
  tag: tags.runs,
  params: idParams,
  body: z.strictObject({ reason }),
  answer: {
    status: 200,
    description: 'pending; or as it was, where only the request is withdrawn',
    schema: z.object({ id: z.uuid(), state: z.enum(runStates), requested: z.null() }),
  },
  problems: ['not_found', 'conflict'],
  async handle({ context }, { params, body, caller }) {
    const { tenant, actor } = caller;
    return { body: await resumeRun(context.control, { tenant, id: params.id, actor, reason: body.reason }) };
  },
});

const priority = defineRoute({
  method: 'POST',
  path: '/api/v1/runs/{id}/priority',
  operationId: 'setPriority',
  summary: 'Change the priority of a run that has not ended; it counts from its next claim on',
  tag: tags.runs,
  params: idParams,
  body: z.strictObject({ priority: z.int().min(1).max(10).describe('1 goes first'), reason }),
  answer: {
    status: 200,
    description: 'the run has it',
    schema: z.object({ id: z.uuid(), state: z.enum(runStates), priority: z.int() }),
  },
  problems: ['not_found', 'conflict'],
  async handle({ context }, { params, body, caller }) {
    const { tenant, actor } = caller;
    return { body: await setPriority(context.control, { tenant, id: params.id, actor, ...body }) };
  },
});

const pauseBody = z.strictObject({ reason, until: instantText.optional().describe('it ends by itself then') });

const pausedScope = z
  .object({
    paused: pauseView,
    held: z.int().describe('runs that it holds'),
    asked: z.int().describe('runs that were asked to stop before their next step, item or attempt, and have not yet'),
  })
  .meta({ id: 'PausedScope' });

const resumedScope = z
  .object({ let_go: z.int().describe('runs that go on; those that somebody paused one by one stay') })
  .meta({ id: 'ResumedScope' });

const pausePipeline = defineRoute({
  method: 'POST',
  path: '/api/v1/pipelines/{id}/pause',
  operationId: 'pausePipeline',
  summary: 'Pause a pipeline: nothing of it starts, and its schedules owe nothing for the time',
  tag: tags.pipelines,
  params: idParams,
  body: pauseBody,
  answer: { status: 200, description: 'the pause', schema: pausedScope },
  problems: ['not_found'],
  async handle({ context }, { params, body, caller }) {
    const { tenant, actor } = caller;
    const pipeline = requirePipeline(context.control, tenant, params.id).id;
    const { pause, held, asked } = await pauseScope(context.control, { tenant, pipeline, actor, ...body });
    return { body: { paused: toPauseView(pause), held, asked } };
  },
});

const resumePipeline = defineRoute({
  method: 'POST',
  path: '/api/v1/pipelines/{id}/resume',
  operationId: 'resumePipeline',
  summary: 'Resume a paused pipeline: exactly the runs go on that its pause held',
  tag: tags.pipelines,
  params: idParams,
  body: z.strictObject({}),
  answer: { status: 200, description: 'how many runs go on', schema: resumedScope },
  problems: ['conflict'],
  async handle({ context }, { params, caller }) {
    const { tenant, actor } = caller;
    const { letGo } = await resumeScope(context.control, { tenant, pipeline: params.id, actor });
    return { body: { let_go: letGo } };
  },
});

const pauseTenant = defineRoute({
  method: 'POST',
  path: '/api/v1/tenant/pause',
  operationId: 'pauseTenant',
  summary: "Pause the caller's tenant: nothing of it starts, and its schedules owe nothing for the time",
  tag: tags.queue,
  body: pauseBody,
  answer: { status: 200, description: 'the pause', schema: pausedScope },
  async handle({ context }, { body, caller }) {
    const { tenant, actor } = caller;
    const { pause, held, asked } = await pauseScope(context.control, { tenant, pipeline: null, actor, ...body });
    return { body: { paused: toPauseView(pause), held, asked } };
  },
});

const resumeTenant = defineRoute({
  method: 'POST',
  path: '/api/v1/tenant/resume',
  operationId: 'resumeTenant',
  summary: "Resume the caller's tenant; pipelines with a pause of their own stay paused",
  tag: tags.queue,
  body: z.strictObject({}),
  answer: { status: 200, description: 'how many runs go on', schema: resumedScope },
  problems: ['conflict'],
  async handle({ context }, { caller }) {
    const { tenant, actor } = caller;
    const { letGo } = await resumeScope(context.control, { tenant, pipeline: null, actor });
    return { body: { let_go: letGo } };
  },
});

export const pauseRoutes: readonly Route[] = [
  pauseRunRoute,
  resumeRunRoute,
  priority,
  pausePipeline,
  resumePipeline,
  pauseTenant,
  resumeTenant,
];
