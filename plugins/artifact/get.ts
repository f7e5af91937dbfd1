// Step artifact.get: an artifact's content as a step's output, or as a file of the workspace.
import { rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { defineStep, folderInside, putBackFiles, rememberFile, type StepContext, StepError } from 'cronwright/plugin';
import { z } from 'zod';
import { workspacePath } from './workspace-path.ts';

const input = z
  .strictObject({
    id: z.uuid().describe('The artifact, of any run of the tenant.'),
    as: z.enum(['text', 'json', 'base64', 'file']).default('text').describe('What the output holds.'),
    file: workspacePath.optional().describe('With `as: file`: where in the workspace.'),
  })
  .refine(
    ({ as, file }) => (as === 'file') === (file !== undefined),
    'expected a file with `as: file`, and only there',
  );

const output = z.object({
  id: z.string(),
  name: z.string(),
  media_type: z.string(),
  size: z.int(),
  sha256: z.string(),
  content: z.json().describe('Text, value or base64; null with `as: file`.'),
});

export const get = defineStep({
  description: 'Reads an artifact.',
  input,
  output,
  effects: 'none',
  idempotency: 'natural',
  isolation: 'inline',
  weight: 'light',
  workspace: 'writes',
  async run(ctx, given) {
    const { artifact, content } = await ctx.artifacts.get(given.id);
    const about = {
      id: artifact.id,
      name: artifact.name,
      media_type: artifact.mediaType,
      size: artifact.size,
      sha256: artifact.sha256,
    };
    if (given.as === 'file') {
      await writeNew(ctx, given.file ?? '', { content, sha256: artifact.sha256 });
      return { ...about, content: null };
    }
    return { ...about, content: decode(content, given.as, artifact.name) };
  },
  async compensate(ctx, given) {
    if (given.as === 'file') await putBackFiles(ctx, ctx.workspace);
  },
});

/** A link of that name is replaced itself, never what it leads to. */
async function writeNew(
  ctx: StepContext,
  path: string,
  { content, sha256 }: { content: Uint8Array; sha256: string },
): Promise<void> {
  if ((await rememberFile(ctx, { root: ctx.workspace, path, sha256 })) !== 'write') return;
  const file = join(await folderInside(ctx.workspace, dirname(path)), basename(path));
  await rm(file, { force: true });
  await writeFile(file, content, { flag: 'wx' });
}

function decode(content: Uint8Array, as: 'text' | 'json' | 'base64', name: string) {
  if (as === 'base64') return Buffer.from(content).toString('base64');
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(content);
  } catch (cause) {
    throw new StepError('fatal', `${name} is no UTF-8 text: read it as base64 or as a file`, {
      name: 'NotText',
      cause,
    });
  }
  if (as === 'text') return text;
  try {
    return z.json().parse(JSON.parse(text));
  } catch (cause) {
    throw new StepError('fatal', `${name} is no JSON: ${(cause as Error).message}`, { name: 'NotJson', cause });
  }
}
