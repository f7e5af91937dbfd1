// Step pipeline.run: declared here for its input and output; the worker itself makes the run and waits for it.
import { defineStep, StepError } from 'cronwright/plugin';
import { z } from 'zod';

export const run = defineStep({
  description: 'Starts a run of another pipeline of the same tenant, and waits until it has ended.',
  input: z.strictObject({
    pipeline: z.string().min(1).describe('Id of the pipeline.'),
    inputs: z.record(z.string(), z.unknown()).optional().describe('Inputs of the run. They are stored: no secrets.'),
    priority: z.int().min(1).max(10).optional().describe('1 (first) … 10; default: that of this run.'),
    wait: z.boolean().optional().describe('False: go on at once. Default true.'),
  }),
  output: z.object({
    run_id: z.string(),
    state: z.string().describe('completed, or pending where nobody waits'),
    failed_items: z.number(),
    outputs: z
      .record(z.string(), z.unknown())
      .nullable()
      .describe('What its steps gave, by step; null where nobody waits, or above 1 MB.'),
  }),
  effects: 'none',
  idempotency: 'keyed',
  isolation: 'inline',
  weight: 'light',
  run() {
    throw new StepError('fatal', 'pipeline.run is carried out by a daemon or `cronwright run`', {
      name: 'NoPipelines',
    });
  },
});
