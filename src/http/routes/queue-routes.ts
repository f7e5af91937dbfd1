// /queue, /nodes, /stats, /config: how the whole of it is doing.
import { z } from 'zod';
import { listNodes, nodeView } from '../../reads/list-nodes.ts';
import { queueStatus, queueStatusView } from '../../reads/queue-status.ts';
import { stats, statsView } from '../../reads/stats.ts';
import { maskSecrets } from '../mask-secrets.ts';
import { defineRoute, type Route } from '../route.ts';
import { pageOf, tags, wholeNumber } from './fields.ts';

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
  answer: { status: 200, description: 'all nodes', schema: pageOf(nodeView) },
  async handle({ context }) {
    return { body: { items: await listNodes(context.db), next_cursor: null } };
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
  summary: 'The settings in force, secrets masked',
  tag: tags.queue,
  answer: {
    status: 200,
    description: 'what is in effect',
    schema: z.record(z.string(), z.unknown()),
  },
  async handle({ context }) {
    return { body: maskSecrets(context.effectiveConfig()) as Record<string, unknown> };
  },
});

export const queueRoutes: readonly Route[] = [queue, nodes, statistics, config];
