// Runs git for the steps of this plugin: a private configuration, no prompts, no hooks, no credentials in sight, and a process group that dies on abort.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type StepContext, StepError } from 'cronwright/plugin';
import { classifyGitFailure } from './git-failure.ts';
import { maskUserinfo, type Remote } from './remote.ts';

export interface GitOptions {
  /** Directory git runs in; default the workspace. */
  cwd?: string;
  /** Further environment; wins over the defaults. */
  env?: Readonly<Record<string, string>>;
  /** Written to git's stdin. */
  stdin?: string;
  /** The remote the call talks to: its credentials go in by the environment, never by argv. */
  remote?: Remote;
}

export interface GitResult {
  ok: boolean;
  /** Undefined where git was ended by a signal. */
  exitCode: number | undefined;
  stdout: string;
  /** Without userinfo of URLs. */
  stderr: string;
}

/** What running git needs of a context: also a sensor's has it. */
export type GitContext = Pick<StepContext, 'workspace' | 'host' | 'env' | 'signal'>;

export interface Git {
  /** Standard output of a git that succeeded. Throws a classified StepError, or the abort's reason. */
  run(args: readonly string[], options?: GitOptions): Promise<string>;
  /** Like `run`, but a non-zero exit is a value. */
  attempt(args: readonly string[], options?: GitOptions): Promise<GitResult>;
}

/** Git with a configuration of its own in the run's workspace: what the machine or its user configured does not count. */
export async function openGit(ctx: GitContext): Promise<Git> {
  const home = join(ctx.workspace, '.cronwright', 'git-home');
  await mkdir(home, { recursive: true });
  await writeFile(join(home, '.gitconfig'), privateConfig);
  const attempt = (args: readonly string[], options: GitOptions = {}): Promise<GitResult> =>
    spawnGit(ctx, home, args, options);
  return {
    attempt,
    async run(args, options) {
      const result = await attempt(args, options);
      if (!result.ok) throw classifyGitFailure(args, result);
      return result.stdout;
    },
  };
}

// A file and not `-c`: git passes command-line configuration on to neither upload-pack nor receive-pack, and those check safe.directory too.
const privateConfig = `[safe]
\tdirectory = *
[core]
\thooksPath = /dev/null
\tfsmonitor = false
\tautocrlf = false
\tquotePath = false
\tsshCommand = ssh -oBatchMode=yes -oConnectTimeout=30
[credential]
\thelper =
[protocol "ext"]
\tallow = never
[http]
\tlowSpeedLimit = 1000
\tlowSpeedTime = 30
[gc]
\tauto = 0
[maintenance]
\tauto = false
[commit]
\tgpgSign = false
[push]
\tgpgSign = false
[submodule]
\trecurse = false
[fetch]
\trecurseSubmodules = false
[init]
\tdefaultBranch = main
[advice]
\tdetachedHead = false
`;

/** What a pipeline may tell git by `env`: proxies, certificates, ssh; nothing that points git at another repository or prints credentials. */
function chosenEnv(env: Readonly<Record<string, string>>): Record<string, string> {
  const allowed = ([name]: [string, string]): boolean =>
    !name.startsWith('GIT_') || name === 'GIT_SSH_COMMAND' || name === 'GIT_SSL_CAINFO';
  return Object.fromEntries(Object.entries(env).filter(allowed));
}

async function spawnGit(
  ctx: GitContext,
  home: string,
  args: readonly string[],
  options: GitOptions,
): Promise<GitResult> {
  ctx.signal.throwIfAborted();
  const { execa } = await import('execa');
  const child = execa('git', args, {
    cwd: options.cwd ?? ctx.workspace,
    extendEnv: false,
    env: {
      ...ctx.host.programEnv,
      ...chosenEnv(ctx.env),
      HOME: home,
      XDG_CONFIG_HOME: home,
      LC_ALL: 'C',
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_ATTR_NOSYSTEM: '1',
      GIT_TERMINAL_PROMPT: '0',
      GIT_OPTIONAL_LOCKS: '0',
      GIT_ALLOW_PROTOCOL: 'file:git:http:https:ssh',
      ...credentialEnv(options.remote),
      ...options.env,
    },
    ...(options.stdin === undefined ? { stdin: 'ignore' as const } : { input: options.stdin }),
    // A group of its own: git starts helpers (git-remote-https, ssh, index-pack) that must die with it.
    detached: true,
    reject: false,
    stripFinalNewline: false,
  });
  const stopWatching = killGroupOnAbort(ctx.signal, child.pid);
  const result = await child.finally(stopWatching);
  ctx.signal.throwIfAborted();
  if (result.exitCode === undefined && result.signal === undefined) throw cannotStart(result);
  return {
    ok: !result.failed,
    exitCode: result.exitCode,
    stdout: result.stdout,
    stderr: maskUserinfo(result.stderr),
  };
}

function cannotStart(result: {
  code?: string | undefined;
  cause?: unknown;
  shortMessage?: string | undefined;
}): StepError {
  if (result.code === 'ENOENT') {
    return new StepError('fatal', 'git was not found on the PATH: install git 2.31 or later', {
      name: 'GitMissing',
      cause: result.cause,
    });
  }
  const why = maskUserinfo(result.shortMessage ?? 'unknown reason');
  return new StepError('transient', `git could not be started: ${why}`, { name: 'GitFailed', cause: result.cause });
}

/** Ends the whole group: TERM, and KILL after two seconds. Returns what takes the watch off again. */
function killGroupOnAbort(signal: AbortSignal, pid: number | undefined): () => void {
  let killer: NodeJS.Timeout | undefined;
  const onAbort = (): void => {
    signalGroup(pid, 'SIGTERM');
    killer = setTimeout(() => signalGroup(pid, 'SIGKILL'), 2_000);
  };
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  return () => {
    signal.removeEventListener('abort', onAbort);
    if (killer === undefined) return;
    clearTimeout(killer);
    // The leader has gone; a helper that ignored TERM has not.
    signalGroup(pid, 'SIGKILL');
  };
}

function signalGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // The group has already ended.
  }
}

function credentialEnv(remote: Remote | undefined): Record<string, string> {
  if (remote?.credentials === undefined) return {};
  const origin = new URL(remote.url).origin;
  const basic = Buffer.from(`${remote.credentials.user}:${remote.credentials.password}`, 'utf8').toString('base64');
  return {
    GIT_CONFIG_COUNT: '2',
    GIT_CONFIG_KEY_0: `http.${origin}/.extraHeader`,
    GIT_CONFIG_VALUE_0: `Authorization: Basic ${basic}`,
    // A redirect must not carry the header to another host.
    GIT_CONFIG_KEY_1: `http.${origin}/.followRedirects`,
    GIT_CONFIG_VALUE_1: 'false',
  };
}
