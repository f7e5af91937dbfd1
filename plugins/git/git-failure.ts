// Reads from git's words whether a failure may pass by itself: network and locks may, a wrong address or a missing right does not.
import { type ErrorClass, StepError } from 'cronwright/plugin';

interface Verdict {
  pattern: RegExp;
  class: ErrorClass;
  name: string;
}

// The order matters: ssh follows "Permission denied" with the words it also uses when the line drops.
const verdicts: readonly Verdict[] = [
  { pattern: /transport '[^']*' not allowed/, class: 'fatal', name: 'RemoteNotAllowed' },
  {
    pattern:
      /Authentication failed|could not read (Username|Password)|terminal prompts disabled|Permission denied|Host key verification failed|returned error: 40[13]|access denied/i,
    class: 'fatal',
    name: 'AuthenticationFailed',
  },
  {
    pattern:
      /repository '[^']*' not found|Repository not found|does not appear to be a git repository|not a git repository|returned error: 404|project you were looking for could not be found/i,
    class: 'fatal',
    name: 'RepositoryNotFound',
  },
  { pattern: /couldn't find remote ref|not our ref|unadvertised object/, class: 'fatal', name: 'RefNotFound' },
  {
    pattern:
      /\.lock': File exists|cannot lock ref|failed to lock|failed to update ref|Another git process|No space left on device|Input\/output error|Disk quota exceeded/i,
    class: 'transient',
    name: 'IoError',
  },
  {
    pattern:
      /Could not resolve (host|hostname|proxy)|Connection (refused|timed out|reset|closed)|Failed to connect|Network is unreachable|No route to host|Operation t(oo slow|imed out)|returned error: (408|425|429|5\d\d)|RPC failed|early EOF|hung up unexpectedly|unexpected disconnect|Empty reply from server|(gnutls|SSL|TLS|OpenSSL)|Could not read from remote repository|temporary failure/i,
    class: 'transient',
    name: 'NetworkError',
  },
];

/** The error of a git that ended badly. `stderr` must already be masked. */
export function classifyGitFailure(
  args: readonly string[],
  result: { exitCode: number | undefined; stderr: string },
): StepError {
  const verdict = verdicts.find((candidate) => candidate.pattern.test(result.stderr));
  const command = args.find((arg) => /^[a-z]/.test(arg)) ?? 'git';
  const ended = result.exitCode === undefined ? 'was ended by a signal' : `ended with code ${result.exitCode}`;
  const said = lastWords(result.stderr);
  // A git that somebody else killed (out of memory, an operator) is worth another try.
  const errorClass = verdict?.class ?? (result.exitCode === undefined ? 'transient' : 'fatal');
  return new StepError(errorClass, `git ${command} ${ended}${said === '' ? '' : `: ${said}`}`, {
    name: verdict?.name ?? 'GitFailed',
    details: { command, exit_code: result.exitCode ?? null, stderr: result.stderr.slice(-2_000) },
  });
}

function lastWords(stderr: string): string {
  const lines = stderr
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  const telling = lines.filter((line) => /^(fatal|error|remote: error|ERROR)/.test(line));
  return (telling[0] ?? lines.at(-1) ?? '').slice(0, 400);
}
