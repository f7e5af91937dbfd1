// What runs have cost, what was said in them, and what a run is likely to cost.
import { z } from 'zod';
import { costEstimate, estimateRun } from '../../control/estimate-run.ts';
import { requirePipeline } from '../../control/start-run.ts';
import { messageView, runConversations } from '../../reads/run-conversations.ts';
import { costEntryView, runCosts } from '../../reads/run-costs.ts';
import { costGroups, costSums, sumCosts } from '../../reads/sum-costs.ts';
import { defineRoute, type Route } from '../route.ts';
import { idParams, instantText, pageFields, pageOf, pageQuery, tags, wholeNumber } from './fields.ts';

const ofRun = defineRoute({
  method: 'GET',
  path: '/api/v1/runs/{id}/costs',
  operationId: 'listRunCosts',
  summary: 'What a run has spent and holds, in the order it did',
  tag: tags.costs,
  params: idParams,
  query: pageQuery,
  answer: { status: 200, description: 'a page of its ledger', schema: pageOf(costEntryView) },
  problems: ['not_found'],
  async handle({ context }, { params, query, caller }) {
    return { body: await runCosts(context.db, caller.tenant, params.id, query) };
  },
});

const conversations = defineRoute({
  method: 'GET',
  path: '/api/v1/runs/{id}/conversations',
  operationId: 'listRunConversations',
  summary: 'What was said in the threads of a run',
  tag: tags.costs,
  params: idParams,
  query: z.strictObject({ ...pageFields, thread: z.string().max(200).optional().describe('only this one') }),
  answer: { status: 200, description: 'a page of messages, thread by thread', schema: pageOf(messageView) },
  problems: ['not_found'],
  async handle({ context }, { params, query, caller }) {
    return { body: await runConversations(context.db, caller.tenant, params.id, query) };
  },
});

const sums = defineRoute({
  method: 'GET',
  path: '/api/v1/costs',
  operationId: 'sumCosts',
  summary: 'Sums of what runs have spent',
  tag: tags.costs,
  query: z.strictObject({
    group: z.enum(costGroups).default('pipeline'),
    tenant: z.string().optional().describe('instead of the header Cronwright-Tenant; * for all'),
    pipeline: z.string().optional(),
    from: instantText.optional().describe('spent at or after; default: since the month began, in UTC'),
    to: instantText.optional().describe('spent before'),
    limit: wholeNumber(1, 1_000).default(100),
  }),
  answer: { status: 200, description: 'sums by group, and of all', schema: costSums },
  async handle({ context }, { query, caller }) {
    const { tenant = caller.tenant, ...filter } = query;
    return { body: await sumCosts(context.db, { ...filter, tenant: tenant === '*' ? null : tenant }) };
  },
});

const estimate = defineRoute({
  method: 'POST',
  path: '/api/v1/pipelines/{id}/estimate',
  operationId: 'estimateRun',
  summary: 'What a run with these inputs is likely to cost and take; nothing is started',
  tag: tags.costs,
  params: idParams,
  body: z.strictObject({ inputs: z.record(z.string(), z.unknown()).optional() }),
  answer: { status: 200, description: 'by step and in all', schema: costEstimate },
  problems: ['not_found'],
  async handle({ context }, { params, body, caller }) {
    const pipeline = requirePipeline(context.control, caller.tenant, params.id);
    return { body: await estimateRun(context.control, pipeline, body.inputs ?? {}) };
  },
});

export const costRoutes: readonly Route[] = [ofRun, conversations, sums, estimate];
