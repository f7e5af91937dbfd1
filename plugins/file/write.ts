// Step file.write: puts content into a file, whole or not at all.
import { createHash, randomUUID } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { defineStep, folderInside, putBackFiles, rememberFile } from 'cronwright/plugin';
import { z } from 'zod';
import { path, rootOf, target } from './locate.ts';

const input = z.strictObject({
  path,
  content: z.string(),
  encoding: z.enum(['utf8', 'base64']).default('utf8'),
  target,
});

const output = z.object({
  path: z.string(),
  bytes: z.int(),
  sha256: z.string(),
  changed: z.boolean().describe('False where the file held this content already.'),
});

export const write = defineStep({
  description: 'Writes a file atomically.',
  input,
  output,
  effects: 'outside',
  dryRun: 'handled',
  idempotency: 'natural',
  isolation: 'inline',
  weight: 'light',
  workspace: 'writes',
  async run(ctx, given) {
    const content = Buffer.from(given.content, given.encoding);
    const result = { path: given.path, bytes: content.length, sha256: sha256Of(content) };
    if (ctx.dryRun && given.target === 'files') {
      ctx.log.info(`dry run: would write ${content.length} bytes to files/${given.path}`);
      return { ...result, changed: false };
    }
    const root = await rootOf(ctx, given.target);
    const keepIn = given.target === 'files' ? 'artifact' : 'workspace';
    const state = await rememberFile(ctx, { root, path: given.path, sha256: result.sha256, keepIn });
    if (state !== 'write') return { ...result, changed: state === 'ours' };
    const folder = await folderInside(root, dirname(given.path));
    await replaceFile(folder, join(folder, basename(given.path)), content);
    return { ...result, changed: true };
  },
  async compensate(ctx, { target: where }) {
    await putBackFiles(ctx, await rootOf(ctx, where));
  },
});

/** Written beside, synced, then renamed over: a reader sees the old content or the new one, also after a power loss. */
async function replaceFile(folder: string, file: string, content: Buffer): Promise<void> {
  const beside = join(folder, `.${randomUUID()}.tmp`);
  try {
    const handle = await open(beside, 'wx');
    try {
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
    // Renaming replaces a symbolic link itself, never what it leads to.
    await rename(beside, file);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function sha256Of(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}
