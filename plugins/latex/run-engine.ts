// Runs pdflatex on one document in a folder of its own: as often as its references need, within time, memory and size.
import { mkdtemp, open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ProgramLimits, runProgram, type StepContext, StepError, textBeside } from 'cronwright/plugin';
import { forbiddenReads } from './allowed-reads.ts';
import type { Cut } from './compile-failure.ts';

export interface EngineEnd {
  /** Undefined: there is none. */
  pdf: Buffer | undefined;
  /** Head and tail where it is long. Undefined where the engine was ended: what it had read until then is not known. */
  log: string | undefined;
  /** Why it was ended. */
  cut: Cut | undefined;
  passes: number;
}

export interface EngineBounds {
  timeoutMs: number;
  /** Bytes of any one file that it writes. */
  maxBytes: number;
}

/** Unless the pipeline says otherwise: a document of some hundred pages takes a tenth of it. */
const memoryBytes = 536_870_912;
const printedBytes = 67_108_864;
/** A table of contents may move the pages that it names once more. */
const mostPasses = 4;
/** Bytes of a log that are kept. */
const logBytes = 1_048_576;
const job = 'document';

const flags = ['-interaction=nonstopmode', '-halt-on-error', '-file-line-error', '-no-shell-escape', '-recorder'];

/** The folder is empty but for the document, and gone afterwards. */
export async function runEngine(ctx: StepContext, source: string, bounds: EngineBounds): Promise<EngineEnd> {
  const folder = await mkdtemp(join(ctx.workspace, 'latex-'));
  try {
    return await compileIn(folder, ctx, source, bounds);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function compileIn(folder: string, ctx: StepContext, source: string, bounds: EngineBounds): Promise<EngineEnd> {
  const env = environmentOf(folder, ctx);
  const trees = await installedTrees(folder, ctx, env);
  await writeFile(join(folder, 'guard.tex'), `${textBeside(import.meta.url, './guard.tex')}\n`);
  await writeFile(join(folder, 'source.tex'), source);
  const ownTime = AbortSignal.timeout(bounds.timeoutMs);
  let before = '';
  for (let pass = 1; ; pass += 1) {
    const cut = await runOnce(folder, ctx, env, bounds, ownTime);
    if (typeof cut === 'string') return { pdf: undefined, log: undefined, cut, passes: pass };
    // Before anything of it is shown: the log tells what was in a file that is no LaTeX.
    const forbidden = await forbiddenReads(folder, trees, `${job}.fls`);
    if (forbidden.length > 0) throw forbiddenFile(forbidden);
    const log = await readEnds(join(folder, `${job}.log`));
    if (!cut.ok) return { pdf: undefined, log, cut: undefined, passes: pass };
    const references = await referencesIn(folder);
    const isSettled = references === before && !/Rerun to get|rerun LaTeX/i.test(log);
    if (isSettled || pass === mostPasses) {
      const pdf = await readFile(join(folder, `${job}.pdf`)).catch(() => undefined);
      return { pdf, log, cut: undefined, passes: pass };
    }
    before = references;
    ctx.progress({ done: pass, total: pass + 1, message: 'references' });
  }
}

async function runOnce(
  folder: string,
  ctx: StepContext,
  env: Record<string, string>,
  bounds: EngineBounds,
  ownTime: AbortSignal,
): Promise<Cut | { ok: boolean }> {
  // POSIX: blocks of 512 bytes.
  const blocks = Math.ceil(bounds.maxBytes / 512);
  const limited = ['/bin/sh', '-c', `ulimit -f ${blocks}; exec "$@"`, 'sh', 'pdflatex'];
  const limits: ProgramLimits = { memoryBytes, outputBytes: printedBytes, ...ctx.limits };
  const own = new AbortController();
  const end = (signal: AbortSignal) => () => own.abort(signal.reason);
  const [onTime, onCtx] = [end(ownTime), end(ctx.signal)];
  ownTime.addEventListener('abort', onTime, { once: true });
  ctx.signal.addEventListener('abort', onCtx, { once: true });
  try {
    ctx.signal.throwIfAborted();
    if (ownTime.aborted) return 'timeout';
    const argv = [...limited, ...flags, `-jobname=${job}`, 'guard.tex'];
    const ended = await runProgram({
      ...{ argv, cwd: folder, env, stdin: undefined, signal: own.signal, limits },
      onOutput: () => {},
    });
    if (ended.exitCode === 127) throw programMissing();
    if (ended.signal === 'SIGXFSZ') return 'output';
    return { ok: ended.exitCode === 0 };
  } catch (error) {
    if (ctx.signal.aborted) throw ctx.signal.reason;
    if (ownTime.aborted) return 'timeout';
    const cut = cutBy(error);
    if (cut === undefined) throw error;
    return cut;
  } finally {
    ownTime.removeEventListener('abort', onTime);
    ctx.signal.removeEventListener('abort', onCtx);
  }
}

function cutBy(error: unknown): Cut | undefined {
  if (!(error instanceof StepError)) return undefined;
  const cuts: Readonly<Record<string, Cut>> = { MemoryLimit: 'memory', CpuLimit: 'processor', OutputLimit: 'output' };
  return cuts[error.name];
}

/** Nothing of the daemon's own environment but where programs are. */
function environmentOf(folder: string, ctx: StepContext): Record<string, string> {
  const { PATH = '/usr/local/bin:/usr/bin:/bin' } = ctx.host.programEnv;
  return {
    ...{ PATH, HOME: folder, TMPDIR: folder, LANG: 'C.UTF-8', TZ: 'UTC' },
    ...{ TEXMFHOME: folder, TEXMFVAR: folder, TEXMFCONFIG: folder, TEXMFOUTPUT: folder },
    ...{ SOURCE_DATE_EPOCH: '0', FORCE_SOURCE_DATE: '1', openin_any: 'p', openout_any: 'p' },
    // No programs that make fonts.
    ...{ MKTEXPK: '0', MKTEXTFM: '0', MKTEXMF: '0' },
    max_print_line: '1000',
  };
}

const knownTrees = new Map<string, string[]>();

/** By the installation's own word, once a PATH. Who asks at the same time asks too: one that is aborted ends nobody else. */
async function installedTrees(folder: string, ctx: StepContext, env: Record<string, string>): Promise<string[]> {
  const path = env.PATH ?? '';
  const known = knownTrees.get(path);
  if (known) return known;
  const trees = await askTrees(folder, ctx, env);
  knownTrees.set(path, trees);
  return trees;
}

async function askTrees(folder: string, ctx: StepContext, env: Record<string, string>): Promise<string[]> {
  const argv = ['kpsewhich', '-expand-braces=$TEXMF:$TEXMFROOT'];
  const asked = { argv, cwd: folder, env, stdin: undefined, signal: ctx.signal, limits: ctx.limits };
  const { stdout } = await runProgram({ ...asked, onOutput: () => {} }).catch((error: unknown) => {
    if (error instanceof StepError && error.name === 'ProgramNotFound') throw programMissing();
    throw error;
  });
  const trees = stdout.split(/[:\n]/).map((tree) => tree.replace(/^!!/, '').trim());
  // A whole disk is no tree.
  return trees.filter((tree) => tree.startsWith('/') && tree !== '/' && !tree.startsWith(folder));
}

/** What the next pass reads: where it does not change any more, neither do the pages. */
async function referencesIn(folder: string): Promise<string> {
  const parts = ['aux', 'toc', 'lof', 'lot', 'out'].map((extension) =>
    readEnds(join(folder, `${job}.${extension}`)).catch(() => ''),
  );
  const [aux = '', ...rest] = await Promise.all(parts);
  const text = [aux.replace(/^\\relax\s*|^\\gdef \\@abspage@last\{\d+\}\s*/gm, ''), ...rest].join('');
  return text.trim();
}

async function readEnds(path: string): Promise<string> {
  const { size } = await stat(path);
  if (size <= logBytes) return readFile(path, 'utf8');
  const file = await open(path, 'r');
  try {
    const half = logBytes / 2;
    const head = Buffer.alloc(half);
    const tail = Buffer.alloc(half);
    await file.read(head, 0, half, 0);
    await file.read(tail, 0, half, size - half);
    return `${head.toString('utf8')}\n[… ${size - logBytes} bytes …]\n${tail.toString('utf8')}`;
  } finally {
    await file.close();
  }
}

function programMissing(): StepError {
  const text =
    'there is no pdflatex on the PATH: install it, on Debian and Ubuntu by `apt-get install texlive-latex-base lmodern`';
  return new StepError('fatal', text, { name: 'ProgramMissing', details: { program: 'pdflatex' } });
}

function forbiddenFile(paths: readonly string[]): StepError {
  const shown = paths.slice(0, 5).join(', ').slice(0, 300);
  const text = `the document reads files that are not its own (${shown}): nothing of it is kept`;
  return new StepError('fatal', text, { name: 'ForbiddenFile' });
}
