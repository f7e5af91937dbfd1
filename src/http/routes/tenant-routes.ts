// /tenants: how each of them is doing.
import { z } from 'zod';
import { getTenant, listTenants, tenantDetail, tenantView } from '../../reads/tenants.ts';
import { defineRoute, type Route } from '../route.ts';
import { pageOf, tags, wholeNumber } from './fields.ts';

const query = z.strictObject({
  hours: wholeNumber(1, 24 * 90)
    .default(24 * 7)
    .describe('how far back runs, waits and money are counted'),
});

const list = defineRoute({
  method: 'GET',
  path: '/api/v1/tenants',
  operationId: 'listTenants',
  summary: 'Tenants with pipelines or live runs, and how they are doing',
  tag: tags.queue,
  query,
  answer: { status: 200, description: 'all tenants, by name', schema: pageOf(tenantView) },
  async handle({ context }, { query: { hours } }) {
    const since = new Date(context.clock.now() - hours * 3_600_000);
    return { body: { items: await listTenants(context.db, since), next_cursor: null } };
  },
});

const show = defineRoute({
  method: 'GET',
  path: '/api/v1/tenants/{tenant}',
  operationId: 'getTenant',
  summary: 'One tenant: its runs by state, success rate, waits, last ends and next fires by pipeline',
  tag: tags.queue,
  params: z.strictObject({ tenant: z.string().min(1).max(64) }),
  query,
  answer: { status: 200, description: 'the tenant', schema: tenantDetail },
  problems: ['not_found'],
  async handle({ context }, { params, query: { hours } }) {
    const since = new Date(context.clock.now() - hours * 3_600_000);
    return { body: await getTenant(context.db, params.tenant, since) };
  },
});

export const tenantRoutes: readonly Route[] = [list, show];
