// Step types that do nothing: what is left is the engine's own cost.
import { z } from 'zod';
import { definePlugin, defineStep } from '../src/steps/api.ts';

/** Hears of every step that begins, with the run's id. */
export type OnStep = (runId: string) => void;

export function createBenchPlugin(onStep: () => OnStep | undefined) {
  const output = z.object({ done: z.number() });
  return definePlugin({
    name: 'bench',
    version: '1.0.0',
    apiVersion: 1,
    steps: {
      noop: defineStep({
        input: z.object({}),
        output,
        weight: 'light',
        isolation: 'inline',
        async run(ctx) {
          onStep()?.(ctx.runId);
          return { done: 1 };
        },
      }),
    },
  });
}
