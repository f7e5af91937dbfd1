// Step latex.tags: the words under which a document is found.
import { defineStep } from 'cronwright/plugin';
import { z } from 'zod';
import { jsonSchemaOf, parseAnswer } from './answer-schema.ts';
import { askModel, asksModel, modelInput, spentFields, spentOn } from './ask-model.ts';
import { type DocumentDesign, documentDesign } from './document-design.ts';

const mostTags = 8;
const answerSchema = z.strictObject({ tags: z.array(z.string().min(1).max(40)).min(1).max(mostTags) });

const input = z.strictObject({ design: documentDesign, ...modelInput });

const output = z.object({ tags: z.array(z.string()).describe('One to eight, lower case.'), ...spentFields });

/** Words of titles that say nothing of what it is about. */
const empty = new Set(['a', 'an', 'and', 'the', 'of', 'for', 'with', 'on', 'in', 'to', 'about', 'by', 'or']);

export const tags = defineStep({
  description: 'Gives a planned document its tags.',
  input,
  output,
  ...asksModel,
  async run(ctx, { design, ...choice }) {
    const answer = await askModel(ctx, 'tags', choice, {
      question: `Give this document its tags.\n\n${JSON.stringify(design)}`,
      template: JSON.stringify({ tags: wordsOf(design) }),
      schema: jsonSchemaOf(answerSchema),
    });
    const given = parseAnswer(answerSchema, answer.data).tags.map((tag) => tag.trim().toLowerCase());
    return { tags: [...new Set(given.filter((tag) => tag !== ''))], ...spentOn(answer) };
  },
});

function wordsOf({ title, sections }: DocumentDesign): string[] {
  const texts = [title, ...sections.map((section) => section.title)].join(' ').toLowerCase();
  const words = texts.match(/[\p{L}\p{N}]+/gu) ?? [];
  const found = [...new Set(words.filter((word) => word.length <= 40 && !empty.has(word)))].slice(0, mostTags);
  return found.length === 0 ? ['document'] : found;
}
