// Lets a step take back the files it wrote: what was there before is kept and noted in its checkpoint, before it writes.
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, type Stats } from 'node:fs';
import {
  chmod,
  copyFile,
  lstat,
  mkdir,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  rmdir,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Json, StepContext } from './api.ts';

/** Bytes of a replaced file that are kept. */
const mostKept = { workspace: 67_108_864, artifact: 8_388_608 } as const;

export interface FileToWrite {
  /** Absolute; the folder that `path` is relative to. It has to be there. */
  root: string;
  path: string;
  /** Hex, of what will be written. */
  sha256: string;
  /** `workspace` (default), or `artifact` for files that stay when the run's workspace goes. */
  keepIn?: keyof typeof mostKept;
}

type Before =
  | { kind: 'nothing' }
  | { kind: 'file'; sha256: string; mode: number; kept: string | null; artifact: string | null }
  | { kind: 'link'; target: string }
  /** A folder, a pipe: writing fails, or what was there cannot be put back. */
  | { kind: 'other' };

interface Written {
  /** Of each of the step's tries. */
  sha256: string[];
  before: Before;
}

interface Journal {
  files: Record<string, Written>;
  /** Folders that the step made. */
  folders: string[];
}

type Found =
  | { kind: 'nothing' | 'other' }
  | { kind: 'file'; sha256: string; stats: Stats }
  | { kind: 'link'; target: string };

/**
 * Call it before a file is written, and write only where it says `write`. `same`: the file has this content already, and not from
 * this step; `ours`: an earlier try of the step wrote it. The step's checkpoint is the journal of this: it saves no other. What is
 * too large to be kept is told in the log. A path that leads out of the root is not looked at: the writing has to refuse it.
 */
export async function rememberFile(ctx: StepContext, file: FileToWrite): Promise<'write' | 'same' | 'ours'> {
  if (!(await isWithin(file.root, file.path))) return 'write';
  const journal = await loadJournal(ctx);
  const known = journal.files[file.path];
  const found = await look(join(file.root, file.path));
  const isOurs = found.kind === 'file' && known?.sha256.includes(found.sha256) === true;
  if (found.kind === 'file' && found.sha256 === file.sha256) return isOurs ? 'ours' : 'same';
  const before = isOurs ? known.before : await keep(ctx, file, found, known?.before);
  const sha256 = [...new Set([...(isOurs ? known.sha256 : []), file.sha256])];
  const folders = [...new Set([...journal.folders, ...(await missingFolders(file.root, file.path))])];
  const next: Journal = { files: { ...journal.files, [file.path]: { sha256, before } }, folders };
  await ctx.checkpoint.save(next as unknown as Json);
  return 'write';
}

/**
 * Puts back what was there before the step, file by file; folders that it made and that are empty go. A file that is no longer as
 * the step wrote it is left as it is, and the log says so. May be called again.
 */
export async function putBackFiles(ctx: StepContext, root: string): Promise<void> {
  const journal = await loadJournal(ctx);
  for (const [path, written] of Object.entries(journal.files).reverse()) {
    ctx.signal.throwIfAborted();
    if (await isWithin(root, path)) await putBack(ctx, join(root, path), path, written);
  }
  for (const folder of [...journal.folders].sort((a, b) => b.length - a.length)) {
    if (await isWithin(root, folder)) await removeEmpty(join(root, folder));
  }
}

async function putBack(ctx: StepContext, file: string, path: string, { sha256, before }: Written): Promise<void> {
  const found = await look(file);
  if (isAsBefore(found, before)) return;
  if (found.kind !== 'file' || !sha256.includes(found.sha256)) {
    ctx.log.warn('left as it is: somebody has changed or removed the file since', { path });
    return;
  }
  if (before.kind === 'nothing') await rm(file, { force: true });
  else if (before.kind === 'link') await replace(file, (beside) => symlink(before.target, beside));
  else if (!(await putFileBack(ctx, file, before))) {
    ctx.log.warn('left as it is: what was there before was not kept', { path });
    return;
  }
  ctx.log.info(before.kind === 'nothing' ? 'file removed' : 'file put back', { path });
}

/** False where its content is not there any more. */
async function putFileBack(ctx: StepContext, file: string, before: Before): Promise<boolean> {
  if (before.kind !== 'file') return false;
  const { kept, artifact, mode, sha256 } = before;
  const copy = kept === null ? undefined : join(ctx.workspace, kept);
  if (copy !== undefined && (await hashOf(copy)) === sha256) {
    await replace(file, async (beside) => {
      await copyFile(copy, beside);
      await chmod(beside, mode);
    });
    return true;
  }
  if (artifact === null) return false;
  const { content } = await ctx.artifacts.get(artifact);
  await replace(file, async (beside) => {
    await writeFile(beside, content);
    await chmod(beside, mode);
  });
  return true;
}

/** Written beside and renamed over: a reader sees the one or the other. */
async function replace(file: string, write: (beside: string) => Promise<void>): Promise<void> {
  const beside = join(dirname(file), `.${randomUUID()}.tmp`);
  try {
    await write(beside);
    await rename(beside, file);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
}

/** What was there, with a copy of a file's content where it is not too large. */
async function keep(ctx: StepContext, file: FileToWrite, found: Found, known: Before | undefined): Promise<Before> {
  if (found.kind !== 'file') return found.kind === 'link' ? found : { kind: found.kind };
  if (known?.kind === 'file' && known.sha256 === found.sha256) return known;
  const { sha256, stats } = found;
  const before = { kind: 'file' as const, sha256, mode: stats.mode & 0o7777 };
  const keepIn = file.keepIn ?? 'workspace';
  if (stats.size > mostKept[keepIn]) {
    const { path } = file;
    ctx.log.warn('what is replaced is too large to be kept: it cannot be put back', { path, bytes: stats.size });
    return { ...before, kept: null, artifact: null };
  }
  const from = join(file.root, file.path);
  if (keepIn === 'artifact') {
    const content = await readFile(from);
    const name = `before ${ctx.step}: ${basename(file.path)}`.slice(0, 255);
    const { id } = await ctx.artifacts.put({ name, mediaType: 'application/octet-stream', content });
    return { ...before, kept: null, artifact: id };
  }
  const place = join(
    '.cronwright',
    'undo',
    createHash('sha256').update(`${ctx.step}/${ctx.item}/${file.path}`).digest('hex'),
  );
  await mkdir(join(ctx.workspace, dirname(place)), { recursive: true });
  await replace(join(ctx.workspace, place), (beside) => copyFile(from, beside));
  return { ...before, kept: place, artifact: null };
}

function isAsBefore(found: Found, before: Before): boolean {
  if (found.kind === 'file') return before.kind === 'file' && before.sha256 === found.sha256;
  if (found.kind === 'link') return before.kind === 'link' && before.target === found.target;
  return found.kind === before.kind;
}

async function look(file: string): Promise<Found> {
  const stats = await lstat(file).catch(missing);
  if (stats === undefined) return { kind: 'nothing' };
  if (stats.isSymbolicLink()) return { kind: 'link', target: await readlink(file) };
  if (!stats.isFile()) return { kind: 'other' };
  return { kind: 'file', sha256: (await hashOf(file)) ?? '', stats };
}

async function hashOf(file: string): Promise<string | undefined> {
  const hash = createHash('sha256');
  try {
    await pipeline(createReadStream(file), hash);
  } catch (error) {
    return missing(error as NodeJS.ErrnoException);
  }
  return hash.digest('hex');
}

/** Folders above the file, below the root, that are not there yet; outermost first. */
async function missingFolders(root: string, path: string): Promise<string[]> {
  const parts = path.split('/').slice(0, -1);
  const folders = parts.map((_, index) => parts.slice(0, index + 1).join('/'));
  const there = await Promise.all(folders.map((folder) => lstat(join(root, folder)).catch(missing)));
  return folders.filter((_, index) => there[index] === undefined);
}

/** Whether the innermost folder above the path that is there is below the root: none that somebody made a link to elsewhere. */
async function isWithin(root: string, path: string): Promise<boolean> {
  const real = await realpath(root).catch(missing);
  if (real === undefined) return false;
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    const found = await realpath(join(root, folder)).catch(missing);
    if (found === undefined && folder !== '.' && folder !== '/') continue;
    const between = relative(real, found ?? '/');
    return !(between === '..' || between.startsWith('../') || isAbsolute(between));
  }
}

async function removeEmpty(folder: string): Promise<void> {
  await rmdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (!['ENOENT', 'ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes(error.code ?? '')) throw error;
  });
}

function missing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error;
}

async function loadJournal(ctx: StepContext): Promise<Journal> {
  const loaded = (await ctx.checkpoint.load()) as unknown as Partial<Journal> | undefined;
  return { files: loaded?.files ?? {}, folders: loaded?.folders ?? [] };
}
