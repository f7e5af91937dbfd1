// Step latex.describe: one sentence that tells what a document is.
import { defineStep } from 'cronwright/plugin';
import { z } from 'zod';
import { askModel, asksModel, modelInput, plainAnswer, spentFields, spentOn } from './ask-model.ts';
import { countExercises, type DocumentDesign, documentDesign } from './document-design.ts';

const input = z.strictObject({ design: documentDesign, ...modelInput });

const output = z.object({ description: z.string().describe('At most 200 characters.'), ...spentFields });

const mostCharacters = 200;

export const describe = defineStep({
  description: 'Describes a planned document in one sentence.',
  input,
  output,
  ...asksModel,
  async run(ctx, { design, ...choice }) {
    const question = `Describe this document in one sentence.\n\n${JSON.stringify(design)}`;
    const answer = await askModel(ctx, 'describe', choice, { question, template: sentenceOf(design) });
    const description = shorten(plainAnswer(answer.text).replace(/\s+/g, ' '));
    return { description, ...spentOn(answer) };
  },
});

function sentenceOf(design: DocumentDesign): string {
  const exercises = countExercises(design);
  const sections = design.sections.map(({ title }) => title).filter((title) => title !== '');
  const about = sections.length === 0 ? '' : ` on ${sections.join(', ')}`;
  const counted = exercises === 0 ? '' : `: ${exercises} ${exercises === 1 ? 'exercise' : 'exercises'}${about}`;
  return `${shorten(`${design.title}${counted}`.replace(/[.\s]+$/, ''), mostCharacters - 1)}.`;
}

function shorten(text: string, most = mostCharacters): string {
  return text.length <= most ? text : `${text.slice(0, most - 1).trimEnd()}…`;
}
