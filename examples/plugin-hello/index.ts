// A Cronwright plugin: the step type `hello.greet`.
import { setTimeout as sleep } from 'node:timers/promises';
import { definePlugin, defineStep, StepError } from 'cronwright/plugin';
import { z } from 'zod';

export default definePlugin({
  name: 'hello',
  version: '1.0.0',
  apiVersion: 1,
  description: 'Greetings',
  steps: {
    greet: defineStep({
      description: 'Greets someone and keeps the greeting as an artifact',
      input: z.strictObject({
        name: z.string().min(1).default('world').describe('Whom to greet'),
        times: z.int().min(1).max(100).default(1),
        pause_ms: z.int().min(0).max(60_000).default(0).describe('Milliseconds after each greeting'),
      }),
      output: z.strictObject({ greeting: z.string(), card: z.string().describe('Id of the artifact') }),
      idempotency: 'natural',
      async run(ctx, { name, times, pause_ms }) {
        if (name === 'nobody') throw new StepError('fatal', 'nobody cannot be greeted');
        const lines: string[] = [];
        for (let done = 0; done < times; done++) {
          lines.push(`Hello, ${name}!`);
          ctx.progress({ done: done + 1, total: times });
          // With the signal the wait ends at once where the run is cancelled, its time is up or the node stops.
          await sleep(pause_ms, undefined, { signal: ctx.signal });
        }
        ctx.log.info('greeted', { name, times });
        const card = await ctx.artifacts.put({ name: 'card.txt', mediaType: 'text/plain', content: lines.join('\n') });
        return { greeting: lines.join(' '), card: card.id };
      },
    }),
  },
});
