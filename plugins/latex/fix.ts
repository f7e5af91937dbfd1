// Step latex.fix: a document that does not compile to one that may; made for `ai_fix` of a step latex.compile.
import { defineStep, StepError } from 'cronwright/plugin';
import { z } from 'zod';
import { askModel, asksModel, modelInput, spentFields, spentOn } from './ask-model.ts';
import { documentIn, documentSource } from './document-source.ts';
import { repairSource } from './repair-source.ts';

const input = z.strictObject({
  source: documentSource,
  error: z.string().min(1).max(10_000).describe('The message of the compiler.'),
  line: z.int().min(1).nullish().describe('Where it met the error.'),
  snippet: z.string().max(10_000).nullish().describe('The lines around it.'),
  log: z.string().max(100_000).nullish().describe('Its end is shown to the model.'),
  ...modelInput,
});

const output = z.object({
  source: z.string(),
  changes: z.array(z.string()).describe('What the built-in repairs did; empty where a model repaired it.'),
  ...spentFields,
});

/** Characters of the log that a model is shown. */
const shownLog = 4_000;

export const fix = defineStep({
  description: 'Repairs a LaTeX document by the error it gave.',
  input,
  output,
  ...asksModel,
  async run(ctx, { source, error, line, snippet, log, ...choice }) {
    const repaired = repairSource(source, error, line ?? undefined);
    const parts = [
      `The document does not compile: ${error}`,
      snippet ? `Around line ${line ?? '?'}:\n${snippet}` : '',
      log ? `The end of the log:\n${log.slice(-shownLog)}` : '',
      `The document:\n${source}`,
    ];
    const question = parts.filter((part) => part !== '').join('\n\n');
    const answer = await askModel(ctx, 'fix', choice, { question, template: repaired.source });
    const byTemplate = answer.provider === 'template';
    const fixed = byTemplate ? answer.text : documentIn(answer.text);
    if (fixed.trim() === source.trim()) throw notRepaired(error, byTemplate);
    return { source: fixed, changes: byTemplate ? repaired.changes : [], ...spentOn(answer) };
  },
});

function notRepaired(error: string, byTemplate: boolean): StepError {
  const why = byTemplate
    ? 'the built-in repairs know nothing against'
    : 'the model gave the document back as it was for';
  return new StepError('fatal', `${why} "${error.slice(0, 300)}": it takes a person`, { name: 'NotRepaired' });
}
