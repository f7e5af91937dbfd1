// /cron/next: when an expression fires, without a schedule.
import { z } from 'zod';
import { defineRoute, type Route } from '../route.ts';
import { tags } from './fields.ts';

const next = defineRoute({
  method: 'POST',
  path: '/api/v1/cron/next',
  operationId: 'nextOccurrences',
  summary: 'Fire times of a cron expression, strictly after an instant',
  tag: tags.cron,
  body: z.strictObject({
    expression: z.string(),
    timezone: z.string().optional().describe('an IANA zone; default: UTC'),
    from: z.string().optional().describe('an ISO 8601 instant; default: now'),
    count: z.int().default(10).describe('1 … 1,000'),
    dst: z
      .strictObject({ gap: z.enum(['next', 'skip']), overlap: z.enum(['first', 'last', 'both']) })
      .partial()
      .optional(),
    id: z.string().max(300).optional().describe('what H is hashed from'),
  }),
  answer: {
    status: 200,
    description: 'instants in UTC; none where it never fires',
    schema: z.object({ occurrences: z.array(z.string().meta({ format: 'date-time' })) }),
  },
  async handle({ context }, { body }) {
    const { dst, ...question } = body;
    const { occurrences } = context.nextOccurrences({
      ...question,
      from: body.from ?? new Date(context.clock.now()),
      dst: dst && {
        ...(dst.gap === undefined ? {} : { gap: dst.gap }),
        ...(dst.overlap === undefined ? {} : { overlap: dst.overlap }),
      },
    });
    return { body: { occurrences: [...occurrences] } };
  },
});

export const cronRoutes: readonly Route[] = [next];
