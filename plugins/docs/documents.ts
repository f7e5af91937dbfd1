// Where documents lie in the workspace, and how they get there whole.
import { createHash } from 'node:crypto';
import { mkdir, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { putBackFiles, rememberFile, type StepContext, StepError } from 'cronwright/plugin';

export interface Written {
  /** Relative to the tree of documents. */
  path: string;
  bytes: number;
  /** Hex. */
  sha256: string;
}

/** Folder of the documents, as an absolute path; one that is not a folder below the workspace is a fatal `PathNotAllowed`. */
export function documentTree(workspace: string, out: string, input = 'out'): string {
  const absolute = resolve(workspace, out);
  const inside = relative(workspace, absolute);
  if (inside === '' || inside.startsWith('..') || isAbsolute(inside)) {
    throw new StepError('fatal', `${input} '${out}' must be a folder below the workspace, such as 'docs'`, {
      name: 'PathNotAllowed',
    });
  }
  return absolute;
}

/**
 * The page of a module, relative to the tree. The slug stands in for names too long for a file system, and for folders
 * that are called like a page (`a.ts.md/` beside `a.ts`).
 */
export function pagePath(module: { path: string; slug: string }): string {
  const names = module.path.split('/');
  const fits = names.every(
    (name, at) => Buffer.byteLength(name) <= 250 && (at === names.length - 1 || !/\.md$/i.test(name)),
  );
  return `modules/${fits ? module.path : module.slug}.md`;
}

/** As `writeDocument`; a compensation of the step can take it back. */
export async function writeUndoably(ctx: StepContext, tree: string, path: string, content: string): Promise<Written> {
  const sha256 = createHash('sha256').update(content).digest('hex');
  await rememberFile(ctx, { root: ctx.workspace, path: relative(ctx.workspace, join(tree, path)), sha256 });
  return writeDocument(tree, path, content);
}

/** Removes what an attempt that was killed left half-written, and puts back what was there before the step. */
export async function takeBack(ctx: StepContext, tree: string): Promise<void> {
  await putBackFiles(ctx, ctx.workspace);
  await rm(join(tree, '.partial'), { recursive: true, force: true });
  await rmdir(tree).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT' && error.code !== 'ENOTEMPTY') throw error;
  });
}

/** Writes a document by way of a temporary file: nobody ever reads half of one, and a killed attempt leaves the old one. */
async function writeDocument(tree: string, path: string, content: string): Promise<Written> {
  const target = join(tree, path);
  const sha256 = createHash('sha256').update(content).digest('hex');
  const temporary = join(tree, '.partial', `${createHash('sha256').update(path).digest('hex')}.md`);
  await mkdir(dirname(target), { recursive: true });
  await mkdir(dirname(temporary), { recursive: true });
  try {
    await writeFile(temporary, content);
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  return { path, bytes: Buffer.byteLength(content), sha256 };
}
