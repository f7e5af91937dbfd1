// The answer to why a run does not run, as the API documents it.
import { z } from 'zod';
import { runStates } from '../domain/run.ts';
import { mostAhead } from './explain-facts.ts';
import { maybeInstant } from './view-fields.ts';

const holderView = z.object({
  run_id: z.uuid(),
  pipeline: z.string().nullable(),
  tenant: z.string().nullable(),
  state: z.string().nullable().describe('pending: it waits for other slots and keeps this one'),
  since: maybeInstant.describe('when it started'),
  node: z.string().nullable(),
  step: z.string().nullable(),
});

const slotsView = z.object({
  key: z.string().describe('schedule:, pipeline:, group:, tenant: or queue: and the name'),
  limit: z.int().describe('0: there is no such limit any more'),
  free: z.int(),
  held_by: z.array(holderView),
});

const nodeFactView = z.object({
  name: z.string(),
  can_take: z.boolean(),
  why_not: z.array(z.string()),
  free_places: z.int(),
});

export const explanation = z
  .object({
    id: z.uuid(),
    tenant: z.string(),
    pipeline: z.string(),
    state: z.enum(runStates),
    summary: z.string().describe('the answer in one or two sentences'),
    run_at: maybeInstant.describe('before which it does not start or go on'),
    requested: z
      .object({ kind: z.enum(['pause', 'cancel']), by: z.string().nullable(), reason: z.string().nullable() })
      .nullable()
      .describe('asked for, not yet obeyed by the worker'),
    pauses: z.array(
      z.object({
        of: z.enum(['run', 'pipeline', 'tenant']),
        by: z.string().nullable(),
        reason: z.string().nullable(),
        until: maybeInstant,
      }),
    ),
    blocked_on: slotsView.nullable().describe('the slot it waits for; `after:…` (see `after`) and `run_at` are none'),
    after: z
      .object({
        pipeline: z.string(),
        since: maybeInstant.describe('a run of it that has completed since then is enough'),
        within_ms: z.number(),
        on_missing: z.enum(['wait', 'fail', 'run']).describe('what happens where none has completed'),
        decided_at: maybeInstant.describe('when it does; null: it goes on waiting'),
      })
      .nullable()
      .describe('the pipeline that has to complete first'),
    slots: z.array(slotsView).describe('all that it needs'),
    line: z
      .object({
        queue: z.string(),
        labels: z.array(z.string()),
        priority: z.int(),
        asked_priority: z.int().describe('less urgent than `priority` where waiting has raised it'),
        ahead: z.int().nullable().describe('runs before it in the line it stands in'),
        ahead_is_more: z.boolean().describe(`counted up to ${mostAhead}`),
      })
      .nullable(),
    nodes: z.array(nodeFactView).describe('which nodes could take it, and why others cannot'),
    waits: z.array(
      z.object({
        step: z.string(),
        kind: z.string(),
        message: z.string().nullable(),
        approvers: z.array(z.string()).nullable(),
        until: maybeInstant,
      }),
    ),
    rate_limits: z.array(z.object({ key: z.string(), until: maybeInstant, reason: z.string(), told_to: z.uuid() })),
    children: z.record(z.string(), z.int()).describe('child runs that it waits for, by state'),
    predicted_start: maybeInstant.describe('when it is likely to start or go on'),
    prediction: z.string().describe('from what that was taken, or why it cannot be told'),
    ended: z
      .object({
        at: maybeInstant,
        waited_ms: z.number().nullable().describe('from when it was made to its first start'),
        ran_ms: z.number().nullable(),
        claims: z.int().nullable(),
        failed_items: z.int().nullable(),
        error: z.object({ name: z.string(), message: z.string() }).nullable(),
      })
      .nullable(),
  })
  .meta({ id: 'Explanation' });

export type Explanation = z.infer<typeof explanation>;
