// Waits for runs from the command line: asks the daemon again and again, and says how they ended.
import type { WaitedForRuns } from '../reads/wait-for-runs.ts';
import type { CliContext } from './cli-context.ts';
import type { DaemonClient } from './daemon-client.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { printJson, printLine, printNote } from './print.ts';

/** Seconds one request waits; the client gives up after 30. */
const perCall = 20;

export type Wanted = { ids: readonly string[] } | { filter: { pipeline?: string; schedule?: string; origin?: string } };

/** Exit code 1 where one of them did not complete. */
export async function waitForRuns(
  context: CliContext,
  daemon: DaemonClient,
  wanted: Wanted,
  options: { json?: boolean | undefined },
): Promise<ExitCode> {
  let answer = await ask(daemon, wanted);
  while (!answer.done) {
    if (!options.json) {
      printNote(context, context.stderr.colors.dim(`${answer.total - answer.live} of ${answer.total} ended`));
    }
    answer = await ask(daemon, { ids: answer.ids });
  }
  const { counts, total } = answer;
  if (options.json) printJson(context, { total, counts });
  else {
    const parts = Object.entries(counts).map(([state, runs]) => `${runs} ${state}`);
    printLine(context, total === 0 ? 'No runs to wait for.' : parts.join(', '));
  }
  return (counts.completed ?? 0) === total ? exitCodes.done : exitCodes.failed;
}

function ask(daemon: DaemonClient, wanted: Wanted): Promise<WaitedForRuns> {
  return daemon.post<WaitedForRuns>('/runs/wait', { ...wanted, timeout: perCall });
}
