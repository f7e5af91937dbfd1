// Step latex.refine: the request for a document and what somebody wants changed about it, as one new request.
import { defineStep } from 'cronwright/plugin';
import { z } from 'zod';
import { askModel, asksModel, modelInput, plainAnswer, spentFields, spentOn } from './ask-model.ts';

const input = z.strictObject({
  prompt: z.string().min(1).max(100_000),
  message: z
    .union([z.string().max(20_000), z.array(z.string().max(20_000)).max(50)])
    .default('')
    .describe('What is to change, or a list in the order it was said; empty: the request stays, and nobody is asked.'),
  ...modelInput,
});

const output = z.object({ prompt: z.string(), refined: z.boolean(), ...spentFields });

export const refine = defineStep({
  description: 'Applies what somebody says about a document to the request for it.',
  input,
  output,
  ...asksModel,
  async run(ctx, { prompt, message, ...choice }) {
    const wanted = [message]
      .flat()
      .map((one) => one.trim())
      .filter((one) => one !== '')
      .join('\n');
    if (wanted === '') return { prompt, refined: false, model: '', usd: 0, prompt_hash: '' };
    const question = `The request:\n${prompt}\n\nWhat is to change:\n${wanted}`;
    const template = `${prompt}\n\nChange: ${wanted.replace(/\n/g, '\nChange: ')}`;
    const answer = await askModel(ctx, 'refine', choice, { question, template });
    const refined = plainAnswer(answer.text);
    return { prompt: refined === '' ? template : refined, refined: true, ...spentOn(answer) };
  },
});
