// Temporary folders, real git repositories and a context to run a step in, for the tests of the plugins git, code and docs.
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { promisify } from 'node:util';
import type { Json, StepContext, StepDefinition } from 'cronwright/plugin';

const execute = promisify(execFile);

export interface Scratch {
  root: string;
  dataDir: string;
  /** A context with a workspace of its own, and what was logged and put through it. */
  context(options?: {
    env?: Record<string, string>;
    signal?: AbortSignal;
    dryRun?: boolean;
    workspace?: string;
  }): TestContext;
  /** A repository with one commit of these files. */
  repository(name: string, files: Record<string, string>): Promise<string>;
  remove(): Promise<void>;
}

export interface TestContext {
  ctx: StepContext;
  workspace: string;
  /** Every log line with its fields, as text. */
  logged: string[];
  artifacts: { name: string; content: string }[];
}

export async function createScratch(): Promise<Scratch> {
  const root = await mkdtemp(join(tmpdir(), 'cronwright-plugins-'));
  const dataDir = join(root, 'data');
  await mkdir(dataDir);
  let workspaces = 0;
  return {
    root,
    dataDir,
    context(options = {}) {
      workspaces += 1;
      return testContext({
        ...options,
        dataDir,
        workspace: options.workspace ?? join(root, `workspace-${workspaces}`),
      });
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

/** Runs a step as the host does: checks the input against the schema, then the output. */
export async function runStep<Output = Record<string, Json>>(
  step: StepDefinition | undefined,
  ctx: StepContext,
  input: unknown,
): Promise<Output> {
  if (step === undefined) throw new Error('no such step');
  const parsed = await step.input['~standard'].validate(input);
  if (parsed.issues !== undefined) throw new Error(parsed.issues.map((issue) => issue.message).join('; '));
  const result = await step.output['~standard'].validate(await step.run(ctx, parsed.value));
  if (result.issues !== undefined) throw new Error(`output: ${result.issues.map((issue) => issue.message).join('; ')}`);
  return result.value as Output;
}

/** Git as a person runs it, beside the plugin; answers with its output, trimmed. */
export async function git(cwd: string, ...args: string[]): Promise<string> {
  const identity = ['-c', 'user.name=Ada', '-c', 'user.email=ada@example.org', '-c', 'safe.directory=*'];
  const { stdout } = await execute('git', [...identity, ...args], {
    cwd,
    env: { PATH: process.env.PATH, HOME: cwd, GIT_CONFIG_NOSYSTEM: '1', LC_ALL: 'C' },
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

function testContext(options: {
  dataDir: string;
  workspace: string;
  env?: Record<string, string>;
  signal?: AbortSignal;
  dryRun?: boolean;
}): TestContext {
  const logged: string[] = [];
  const artifacts: { name: string; content: string }[] = [];
  const note = (message: string, fields?: Record<string, unknown>): void => {
    logged.push(`${message} ${JSON.stringify(fields ?? {})}`);
  };
  const unused = (): never => {
    throw new Error('this test does not offer that');
  };
  const ctx: StepContext = {
    signal: options.signal ?? new AbortController().signal,
    idempotencyKey: 'key',
    token: 1,
    attempt: 1,
    tenant: 'default',
    runId: '01900000-0000-7000-8000-000000000000',
    pipeline: 'test',
    step: 'step',
    item: undefined,
    dryRun: options.dryRun ?? false,
    workspace: options.workspace,
    env: options.env ?? {},
    log: { debug: note, info: note, warn: note, error: note },
    output: (_stream, chunk) => note(chunk),
    progress: (progress) => note('progress', { ...progress }),
    checkpoint: { load: () => Promise.resolve(undefined), save: () => Promise.resolve() },
    artifacts: {
      put({ name, mediaType, content }) {
        const text = typeof content === 'string' ? content : Buffer.from(content).toString('utf8');
        artifacts.push({ name, content: text });
        return Promise.resolve({ id: 'artifact', name, mediaType, size: text.length, sha256: '' });
      },
      get: unused,
    },
    secrets: { get: unused },
    sql: unused,
    event: () => undefined,
    traceparent: undefined,
    host: {
      apiUrl: undefined,
      dataDir: options.dataDir,
      allowPrivateHosts: [],
      programEnv: { PATH: process.env.PATH ?? '', HOME: options.dataDir },
    },
  };
  return { ctx, workspace: options.workspace, logged, artifacts };
}
