// Reads what code.analyze left in the workspace for one module.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { StepError } from 'cronwright/plugin';
import { z } from 'zod';

/** A module in a list: all that is needed to find its analysis. */
export const moduleReference = z.looseObject({
  slug: z.string().regex(/^[a-z0-9-]{1,100}$/, 'must be the slug of a module of code.analyze'),
});

const symbolKinds = [
  'function',
  'class',
  'interface',
  'type',
  'enum',
  'constant',
  'variable',
  'namespace',
  're-export',
  'struct',
  'union',
  'trait',
  'record',
  'annotation',
  'static',
  'macro',
  'module',
  'method',
] as const;

const memberKinds = ['field', 'constant', 'constructor', 'property', 'method', 'implementation'] as const;

const tags = z.array(z.object({ tag: z.string(), name: z.string(), text: z.string() }));

const moduleSchema = z.object({
  // It becomes a path in the tree of documents, so it must not lead out of it.
  path: z.string().refine((path) => !path.split('/').some((name) => name === '' || name === '.' || name === '..')),
  slug: z.string(),
  language: z.enum(['typescript', 'javascript', 'python', 'go', 'rust', 'java']),
  package: z.string().optional(),
  comment: z.string(),
  symbols: z.array(
    z.object({
      name: z.string(),
      kind: z.enum(symbolKinds),
      signature: z.string(),
      comment: z.string(),
      tags,
      exported: z.boolean(),
      members: z.array(
        z.object({
          name: z.string(),
          signature: z.string(),
          comment: z.string(),
          kind: z.enum(memberKinds).optional(),
          tags: tags.default([]),
        }),
      ),
    }),
  ),
});

export type Module = z.infer<typeof moduleSchema>;
export type ModuleSymbol = Module['symbols'][number];
export type ModuleMember = ModuleSymbol['members'][number];
export type SymbolKind = ModuleSymbol['kind'];

/** Throws a fatal `NotFound` where the module was not analysed in this workspace. */
export async function readAnalysis(workspace: string, slug: string): Promise<Module> {
  const path = join(workspace, '.cronwright', 'analysis', `${slug}.json`);
  try {
    return moduleSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause;
    throw new StepError('fatal', `module '${slug}' was not analysed in this workspace: run code.analyze before`, {
      name: 'NotFound',
      cause,
    });
  }
}
