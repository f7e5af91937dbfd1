// Step llm.chat: a question to a language model, and its answer as text.
import { defineStep } from 'cronwright/plugin';
import { z } from 'zod';
import { answerOutput, ask, estimateOf, kinds, questionInput, requestOf, told } from './question.ts';

export const chat = defineStep({
  description: 'Asks a language model, and gives its answer as text.',
  input: z.strictObject({
    ...questionInput,
    kind: z.enum(kinds).default('assistant').describe('What the model is told to be: a text of this plugin.'),
  }),
  output: z.object({ text: z.string(), ...answerOutput }),
  // Money is spent: it is on record before it can be.
  effects: 'outside',
  idempotency: 'none',
  dryRun: 'handled',
  isolation: 'inline',
  weight: 'light',
  irreversible: 'what a model was paid stays paid',
  // No rateLimitKey: the node knows provider and key, and lets every step that uses them wait.
  async run(ctx, question) {
    const answer = await ask(ctx, requestOf(question, unasked));
    return { text: answer.text, ...told(answer) };
  },
  estimate: estimateOf,
});

/** The same bytes for the same input, and nothing that was not given. */
function unasked(content: string): string {
  return `No language model was asked. The question was:\n\n${content}`;
}
