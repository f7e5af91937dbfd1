// The inputs that name a file, and the root it lies below.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isPathInside, type StepContext } from 'cronwright/plugin';
import { z } from 'zod';

export const target = z
  .enum(['workspace', 'files'])
  .default('workspace')
  .describe('`workspace`: the folder of the run. `files`: the folder `files` of the data directory, which stays.');

export const path = z
  .string()
  .min(1)
  .max(1_000)
  .describe('Relative, with /.')
  .refine(isPathInside, 'expected a relative path without .. that stays below its root');

/** Absolute path of the root, made where it is missing. */
export async function rootOf(ctx: StepContext, where: 'workspace' | 'files'): Promise<string> {
  const root = where === 'workspace' ? ctx.workspace : join(ctx.host.dataDir, 'files');
  await mkdir(root, { recursive: true });
  return root;
}
