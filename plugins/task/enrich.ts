// task.enrich: adds to a subtask what its project asks for: technologies, standards, rules and the practices of its category.
import { defineStep, StepError, textBeside } from 'cronwright/plugin';
import { z } from 'zod';
import { practicesFor, technologiesIn } from './best-practices.ts';
import { enrichedSubtask, schemaOf, subtask } from './subtask.ts';

const words = z.array(z.string().trim().min(1).max(300)).max(50);

const input = z.strictObject({
  subtask,
  tech_stack: words.default([]).describe('Technologies of the project.'),
  coding_standards: words.default([]).describe('Standards of the project.'),
  project_rules: z
    .record(z.string(), z.json())
    .default({})
    .describe('Whatever else holds in the project; goes along as it is.'),
  provider: z.string().optional().describe('A provider of `llm.providers`; default: that of the settings.'),
});

const answer = enrichedSubtask.pick({ tech_stack: true, coding_standards: true, best_practices: true });
const answerSchema = schemaOf('enrichment', answer);

export const enrich = defineStep({
  description: 'Adds technologies, standards, rules and best practices to a subtask',
  input,
  output: enrichedSubtask,
  effects: 'none',
  idempotency: 'natural',
  isolation: 'inline',
  weight: 'light',
  irreversible: 'tokens that a model was asked for stay paid',
  async run(ctx, { subtask: one, tech_stack: stack, coding_standards: standards, project_rules: rules, provider }) {
    const named = technologiesIn([one.title, one.description, ...one.requirements].join('\n'));
    const template = {
      tech_stack: [...new Set([...stack, ...named.filter((name) => !hasWord(stack, name))])],
      coding_standards: standards,
      best_practices: practicesFor(one),
    };
    const question = {
      subtask: one,
      project: { tech_stack: stack, coding_standards: standards, project_rules: rules },
    };
    const answered = await ctx.llm.ask({
      ...(provider === undefined ? {} : { provider }),
      system: textBeside(import.meta.url, './prompts/enrich.md'),
      messages: [
        {
          role: 'user',
          content: `Enrich this subtask.\n\n${JSON.stringify({ ...question, best_practices: template.best_practices })}`,
        },
      ],
      schema: answerSchema,
      template: JSON.stringify(template),
      cache: ctx.attempt === 1,
    });
    const read = answer.safeParse(answered.data);
    if (!read.success) {
      const text = `the enrichment cannot be used: ${z.prettifyError(read.error)}`.slice(0, 2_000);
      throw new StepError('transient', text, { name: 'InvalidAnswer' });
    }
    return { ...one, ...read.data, project_rules: rules };
  },
});

function hasWord(list: readonly string[], word: string): boolean {
  return list.some((one) => one.toLowerCase() === word.toLowerCase());
}
