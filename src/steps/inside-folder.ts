// Finds and makes places below a folder, and lets no path or symbolic link lead out of it.
import { mkdir, realpath, stat } from 'node:fs/promises';
import { isAbsolute, join, relative, sep } from 'node:path';
import { StepError } from './step-error.ts';

/** Whether a path is relative, with `/` alone, and without `.`, `..`, empty parts, `\` and NUL: for input schemas. */
export function isPathInside(path: string): boolean {
  if (isAbsolute(path) || path.includes('\0') || path.includes('\\')) return false;
  return path.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
}

/** The real path of what is at `path` below `root`; else a fatal `FileNotFound` or `PathEscapes`. */
export async function existingFileInside(root: string, path: string): Promise<string> {
  if (!isPathInside(path)) throw leadsOut(path);
  const file = await realpath(join(root, path)).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error;
    throw new StepError('fatal', `there is no file ${path}`, { name: 'FileNotFound' });
  });
  if (!isBelow(await realpath(root), file)) throw leadsOut(path);
  return file;
}

/**
 * The real path of the folder `path` below `root` (`.` is `root` itself), made where it is missing; else a fatal `PathEscapes`
 * or `NotAFolder`. A file that is written there with the flag `wx`, or renamed into its place, goes through no link.
 */
export async function folderInside(root: string, path: string): Promise<string> {
  if (path !== '.' && !isPathInside(path)) throw leadsOut(path);
  const realRoot = await realpath(root);
  let folder = realRoot;
  // One by one, so that none is made beyond a link that leads out.
  for (const part of path === '.' ? [] : path.split('/')) {
    folder = await stepInto(folder, part, path);
    if (!isBelow(realRoot, folder)) throw leadsOut(path);
    if (!(await stat(folder)).isDirectory()) {
      throw new StepError('fatal', `${path}: ${part} is a file, expected a folder`, { name: 'NotAFolder' });
    }
  }
  return folder;
}

async function stepInto(folder: string, part: string, path: string): Promise<string> {
  const next = join(folder, part);
  await mkdir(next).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  return realpath(next).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT' && error.code !== 'ELOOP') throw error;
    throw new StepError('fatal', `${path}: ${part} is a symbolic link to nothing`, { name: 'PathEscapes' });
  });
}

function isBelow(root: string, place: string): boolean {
  const between = relative(root, place);
  return between === '' || !(isAbsolute(between) || between === '..' || between.startsWith(`..${sep}`));
}

function leadsOut(path: string): StepError {
  return new StepError('fatal', `${path} leads out of its root`, { name: 'PathEscapes' });
}
