// What runs ask of people, and the answers.
import { z } from 'zod';
import type { Json } from '../../base/json.ts';
import { signalRun } from '../../control/signal-run.ts';
import { runStates } from '../../domain/run.ts';
import { askedKinds } from '../../domain/wait.ts';
import { listOpenWaits, waitView } from '../../reads/list-waits.ts';
import { defineRoute, type Route } from '../route.ts';
import { idParams, pageFields, pageOf, tags, yesOrNo } from './fields.ts';

const list = defineRoute({
  method: 'GET',
  path: '/api/v1/waits',
  operationId: 'listWaits',
  summary: 'What live runs ask of people, oldest first',
  tag: tags.runs,
  query: z.strictObject({
    ...pageFields,
    pipeline: z.string().optional(),
    timers: yesOrNo.default(false).describe('also those that only time ends'),
    tenant: z.string().optional().describe('instead of the header Cronwright-Tenant; * for all'),
  }),
  answer: { status: 200, description: 'a page of open questions', schema: pageOf(waitView) },
  async handle({ context }, { query, caller }) {
    const { tenant = caller.tenant, ...rest } = query;
    return { body: await listOpenWaits(context.db, { ...rest, tenant: tenant === '*' ? null : tenant }) };
  },
});

const signal = defineRoute({
  method: 'POST',
  path: '/api/v1/runs/{id}/signal',
  operationId: 'signalRun',
  summary: 'Answer what a run asks; Idempotency-Key: the same answer again',
  tag: tags.runs,
  params: idParams,
  body: z.strictObject({
    step: z.string().min(1).max(300).optional().describe('the step that asks, where several do'),
    item: z.int().min(0).optional(),
    key: z.string().min(1).max(300).optional().describe('the name of the question'),
    decision: z.string().min(1).max(200).optional().describe('approve, reject, or one of the choices of the question'),
    data: z.unknown().optional().describe('any JSON; where the worker asks, {with: {…}} replaces fields of the input'),
    with: z.record(z.string(), z.unknown()).optional().describe('short for data: {with: …}'),
  }),
  answer: {
    status: 200,
    description: 'answered; the run goes on',
    schema: z.object({
      id: z.uuid(),
      state: z.enum(runStates),
      answered: z.object({
        step: z.string(),
        item: z.int().nullable(),
        key: z.string(),
        kind: z.enum(askedKinds),
        decision: z.string(),
      }),
    }),
  },
  problems: ['forbidden', 'not_found', 'conflict'],
  async handle({ context }, { params, body, caller }) {
    const { with: fields, data, ...which } = body;
    const isObject = typeof data === 'object' && data !== null && !Array.isArray(data);
    const whole = fields === undefined ? data : { ...(isObject ? data : {}), with: fields };
    return {
      body: await signalRun(context.control, caller, { id: params.id, ...which, data: whole as Json | undefined }),
    };
  },
});

export const waitRoutes: readonly Route[] = [list, signal];
