// The shape of plugin.yaml: a plugin whose steps are programs in any language.
import { z } from 'zod';
import { hyphenId, nameId, says, text } from '../../config/schema-parts.ts';

const jsonSchema = z.record(z.string(), z.unknown()).describe('A JSON Schema.');

const step = z.strictObject({
  description: text.optional().describe('One sentence: what the step does.'),
  command: z
    .array(text.min(1))
    .min(1)
    .max(100)
    .describe('Program and arguments. What starts with `./` or `../` is a file, seen from the folder of plugin.yaml.'),
  input: jsonSchema.describe('JSON Schema of what stands under `with`. Defaults in it are applied.'),
  output: jsonSchema.describe('JSON Schema of what the step returns.'),
  effects: z.enum(['none', 'outside']).optional(),
  dryRun: z
    .literal('handled')
    .optional()
    .describe(
      'The program looks at `dryRun` of its context. Without it a step with `effects: outside` is not run then.',
    ),
  idempotency: z.enum(['natural', 'keyed', 'none']).optional(),
  weight: z.enum(['light', 'heavy']).optional(),
  workspace: z.enum(['none', 'writes', 'reads']).optional(),
  compensate: z.boolean().optional().describe('The program can undo what it did: it is started with `compensates`.'),
  irreversible: text.min(1).optional().describe('Why what the step did cannot be undone.'),
});

export const manifestSchema = z.strictObject({
  name: hyphenId.describe('The first half of every step type.'),
  version: z
    .string()
    .regex(/^\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?$/, says('not a version', 'a semantic version such as 1.0.0')),
  apiVersion: z.literal(1).describe('1: the plugin API this file is written for.'),
  description: text.optional(),
  steps: z
    .record(nameId, step)
    .refine((steps) => Object.keys(steps).length > 0, says('there is no step', 'one step or more')),
});

export type Manifest = z.infer<typeof manifestSchema>;

let asJson: unknown;

/** For messages that name the keys that are known. */
export function manifestJsonSchema(): unknown {
  asJson ??= z.toJSONSchema(manifestSchema, { target: 'draft-7', io: 'input' });
  return asJson;
}
