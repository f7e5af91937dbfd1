// docs.generate: writes the page of one module.
import { defineStep } from 'cronwright/plugin';
import { z } from 'zod';
import { moduleReference, readAnalysis } from './analysis.ts';
import { askForPage } from './ask-for-page.ts';
import { documentTree, pagePath, takeBack, writeUndoably } from './documents.ts';
import { modulePage } from './module-page.ts';

const input = z.strictObject({
  module: z
    .union([moduleReference, moduleReference.shape.slug])
    .describe('A module of code.analyze (an item of its `modules`), or its slug'),
  out: z.string().default('docs').describe('Folder of the workspace that receives the documents'),
  writer: z
    .enum(['llm', 'template'])
    .default('llm')
    .describe(
      'llm: a model writes the page anew; where none is configured, and with template, it is made from the code',
    ),
  provider: z.string().optional().describe('A provider of the settings; default `llm.default`'),
  model: z.string().optional().describe('Default: that of the provider'),
});

const output = z.object({
  path: z.string().describe('Relative to `out`'),
  bytes: z.int(),
  sha256: z.string(),
  symbols: z.int().describe('Exported ones'),
  writer: z.enum(['llm', 'template']).describe('What wrote the page'),
});

export const generate = defineStep({
  description: 'Writes the Markdown page of one module, from its code or by a model',
  input,
  output,
  effects: 'none',
  idempotency: 'natural',
  weight: 'heavy',
  workspace: 'writes',
  async run(ctx, { module: reference, out, writer, provider, model }) {
    const slug = typeof reference === 'string' ? reference : reference.slug;
    const module = await readAnalysis(ctx.workspace, slug);
    const tree = documentTree(ctx.workspace, out);
    const template = modulePage(module);
    const { page, byModel } =
      writer === 'llm'
        ? await askForPage(ctx, { module, template, provider, model })
        : { page: template, byModel: false };
    const written = await writeUndoably(ctx, tree, pagePath(module), page);
    const symbols = module.symbols.filter((symbol) => symbol.exported).length;
    return { ...written, symbols, writer: byModel ? ('llm' as const) : ('template' as const) };
  },
  async compensate(ctx, { out }) {
    await takeBack(ctx, documentTree(ctx.workspace, out));
  },
});
