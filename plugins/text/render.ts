// Step text.render: a Liquid template and values make a text.
import { defineStep, isMediaType, type Json, StepError } from 'cronwright/plugin';
import { z } from 'zod';
import { escapes } from './escape.ts';
import { checkTemplate, renderTemplate } from './template.ts';

const input = z.strictObject({
  template: z
    .string()
    .max(500_000)
    .superRefine((text, context) => {
      const problem = checkTemplate(text);
      if (problem !== undefined) context.addIssue({ code: 'custom', message: problem });
    })
    .describe('Liquid: {{ name }}, {% for %}, {% if %}. Values come in through `values`, so it holds no ${{ }}.')
    .meta({ 'x-cronwright-no-expressions': true }),
  values: z.record(z.string(), z.json()).default({}).describe('What the template can name.'),
  escape: z
    .enum(escapes)
    .default('none')
    .describe('How values are made harmless: for HTML, LaTeX or JSON strings. `| raw` puts one in as it is.'),
  artifact: z
    .strictObject({
      name: z.string().min(1).max(255),
      media_type: z
        .string()
        .min(3)
        .max(255)
        .refine(isMediaType, 'expected type/subtype, with parameters or without, in visible ASCII')
        .default('text/plain'),
    })
    .optional()
    .describe('Keep the text as an artifact instead of in the output: for texts beyond 1 MB.'),
});

const output = z.object({
  text: z.string().nullable().describe('Null where it was kept as an artifact.'),
  bytes: z.int(),
  artifact: z.object({ id: z.string(), name: z.string(), size: z.int(), sha256: z.string() }).nullable(),
});

export const render = defineStep({
  description: 'Renders a Liquid template.',
  input,
  output,
  effects: 'none',
  idempotency: 'natural',
  isolation: 'inline',
  weight: 'light',
  async run(ctx, { template, values, escape: mode, artifact }) {
    const text = renderTemplate(template, values as Record<string, Json>, mode);
    const bytes = Buffer.byteLength(text);
    if (!artifact) {
      if (bytes > mostOutputBytes) throw tooLarge(bytes);
      return { text, bytes, artifact: null };
    }
    const kept = await ctx.artifacts.put({ name: artifact.name, mediaType: artifact.media_type, content: text });
    return { text: null, bytes, artifact: { id: kept.id, name: kept.name, size: kept.size, sha256: kept.sha256 } };
  },
});

/** An output of 1 MB less room for the rest of it; JSON may double what it quotes, the host has the last word. */
const mostOutputBytes = 1_000_000;

function tooLarge(bytes: number): StepError {
  return new StepError('fatal', `the text has ${bytes} bytes, an output holds 1 MB: give it an \`artifact\``, {
    name: 'TextTooLarge',
  });
}
