// A verb for many runs at once, with a preview.
import { z } from 'zod';
import { type BulkAction, bulkActions, bulkRuns } from '../../control/bulk-runs.ts';
import { origins, runStates } from '../../domain/run.ts';
import { instant } from '../../reads/view-fields.ts';
import { defineRoute, type Route } from '../route.ts';
import { instantText, tags } from './fields.ts';

const filter = z
  .strictObject({
    states: z.array(z.enum(runStates)).min(1).optional().describe('default: those that the action is for'),
    pipeline: z.string().max(300).optional(),
    schedule: z.string().max(300).optional().describe('pipeline.schedule'),
    origins: z.array(z.enum(origins)).min(1).optional(),
    from: instantText.optional().describe('made at or after'),
    to: instantText.optional().describe('made before'),
    ids: z.array(z.uuid()).min(1).max(10_000).optional(),
  })
  .meta({ id: 'BulkFilter', description: 'all that is named must match; at least one field' });

const ownFields = {
  reason: z.string().max(1_000).optional().describe('for all but retry'),
  priority: z.int().min(1).max(10).optional().describe('for priority'),
  rollback: z.boolean().optional().describe('for cancel: undo what was done first'),
  to: z.string().max(300).optional().describe('for rollback: the step that is kept'),
  force: z.boolean().optional().describe('for retry: also those that were retried already'),
};
type OwnField = keyof typeof ownFields;

const takes: Readonly<Record<BulkAction, readonly OwnField[]>> = {
  pause: ['reason'],
  resume: ['reason'],
  cancel: ['reason', 'rollback'],
  retry: ['force'],
  priority: ['priority', 'reason'],
  rollback: ['reason', 'to'],
};

/** What an action does not take is refused, not passed over: whoever gave it meant something. */
const request = z
  .strictObject({
    action: z.enum(bulkActions),
    filter,
    preview: z.boolean().default(false),
    expected: z.int().min(0).optional().describe('count of the preview: where it is another by now, nothing is done'),
    cursor: z.string().max(100).optional().describe('next_cursor of the call before, with the same action and filter'),
    ...ownFields,
  })
  .superRefine((body, { addIssue }) => {
    for (const field of Object.keys(ownFields) as OwnField[]) {
      if (body[field] === undefined || takes[body.action].includes(field)) continue;
      const message = `${body.action} does not take it\nof its own only ${takes[body.action].join(', ')}`;
      addIssue({ code: 'custom', path: [field], message });
    }
  });

const bulk = defineRoute({
  method: 'POST',
  path: '/api/v1/runs/bulk',
  operationId: 'bulkRuns',
  summary: 'One verb for all runs that a filter matches; with preview: true only how many and which',
  tag: tags.runs,
  body: request,
  answer: {
    status: 200,
    description: 'what was done, or would be',
    schema: z
      .object({
        action: z.enum(bulkActions),
        preview: z.boolean(),
        count: z.int().nullable().describe('runs that match, counted up to 100,000; null in a call that goes on'),
        runs: z
          .array(
            z.object({
              id: z.uuid(),
              pipeline: z.string(),
              schedule: z.string().nullable(),
              state: z.enum(runStates),
              created_at: instant,
            }),
          )
          .describe('the first 20, oldest first'),
        done: z.int(),
        skipped: z.int().describe('their state forbids it, or they are gone'),
        failed: z.int(),
        details: z
          .array(z.object({ id: z.uuid(), outcome: z.enum(['skipped', 'failed']), reason: z.string() }))
          .describe('why, of the first 100 that were not done'),
        next_cursor: z.string().nullable().describe('time was up: call again with it as cursor; null at the end'),
      })
      .meta({ id: 'BulkAnswer' }),
  },
  problems: ['conflict'],
  async handle({ starter }, { body, caller }) {
    const { runs, nextCursor, ...answer } = await bulkRuns(starter, body, caller);
    const views = runs.map(({ createdAt, ...run }) => ({ ...run, created_at: createdAt }));
    return { body: { ...answer, runs: views, next_cursor: nextCursor } };
  },
});

export const bulkRoutes: readonly Route[] = [bulk];
