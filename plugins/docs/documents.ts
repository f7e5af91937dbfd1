// Where documents lie in the workspace, and how they get there whole.
import { createHash } from 'node:crypto';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { StepError } from 'cronwright/plugin';

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

/** Writes a document by way of a temporary file: nobody ever reads half of one, and a killed attempt leaves the old one. */
export async function writeDocument(tree: string, path: string, content: string): Promise<Written> {
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
