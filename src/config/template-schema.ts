// What may stand in a template of pipelines and in a file that makes pipelines of one.
import { z } from 'zod';
import { inputSchema } from './pipeline-schema.ts';
import { hyphenId, nameId, text } from './schema-parts.ts';

export const parameterSchema = inputSchema
  .extend({
    default: z.unknown().optional().describe('Used where a pipeline does not give the parameter.'),
    required: z
      .boolean()
      .optional()
      .describe(
        'Default: true where there is no default. Not required and without one: null, and keys that are it go.',
      ),
  })
  .describe('A parameter of the template: `parameters.NAME` in expressions.');

/** The head of a template; what stands beside it is the body of the pipelines. */
export const templateHeadSchema = z.object({
  template: hyphenId.describe('Name of the template.'),
  parameters: z.record(nameId, parameterSchema).default({}),
});

const given = z.record(z.string(), z.unknown()).default({}).describe('Values of the parameters; plain values.');

const member = z.strictObject({
  id: hyphenId.optional().describe("Id of the pipeline. Default: the template's."),
  tenant: hyphenId.optional().describe("Who owns it. Default: the template's."),
  description: text.optional(),
  with: given,
});

/** A document of `pipelines/` that makes one pipeline, or (`pipelines`) several, of a template. */
export const templateUseSchema = member
  .extend({
    template: hyphenId.describe('A template of `templates/`.'),
    with: given.describe('Values of the parameters; with `pipelines`: for those that do not give them.'),
    pipelines: z.array(member).min(1).max(10_000).optional().describe('One pipeline an entry.'),
  })
  .describe('Pipelines made of a template.');

export type ParameterShape = z.output<typeof parameterSchema>;
export type TemplateUseShape = z.output<typeof templateUseSchema>;
