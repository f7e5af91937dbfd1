// A plugin for tests of whole pipelines: a step that fails, hangs, or waits until a file is there, and what is quicker without a process.
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { definePlugin, defineStep, type StepDefinition, StepError } from 'cronwright/plugin';
import { z } from 'zod';
import code from '../../../../plugins/code/index.ts';
import docs from '../../../../plugins/docs/index.ts';

/** To start processes would be most of the time of a test with many runs. */
const inline = (step: StepDefinition | undefined): StepDefinition => {
  if (!step) throw new Error('there is no such step');
  return { ...step, isolation: 'inline' };
};

export default definePlugin({
  name: 'fault',
  version: '1.0.0',
  apiVersion: 1,
  steps: {
    analyze: inline(code.steps.analyze),
    validate: inline(docs.steps.validate),
    fail: defineStep({
      input: z.strictObject({}),
      output: z.strictObject({}),
      isolation: 'inline',
      weight: 'light',
      run() {
        throw new StepError('fatal', 'broken on purpose', { name: 'OnPurpose' });
      },
    }),
    hang: defineStep({
      input: z.strictObject({}),
      output: z.strictObject({}),
      isolation: 'inline',
      weight: 'light',
      run: (ctx) => sleep(600_000, {}, { signal: ctx.signal }),
    }),
    hold: defineStep({
      input: z.strictObject({ until: z.string().describe('Path of a file') }),
      output: z.strictObject({}),
      isolation: 'inline',
      weight: 'light',
      async run(ctx, { until }) {
        while (!existsSync(until)) await sleep(50, undefined, { signal: ctx.signal });
        return {};
      },
    }),
  },
});
