// Step llm.json: a question to a language model, and its answer as JSON that fits a schema.
import { defineStep, type Json, type LlmAnswer, StepError } from 'cronwright/plugin';
import { z } from 'zod';
import { leastValue } from './least-value.ts';
import { answerOutput, ask, estimateOf, kinds, questionInput, requestOf, told } from './question.ts';

export const json = defineStep({
  description: 'Asks a language model for JSON that fits a schema.',
  input: z.strictObject({
    ...questionInput,
    kind: z.enum(kinds).default('extract').describe('What the model is told to be: a text of this plugin.'),
    schema: z.record(z.string(), z.json()).describe('JSON Schema of the answer.'),
    schema_name: z
      .string()
      .regex(/^[A-Za-z0-9_-]{1,64}$/)
      .default('answer')
      .describe('What the schema is called where the model is told of it.'),
  }),
  output: z.object({ data: z.json(), ...answerOutput }),
  effects: 'outside',
  idempotency: 'none',
  dryRun: 'handled',
  isolation: 'inline',
  weight: 'light',
  irreversible: 'what a model was paid stays paid',
  async run(ctx, { schema, schema_name: name, ...question }) {
    const request = requestOf(question, () => shown(leastValue(schema)));
    const answer = await ask(ctx, { ...request, schema: { name, schema } });
    return { data: ctx.dryRun ? read(answer) : answer.data, ...told(answer) };
  },
  estimate: estimateOf,
});

function shown(value: Json | undefined): string | undefined {
  return value === undefined ? undefined : JSON.stringify(value);
}

function read({ text }: LlmAnswer): Json {
  if (text === '') return null;
  try {
    return JSON.parse(text) as Json;
  } catch (cause) {
    throw new StepError('fatal', 'the template of this step is not JSON', { name: 'InvalidTemplate', cause });
  }
}
