// /queue, /nodes, /stats, /config: how the whole of it is doing.
import { z } from 'zod';
import { retryDelivery } from '../../control/retry-delivery.ts';
import { configInForce, configInForceView } from '../../reads/config-in-force.ts';
import { listNodes, nodeView } from '../../reads/list-nodes.ts';
import { listOutbox, outboxStates, outboxView } from '../../reads/list-outbox.ts';
import { queueStatus, queueStatusView } from '../../reads/queue-status.ts';
import { stats, statsView } from '../../reads/stats.ts';
import { maskSecrets } from '../mask-secrets.ts';
import { defineRoute, type Route } from '../route.ts';
import { pageFields, pageOf, tags, wholeNumber } from './fields.ts';

const tenant = z.string().optional().describe('only of this tenant; default: of all');

const queue = defineRoute({
  method: 'GET',
  path: '/api/v1/queue',
  operationId: 'getQueue',
  summary: 'How full the queue is and how long runs wait',
  tag: tags.queue,
  query: z.strictObject({ tenant }),
  answer: { status: 200, description: 'depth and waits', schema: queueStatusView },
  async handle({ context }, { query }) {
    return { body: await queueStatus(context.db, query.tenant ?? null) };
  },
});

const nodes = defineRoute({
  method: 'GET',
  path: '/api/v1/nodes',
  operationId: 'listNodes',
  summary: 'Daemons that live, or stopped within a day',
  tag: tags.queue,
  answer: {
    status: 200,
    description: 'all nodes, and which configuration is in force on them',
    schema: pageOf(nodeView).extend({ in_force: configInForceView.nullable() }),
  },
  async handle({ context }) {
    const [items, inForce] = await Promise.all([listNodes(context.db), configInForce(context.db)]);
    return { body: { items, next_cursor: null, in_force: inForce } };
  },
});

const statistics = defineRoute({
  method: 'GET',
  path: '/api/v1/stats',
  operationId: 'getStats',
  summary: 'Runs by how they ended, success rate, duration, free capacity',
  tag: tags.queue,
  query: z.strictObject({
    tenant,
    hours: wholeNumber(1, 24 * 90)
      .default(24)
      .describe('how far back'),
  }),
  answer: { status: 200, description: 'the figures', schema: statsView },
  async handle({ context }, { query }) {
    const since = new Date(context.clock.now() - query.hours * 3_600_000);
    return { body: await stats(context.db, query.tenant ?? null, since) };
  },
});

const config = defineRoute({
  method: 'GET',
  path: '/api/v1/config',
  operationId: 'getConfig',
  summary: 'The settings of this node, secrets masked, and which pipelines are in force on all nodes',
  tag: tags.queue,
  answer: {
    status: 200,
    description: 'what is in effect',
    schema: z.record(z.string(), z.unknown()),
  },
  async handle({ context }) {
    const settings = maskSecrets(context.effectiveConfig()) as Record<string, unknown>;
    return { body: { ...settings, in_force: await configInForce(context.db) } };
  },
});

const outbox = defineRoute({
  method: 'GET',
  path: '/api/v1/outbox',
  operationId: 'listOutbox',
  summary: 'Notifications and other calls that go out apart from runs, newest first',
  tag: tags.queue,
  query: z.strictObject({
    tenant,
    state: z
      .string()
      .transform((text) => text.split(','))
      .pipe(z.array(z.enum(outboxStates)))
      .optional()
      .describe('pending, delivered, failed; several with commas')
      .meta({ type: 'string' }),
    ...pageFields,
  }),
  answer: { status: 200, description: 'a page', schema: pageOf(outboxView) },
  async handle({ context }, { query }) {
    const { state: states, tenant: owner, ...page } = query;
    return { body: await listOutbox(context.db, { tenant: owner ?? null, states, ...page }) };
  },
});

const retry = defineRoute({
  method: 'POST',
  path: '/api/v1/outbox/{id}/retry',
  operationId: 'retryOutbox',
  summary: 'Make a call after all that was given up',
  tag: tags.queue,
  params: z.strictObject({ id: z.uuid() }),
  answer: {
    status: 200,
    description: 'it is made again within seconds, under its old id',
    schema: z.object({ id: z.uuid(), state: z.literal('pending') }),
  },
  problems: ['not_found', 'conflict'],
  async handle({ context }, { params, caller }) {
    const { tenant, actor } = caller;
    return { body: await retryDelivery(context.control, { tenant, id: params.id, actor }) };
  },
});

export const queueRoutes: readonly Route[] = [queue, nodes, statistics, config, outbox, retry];
