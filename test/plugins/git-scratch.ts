// Temporary folders, real git repositories and the real host of steps, for the tests of the plugins git, code and docs.
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { promisify } from 'node:util';
import type { Json } from 'cronwright/plugin';
import { errorOf, type Overrides, outputOf, type Ran, runStep as runInHost } from '../support/step-context.ts';

const execute = promisify(execFile);

/** When every commit of these tests was made: long ago, so that a date of today shows. */
export const committedAt = '2020-01-02T03:04:05Z';

export interface Scratch {
  root: string;
  dataDir: string;
  /** A run to do steps in: its own workspace, and what its steps said and left. */
  context(options?: ContextOptions): TestContext;
  /** A repository with one commit of these files. */
  repository(name: string, files: Record<string, string>): Promise<string>;
  remove(): Promise<void>;
}

type ContextOptions = Pick<Overrides, 'env' | 'signal' | 'dryRun' | 'isolation'> & { workspace?: string };

export interface TestContext {
  overrides: Overrides;
  workspace: string;
  /** Every log line with its fields, as text. */
  logged: string[];
  artifacts: { name: string; content: string }[];
  /** What each step type saved last. */
  checkpoints: Map<string, Json | undefined>;
}

export async function createScratch(): Promise<Scratch> {
  const root = await mkdtemp(join(tmpdir(), 'cronwright-plugins-'));
  const dataDir = join(root, 'data');
  await mkdir(dataDir);
  let workspaces = 0;
  return {
    root,
    dataDir,
    context({ workspace: given, ...options } = {}) {
      workspaces += 1;
      const workspace = given ?? join(root, `workspace-${workspaces}`);
      return {
        overrides: { ...options, dataDir, workspaceDir: workspace },
        workspace,
        logged: [],
        artifacts: [],
        checkpoints: new Map(),
      };
    },
    async repository(name, files) {
      const path = join(root, name);
      await mkdir(path, { recursive: true });
      await git(path, 'init', '--quiet', '--initial-branch=main');
      await commitFiles(path, files, 'first');
      return path;
    },
    remove: () => rm(root, { recursive: true, force: true }),
  };
}

/** The output of a built-in step; throws the stored error (name, class, message, details) of one that does not complete. */
export async function runStep<Output = Record<string, Json>>(
  id: string,
  context: TestContext,
  input: unknown,
): Promise<Output> {
  return settle<Output>(id, context, await runInHost(id, input, context.overrides));
}

/** The step's `compensate`, as after a run of it in this context. `output` is absent where it did not finish. */
export async function undoStep(id: string, context: TestContext, input: unknown, output?: Json): Promise<void> {
  const checkpoint = context.checkpoints.get(id);
  await settle(
    id,
    context,
    await runInHost(id, input, {
      ...context.overrides,
      compensation: { reason: 'failed', output },
      ...(checkpoint === undefined ? {} : { checkpoint }),
    }),
  );
}

function settle<Output>(id: string, context: TestContext, ran: Ran): Output {
  context.checkpoints.set(id, ran.recorded.checkpoint);
  context.logged.push(...ran.recorded.log.map(({ message, fields }) => `${message} ${JSON.stringify(fields ?? {})}`));
  for (const { artifact, content } of ran.recorded.artifacts) {
    context.artifacts.push({ name: artifact.name, content: Buffer.from(content).toString('utf8') });
  }
  if (ran.result.kind === 'completed') return outputOf<Output>(ran);
  const error = errorOf(ran);
  throw Object.assign(new Error(error.message), { ...error, kind: ran.result.kind });
}

/** Git as a person runs it, beside the plugin; answers with its output, trimmed. */
export async function git(cwd: string, ...args: string[]): Promise<string> {
  const identity = ['-c', 'user.name=Ada', '-c', 'user.email=ada@example.org', '-c', 'safe.directory=*'];
  const { stdout } = await execute('git', [...identity, ...args], {
    cwd,
    env: { PATH: process.env.PATH, HOME: cwd, GIT_CONFIG_NOSYSTEM: '1', LC_ALL: 'C', GIT_COMMITTER_DATE: committedAt },
  });
  return stdout.trim();
}

export async function writeFiles(directory: string, files: Record<string, string>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(directory, name)), { recursive: true });
    await writeFile(join(directory, name), content);
  }
}

export async function commitFiles(directory: string, files: Record<string, string>, message: string): Promise<string> {
  await writeFiles(directory, files);
  await git(directory, 'add', '--all');
  await git(directory, 'commit', '--quiet', '--allow-empty', '-m', message);
  return git(directory, 'rev-parse', 'HEAD');
}

/** Every file below a folder with its content, by relative path. */
export async function readTree(directory: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    found[relative(directory, path)] = await readFile(path, 'utf8');
  }
  return Object.fromEntries(Object.entries(found).sort(([a], [b]) => (a < b ? -1 : 1)));
}
