// docs.validate: reads a tree of Markdown pages as its readers will, and fails where it must not be published.
import { readdir, readFile, realpath } from 'node:fs/promises';
import { isAbsolute, join, relative } from 'node:path';
import { defineStep, type StepContext, StepError } from 'cronwright/plugin';
import { z } from 'zod';
import { type Module, moduleReference, readAnalysis } from './analysis.ts';
import { checkLinks, type Problem, problemKinds, type Tree } from './check-links.ts';
import { type Coverage, coverageOf } from './coverage.ts';
import { documentTree } from './documents.ts';
import type { Page } from './read-page.ts';

const percent = z.number().min(0).max(100).default(0);

const input = z.strictObject({
  directory: z.string().default('docs').describe('Folder of the workspace that holds the documents'),
  modules: z.array(moduleReference).default([]).describe('`modules` of code.analyze, for the coverage'),
  min_coverage: percent.describe(
    'Percent of the modules that need a page, and of their public symbols that need to be on it',
  ),
  min_comments: percent.describe('Percent of the public symbols that need a doc comment'),
  fail_on: z
    .array(z.enum(problemKinds))
    .default(['dead_link', 'dead_anchor', 'link_outside'])
    .describe('Kinds of problems that fail the step; the others are only told'),
});

const share = z.object({
  documented: z.int(),
  total: z.int(),
  percent: z.number().describe('One decimal, rounded down; 100 where there is nothing to document'),
  missing: z.array(z.string()).describe('The first 20 that are not documented'),
});

const output = z.object({
  ok: z.boolean().describe('No problems of any kind'),
  pages: z.int(),
  links: z.object({ internal: z.int(), external: z.int().describe('To elsewhere; they are not followed') }),
  coverage: z.object({ modules: share, symbols: share, comments: share }),
  problems: z
    .array(
      z.object({
        file: z.string().describe('Relative to `directory`'),
        line: z.int(),
        column: z.int(),
        kind: z.enum(problemKinds),
        target: z.string(),
        message: z.string(),
      }),
    )
    .describe('At most 200, by file, line and column'),
  problem_count: z.int().describe('All of them'),
});

const maxProblems = 200;
const maxInError = 20;
const maxTargetLength = 500;

export const validate = defineStep({
  description: 'Checks Markdown documents: dead links and anchors, missing images, orphans, coverage of the code',
  input,
  output,
  effects: 'none',
  idempotency: 'natural',
  // Parsing keeps a processor busy.
  isolation: 'process',
  weight: 'heavy',
  workspace: 'reads',
  async run(ctx, options) {
    const tree = await readTree(ctx, options.directory);
    const modules: Module[] = [];
    for (const { slug } of options.modules) modules.push(await readAnalysis(ctx.workspace, slug));
    const { problems, links, external } = checkLinks(tree);
    const shown = problems.map((problem) => ({ ...problem, target: problem.target.slice(0, maxTargetLength) }));
    const coverage = coverageOf(modules, tree.pages);
    const fatal = shown.filter(({ kind }) => options.fail_on.includes(kind));
    const tooLow = shortfalls(coverage, options);
    if (fatal.length > 0 || tooLow.length > 0) throw invalid(fatal, tooLow, coverage);
    if (shown.length > 0) {
      ctx.log.warn('documents with problems', { count: shown.length, first: shown.slice(0, 5).map(described) });
    }
    return {
      ok: shown.length === 0,
      pages: tree.pages.length,
      links: { internal: links, external },
      coverage,
      problems: shown.slice(0, maxProblems),
      problem_count: shown.length,
    };
  },
});

async function readTree(ctx: StepContext, directory: string): Promise<Tree> {
  const root = await realpath(documentTree(ctx.workspace, directory, 'directory')).catch(() => undefined);
  if (root === undefined) {
    throw new StepError('fatal', `there is no folder '${directory}' in the workspace: write the documents first`, {
      name: 'NotFound',
    });
  }
  const inside = relative(await realpath(ctx.workspace), root);
  if (inside.startsWith('..') || isAbsolute(inside)) {
    throw new StepError('fatal', `directory '${directory}' leaves the workspace`, { name: 'PathNotAllowed' });
  }
  const { readPage } = await import('./read-page.ts');
  const { files, folders } = await listTree(root);
  const pages: Page[] = [];
  const paths = [...files].filter((path) => /\.(md|markdown)$/i.test(path)).sort();
  for (const [at, path] of paths.entries()) {
    ctx.signal.throwIfAborted();
    pages.push(readPage(path, await readFile(join(root, path), 'utf8')));
    if (at % 50 === 49) ctx.progress({ done: at + 1, total: paths.length, message: path });
  }
  return { pages, files, folders };
}

/** Links of the file system are not followed: what is behind them is not published. */
async function listTree(root: string): Promise<{ files: Set<string>; folders: Set<string> }> {
  const files = new Set<string>();
  const folders = new Set(['.']);
  const visit = async (folder: string): Promise<void> => {
    for (const entry of await readdir(join(root, folder), { withFileTypes: true })) {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory() && entry.name !== '.git') {
        folders.add(path);
        await visit(path);
      } else if (entry.isFile()) files.add(path);
    }
  };
  await visit('');
  return { files, folders };
}

function shortfalls(coverage: Coverage, options: { min_coverage: number; min_comments: number }): string[] {
  const wanted = [
    { what: 'modules with a page', share: coverage.modules, least: options.min_coverage },
    { what: 'symbols on their page', share: coverage.symbols, least: options.min_coverage },
    { what: 'symbols with a doc comment', share: coverage.comments, least: options.min_comments },
  ];
  return wanted
    .filter(({ share: { percent: reached }, least }) => reached < least)
    .map(({ what, share: { documented, total, percent: reached }, least }) => {
      return `${what}: ${documented} of ${total} (${reached} %), at least ${least} % are wanted`;
    });
}

function invalid(fatal: readonly Problem[], tooLow: readonly string[], coverage: Coverage): StepError {
  const [first] = fatal;
  const links =
    first === undefined ? [] : [`${described(first)}${fatal.length > 1 ? `; and ${fatal.length - 1} more` : ''}`];
  return new StepError('fatal', `the documents must not be published: ${[...links, ...tooLow].join('; ')}`, {
    name: 'InvalidDocuments',
    details: {
      problem_count: fatal.length,
      problems: fatal.slice(0, maxInError).map((problem) => ({ ...problem })),
      missing: {
        modules: coverage.modules.missing,
        symbols: coverage.symbols.missing,
        comments: tooLow.some((each) => each.includes('doc comment')) ? coverage.comments.missing : [],
      },
    },
  });
}

function described({ file, line, column, kind, target, message }: Problem): string {
  return `${file}:${line}:${column} ${kind} '${target}': ${message}`;
}
