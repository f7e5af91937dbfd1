// A path of the run's workspace, which no name and no symbolic link leads out of.
import { mkdir, realpath } from 'node:fs/promises';
import { dirname, isAbsolute, join, sep } from 'node:path';
import { StepError } from 'cronwright/plugin';
import { z } from 'zod';

export const workspacePath = z
  .string()
  .min(1)
  .max(1_000)
  .refine(
    (path) => !isAbsolute(path) && path.split('/').every((part) => !['', '.', '..'].includes(part)),
    'expected a relative path without .. that stays in the workspace',
  );

/** The real path of a file that is there; else a fatal `FileNotFound` or `PathEscapes`. */
export async function existingFile(workspace: string, path: string): Promise<string> {
  const file = await realpath(join(workspace, path)).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error;
    throw new StepError('fatal', `there is no file ${path} in the workspace`, { name: 'FileNotFound' });
  });
  return within(await realpath(workspace), file, path);
}

/** Where a new file goes; its folders are made. */
export async function newFile(workspace: string, path: string): Promise<string> {
  const file = join(workspace, path);
  await mkdir(dirname(file), { recursive: true });
  const folder = within(await realpath(workspace), await realpath(dirname(file)), path);
  return join(folder, path.split('/').at(-1) ?? path);
}

function within(root: string, place: string, path: string): string {
  if (place === root || place.startsWith(root + sep)) return place;
  throw new StepError('fatal', `${path} leads out of the workspace by a symbolic link`, { name: 'PathEscapes' });
}
