// Step latex.generate: the plan of a document to its LaTeX.
import { defineStep } from 'cronwright/plugin';
import { z } from 'zod';
import { askModel, asksModel, modelInput, spentFields, spentOn } from './ask-model.ts';
import { documentDesign } from './document-design.ts';
import { documentIn } from './document-source.ts';
import { renderDocument } from './render-document.ts';

const input = z.strictObject({ design: documentDesign, ...modelInput });

const output = z.object({ source: z.string(), lines: z.int(), ...spentFields });

export const generate = defineStep({
  description: 'Writes the LaTeX of a planned document.',
  input,
  output,
  ...asksModel,
  async run(ctx, { design, ...choice }) {
    const question = `Write the LaTeX of this document.\n\n${JSON.stringify(design, null, 1)}`;
    const answer = await askModel(ctx, 'generate', choice, { question, template: renderDocument(design) });
    const source = documentIn(answer.text);
    return { source, lines: source.split('\n').length - 1, ...spentOn(answer) };
  },
});
