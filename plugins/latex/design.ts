// Step latex.design: a prompt to the plan of a document.
import { defineStep } from 'cronwright/plugin';
import { z } from 'zod';
import { jsonSchemaOf, parseAnswer } from './answer-schema.ts';
import { askModel, asksModel, modelInput, spentFields, spentOn } from './ask-model.ts';
import { documentDesign } from './document-design.ts';
import { planWorksheet } from './plan-worksheet.ts';

const input = z.strictObject({ prompt: z.string().min(1).max(100_000), ...modelInput });

const output = z.object({ design: documentDesign, ...spentFields });

export const design = defineStep({
  description: 'Plans a document: title, sections, exercises.',
  input,
  output,
  ...asksModel,
  async run(ctx, { prompt, ...choice }) {
    const answer = await askModel(ctx, 'design', choice, {
      question: prompt,
      template: JSON.stringify(planWorksheet(prompt)),
      schema: jsonSchemaOf(documentDesign),
    });
    return { design: parseAnswer(documentDesign, answer.data), ...spentOn(answer) };
  },
});
