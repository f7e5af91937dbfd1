// Runs of another system that go on here.
import { z } from 'zod';
import type { Json } from '../../base/json.ts';
import { importRun } from '../../control/import-run.ts';
import { anyJson } from '../../reads/view-fields.ts';
import { defineRoute, type Route } from '../route.ts';
import { idParams, tags } from './fields.ts';

const message = z.strictObject({ role: z.enum(['system', 'user', 'assistant']), content: z.string().max(1_000_000) });

const importOne = defineRoute({
  method: 'POST',
  path: '/api/v1/pipelines/{id}/runs/import',
  operationId: 'importRun',
  summary:
    'Take over a run of another system: begin with the outputs of its steps; the same source again changes nothing',
  tag: tags.pipelines,
  params: idParams,
  body: z.strictObject({
    source: z.string().min(1).max(300).describe('what the other system calls it'),
    inputs: z.record(z.string(), anyJson).optional(),
    priority: z.int().min(1).max(10).optional(),
    outputs: z.record(z.string(), anyJson).default({}).describe('of the steps that were done there; ≤ 1 MB each'),
    conversations: z.record(z.string().min(1).max(100), z.array(message).max(10_000)).optional().describe('by thread'),
    facts: anyJson.optional().describe('kept in the history: its state there, its error'),
  }),
  bodyLimit: 8_388_608,
  answer: {
    status: 202,
    description: 'the run; imported: false where it was there already',
    schema: z.object({
      id: z.uuid(),
      tenant: z.string(),
      pipeline: z.string(),
      imported: z.boolean(),
      kept_steps: z.array(z.string()),
    }),
  },
  problems: ['not_found', 'limit_reached'],
  async handle({ starter }, { params, body, caller }) {
    const run = await importRun(starter, params.id, { ...body, facts: body.facts as Json | undefined }, caller);
    return { body: run, headers: { location: `/api/v1/runs/${run.id}` } };
  },
});

export const importRoutes: readonly Route[] = [importOne];
