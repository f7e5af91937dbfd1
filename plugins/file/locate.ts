// Finds the place of a file under its root, and lets no path or symbolic link lead out of it.
import { lstat, mkdir, realpath } from 'node:fs/promises';
import { isAbsolute, join, relative, sep } from 'node:path';
import { type StepContext, StepError } from 'cronwright/plugin';
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
  .refine(isPlainRelative, 'expected a relative path without .. that stays below its root');

/** Absolute path of the root, made where it is missing, without symbolic links. */
export async function rootOf(ctx: StepContext, where: 'workspace' | 'files'): Promise<string> {
  const root = where === 'workspace' ? ctx.workspace : join(ctx.host.dataDir, 'files');
  await mkdir(root, { recursive: true });
  return realpath(root);
}

/** Makes the folders above a file, one by one, so that none is made beyond a link that leads out. Returns the real folder. */
export async function makeFolders(root: string, relativePath: string): Promise<string> {
  let folder = root;
  for (const part of relativePath.split('/').slice(0, -1)) {
    const next = join(folder, part);
    await mkdir(next).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
    folder = await realpath(next);
    if (!isBelow(root, folder)) throw leadsOut(relativePath);
    if (!(await lstat(folder)).isDirectory()) {
      throw new StepError('fatal', `${relativePath}: ${part} is a file, expected a folder`, { name: 'NotAFolder' });
    }
  }
  return folder;
}

/** The real path of an existing file below the root; a missing one is a fatal FileNotFound. */
export async function existingFile(root: string, relativePath: string): Promise<string> {
  const file = await realpath(join(root, relativePath)).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error;
    throw new StepError('fatal', `there is no file ${relativePath}`, { name: 'FileNotFound' });
  });
  if (!isBelow(root, file)) throw leadsOut(relativePath);
  return file;
}

function isPlainRelative(value: string): boolean {
  if (isAbsolute(value) || value.includes('\0') || value.includes('\\')) return false;
  return value.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
}

function isBelow(root: string, place: string): boolean {
  const between = relative(root, place);
  return between === '' || !(isAbsolute(between) || between === '..' || between.startsWith(`..${sep}`));
}

function leadsOut(relativePath: string): StepError {
  return new StepError('fatal', `${relativePath} leads out of its root by a symbolic link`, { name: 'PathEscapes' });
}
