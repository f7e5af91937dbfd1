// docs.generate: writes the page of one module.
import { defineStep } from 'cronwright/plugin';
import { z } from 'zod';
import { moduleReference, readAnalysis } from './analysis.ts';
import { documentTree, pagePath, takeBack, writeUndoably } from './documents.ts';
import { modulePage } from './module-page.ts';

const input = z.strictObject({
  module: z
    .union([moduleReference, moduleReference.shape.slug])
    .describe('A module of code.analyze (an item of its `modules`), or its slug'),
  out: z.string().default('docs').describe('Folder of the workspace that receives the documents'),
});

const output = z.object({
  path: z.string().describe('Relative to `out`'),
  bytes: z.int(),
  sha256: z.string(),
  symbols: z.int().describe('Exported ones'),
});

export const generate = defineStep({
  description: 'Writes the Markdown page of one module; equal input gives an equal page',
  input,
  output,
  effects: 'none',
  idempotency: 'natural',
  weight: 'heavy',
  workspace: 'writes',
  async run(ctx, { module: reference, out }) {
    const slug = typeof reference === 'string' ? reference : reference.slug;
    const module = await readAnalysis(ctx.workspace, slug);
    const tree = documentTree(ctx.workspace, out);
    const written = await writeUndoably(ctx, tree, pagePath(module), modulePage(module));
    return { ...written, symbols: module.symbols.filter((symbol) => symbol.exported).length };
  },
  async compensate(ctx, { out }) {
    await takeBack(ctx, documentTree(ctx.workspace, out));
  },
});
