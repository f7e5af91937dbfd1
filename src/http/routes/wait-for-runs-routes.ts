// /runs/wait: one request that answers when runs have ended.
import { z } from 'zod';
import { says } from '../../config/schema-parts.ts';
import { origins } from '../../domain/run.ts';
import { listLiveIds, mostWaitedFor, waitedFor, waitForRuns } from '../../reads/wait-for-runs.ts';
import { defineRoute, type Route } from '../route.ts';
import { tags } from './fields.ts';

const body = z
  .strictObject({
    ids: z.array(z.uuid()).min(1).max(mostWaitedFor).optional(),
    filter: z
      .strictObject({
        pipeline: z.string().optional(),
        schedule: z.string().optional().describe('pipeline.schedule'),
        origin: z.enum(origins).optional(),
      })
      .optional()
      .describe(`the runs that are live when the request comes, at most ${mostWaitedFor}`),
    timeout: z.number().min(0).max(60).default(30).describe('seconds; then it answers how things stand'),
  })
  .refine((one) => (one.ids === undefined) !== (one.filter === undefined), {
    error: says('not a choice of runs', 'either ids or a filter'),
    path: ['ids'],
  })
  .meta({ id: 'WaitForRuns' });

const wait = defineRoute({
  method: 'POST',
  path: '/api/v1/runs/wait',
  operationId: 'waitForRuns',
  summary: 'Wait until runs have ended, at most 60 seconds; ask again with the same ids where done is false',
  tag: tags.runs,
  body,
  answer: { status: 200, description: 'how many are in which state', schema: waitedFor },
  problems: ['not_found'],
  async handle({ context }, { body: { ids, filter, timeout }, caller }) {
    const { tenant } = caller;
    const wanted = ids ?? (await listLiveIds(context.db, tenant, filter ?? {}));
    return { body: await waitForRuns(context, { tenant, ids: wanted, timeoutMs: timeout * 1_000 }) };
  },
});

export const waitForRunsRoutes: readonly Route[] = [wait];
