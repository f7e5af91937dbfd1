// docs.index: writes the page that leads to all others, and takes away pages that belong to no module any more.
import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { defineStep } from 'cronwright/plugin';
import { z } from 'zod';
import { type Module, moduleReference, readAnalysis } from './analysis.ts';
import { documentTree, pagePath, takeBack, writeUndoably } from './documents.ts';
import { indexPage } from './index-page.ts';

const input = z.strictObject({
  modules: z.array(moduleReference).describe('`modules` of code.analyze'),
  title: z.string().trim().min(1).default('Documentation'),
  description: z.string().default('').describe('Prose below the title'),
  note: z.string().nullable().default(null).describe('`note` of code.analyze: what was left out'),
  out: z.string().default('docs').describe('Folder of the workspace that holds the documents'),
});

const output = z.object({
  path: z.string().describe('Relative to `out`'),
  bytes: z.int(),
  sha256: z.string(),
  modules: z.int(),
  symbols: z.int().describe('Exported ones of all modules'),
  missing: z.int().describe('Modules without a page'),
  removed: z.int().describe('Pages of no module, taken away'),
});

export const index = defineStep({
  description: 'Writes the index of all pages (README.md) and removes pages of modules that are gone',
  input,
  output,
  effects: 'none',
  idempotency: 'natural',
  weight: 'heavy',
  workspace: 'writes',
  async run(ctx, options) {
    const tree = documentTree(ctx.workspace, options.out);
    const entries: { module: Module; hasPage: boolean }[] = [];
    for (const { slug } of options.modules) {
      ctx.signal.throwIfAborted();
      const module = await readAnalysis(ctx.workspace, slug);
      entries.push({ module, hasPage: existsSync(join(tree, pagePath(module))) });
    }
    const removed = await removeStrays(tree, new Set(entries.map(({ module }) => pagePath(module))));
    const page = indexPage({ ...options, note: options.note ?? '', modules: entries });
    const written = await writeUndoably(ctx, tree, 'README.md', page);
    // Last: a killed attempt of any page may have left something there.
    await rm(join(tree, '.partial'), { recursive: true, force: true });
    const missing = entries.filter((entry) => !entry.hasPage).length;
    if (missing > 0) ctx.log.warn('modules without a page', { count: missing });
    const symbols = entries.flatMap(({ module }) => module.symbols).filter((symbol) => symbol.exported).length;
    return { ...written, modules: entries.length, symbols, missing, removed };
  },
  async compensate(ctx, { out }) {
    await takeBack(ctx, documentTree(ctx.workspace, out));
  },
});

/** Removes files below `modules/` that are no page of a module, and folders that are empty then. */
async function removeStrays(tree: string, pages: ReadonlySet<string>): Promise<number> {
  const visit = async (folder: string): Promise<{ removed: number; left: number }> => {
    let removed = 0;
    let left = 0;
    for (const entry of await readdir(join(tree, folder), { withFileTypes: true })) {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory()) {
        const inside = await visit(path);
        removed += inside.removed;
        left += inside.left > 0 ? 1 : 0;
      } else if (pages.has(path)) left += 1;
      else {
        await rm(join(tree, path));
        removed += 1;
      }
    }
    if (left === 0) await rm(join(tree, folder), { recursive: true });
    return { removed, left };
  };
  return existsSync(join(tree, 'modules')) ? (await visit('modules')).removed : 0;
}
