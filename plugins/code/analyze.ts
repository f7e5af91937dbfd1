// code.analyze: reads every module of a checkout, keeps the details in the workspace, and answers with the list.
import { mkdir, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { isAbsolute, join, relative, resolve } from 'node:path';
import { defineStep, type StepContext, StepError } from 'cronwright/plugin';
import { z } from 'zod';
import { decodeSource } from './decode-source.ts';
import { findSources, isGenerated, isMinified, type Source } from './find-sources.ts';
import { languages, type Module } from './module.ts';

const input = z.strictObject({
  path: z.string().default('repo').describe('Folder of the workspace to read'),
  include: z
    .array(z.string().min(1).max(500))
    .default([])
    .describe('Patterns of paths to read (`src/**`, `*.ts`); default all'),
  exclude: z.array(z.string().min(1).max(500)).default([]).describe('Patterns of paths to leave out'),
  languages: z
    .array(z.enum(languages))
    .min(1)
    .default([...languages])
    .describe('Languages to read; default all'),
  max_files: z.int().min(1).max(50_000).default(5_000).describe('More are left out, the last by path, with a note'),
  max_file_bytes: z.int().min(1_000).max(20_000_000).default(1_000_000).describe('Larger files are left out'),
});

const output = z.object({
  modules: z.array(
    z.object({
      path: z.string(),
      slug: z.string(),
      language: z.string(),
      symbols: z.int().describe('Exported ones'),
      lines: z.int(),
    }),
  ),
  files: z.int().describe('Modules read'),
  symbols: z.int().describe('Exported ones of all modules'),
  languages: z.record(z.string(), z.int()).describe('Modules of each language'),
  errors: z.int().describe('Places in all modules that could not be read'),
  skipped: z.object({
    too_large: z.int(),
    minified: z.int(),
    generated: z.int(),
    over_limit: z.int(),
    unknown: z.int().describe('Files of no language that is known here'),
  }),
  note: z.string().nullable().describe('What is missing in `modules`, and why; null where nothing is'),
});

/** A step's output may be 1 MB; the list keeps well below. */
const maxListBytes = 900_000;

/** Files read and written at once: a disk answers many as fast as one. */
const filesAtOnce = 32;

type Skipped = z.output<typeof output>['skipped'];

export const analyze = defineStep({
  description:
    'Reads the modules of a checkout (TypeScript, JavaScript, Python, Go, Rust, Java): comments, exports, signatures',
  input,
  output,
  effects: 'none',
  idempotency: 'natural',
  // Parsing keeps a processor busy, and the compiler is large.
  isolation: 'process',
  weight: 'heavy',
  workspace: 'writes',
  async run(ctx, options) {
    const root = await sourceFolder(ctx, options.path);
    const target = join(ctx.workspace, '.cronwright', 'analysis');
    const [found] = await Promise.all([
      findSources(root, { ...options, signal: ctx.signal }),
      rm(target, { recursive: true, force: true }).then(() => mkdir(target, { recursive: true })),
    ]);
    const sources = found.sources.slice(0, options.max_files);
    const overLimit = found.sources.length - sources.length;
    const skipped: Skipped = { too_large: 0, minified: 0, generated: 0, over_limit: overLimit, unknown: found.unknown };
    const modules: Module[] = [];
    for (let from = 0; from < sources.length; from += filesAtOnce) {
      const batch = sources.slice(from, from + filesAtOnce);
      const texts = await Promise.all(batch.map((source) => readSource(root, source, options.max_file_bytes, skipped)));
      const read: Module[] = [];
      for (const [at, source] of batch.entries()) {
        ctx.signal.throwIfAborted();
        const text = texts[at];
        if (text !== undefined) read.push(await analyseSource(source, text));
      }
      await Promise.all(
        read.map((module) => writeFile(join(target, `${module.slug}.json`), `${JSON.stringify(module)}\n`)),
      );
      for (const module of read)
        modules.push({ ...module, symbols: module.symbols.filter((symbol) => symbol.exported) });
      ctx.progress({ done: from + batch.length, total: sources.length, message: batch.at(-1)?.path ?? '' });
    }
    const broken = modules.filter((module) => module.syntaxErrors > 0).map((module) => module.path);
    if (broken.length > 0) {
      ctx.log.warn('modules with syntax errors were read as far as possible', {
        count: broken.length,
        first: broken.slice(0, 5),
      });
    }
    return answer(ctx, modules, skipped);
  },
});

async function sourceFolder(ctx: StepContext, path: string): Promise<string> {
  const wanted = resolve(ctx.workspace, path);
  const real = await realpath(wanted).catch(() => undefined);
  if (real === undefined || !(await stat(real)).isDirectory()) {
    throw new StepError(
      'fatal',
      `there is no folder '${path}' in the workspace to analyse: check out a repository first`,
      {
        name: 'NotFound',
      },
    );
  }
  // Real paths: a link in a checkout must not lead to files of the machine.
  const inside = relative(await realpath(ctx.workspace), real);
  if (inside.startsWith('..') || isAbsolute(inside)) {
    throw new StepError('fatal', `path '${path}' leaves the workspace: give one relative to it, such as 'repo'`, {
      name: 'PathNotAllowed',
    });
  }
  return real;
}

async function readSource(
  root: string,
  source: Source,
  maxBytes: number,
  skipped: Skipped,
): Promise<string | undefined> {
  const path = join(root, source.path);
  const skip = (why: 'too_large' | 'minified' | 'generated'): undefined => {
    skipped[why] += 1;
  };
  if ((await stat(path)).size > maxBytes) return skip('too_large');
  const text = decodeSource(await readFile(path));
  if (isMinified(text)) return skip('minified');
  return isGenerated(text) ? skip('generated') : text;
}

/** The compiler and the grammars are large: what no file needs is not loaded. */
async function analyseSource({ path, language }: Source, text: string): Promise<Module> {
  if (language === 'typescript' || language === 'javascript') {
    const { readModule } = await import('./read-module.ts');
    return readModule({ path, language }, text);
  }
  const { readTree } = await import('./read-tree.ts');
  return readTree({ path, language }, text);
}

async function answer(
  ctx: StepContext,
  modules: readonly Module[],
  skipped: Skipped,
): Promise<z.output<typeof output>> {
  const rows = modules.map(({ path, slug, language, symbols, lines }) => ({
    path,
    slug,
    language,
    symbols: symbols.length,
    lines,
  }));
  const notes = [
    ...(skipped.over_limit > 0 ? [`${skipped.over_limit} files over max_files`] : []),
    ...(skipped.too_large > 0 ? [`${skipped.too_large} files over max_file_bytes`] : []),
    ...(skipped.minified > 0 ? [`${skipped.minified} minified files`] : []),
    ...(skipped.generated > 0 ? [`${skipped.generated} generated files`] : []),
  ];
  let bytes = 0;
  const listed = rows.filter((row) => {
    bytes += Buffer.byteLength(JSON.stringify(row)) + 1;
    return bytes <= maxListBytes;
  });
  if (listed.length < rows.length) {
    await ctx.artifacts.put({ name: 'modules.json', mediaType: 'application/json', content: JSON.stringify(rows) });
    notes.push(
      `${rows.length - listed.length} modules that did not fit the output (all are in the artifact modules.json)`,
    );
  }
  const note = notes.length === 0 ? null : `left out: ${notes.join(', ')}`;
  const symbols = rows.reduce((sum, row) => sum + row.symbols, 0);
  ctx.log.info('code analysed', { files: rows.length, symbols, ...(note === null ? {} : { note }) });
  const perLanguage = languages.map((each) => [each, rows.filter(({ language }) => language === each).length] as const);
  return {
    modules: listed,
    files: rows.length,
    symbols,
    languages: Object.fromEntries(perLanguage.filter(([, count]) => count > 0)),
    errors: modules.reduce((sum, module) => sum + module.syntaxErrors, 0),
    skipped,
    note,
  };
}
