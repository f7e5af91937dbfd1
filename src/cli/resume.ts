// `cronwright resume`: lets a paused run, schedule, pipeline or tenant go on, or all runs that a filter names.
import type { ResumedScopeAnswer, ResumeRunAnswer, ScheduleAnswer } from './answers.ts';
import { bulk } from './bulk.ts';
import type { CliContext } from './cli-context.ts';
import { connect } from './connect.ts';
import { segment } from './daemon-client.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { findRunId } from './find-run.ts';
import { nameOf, type PauseOptions, pathOf, targetOf } from './pause.ts';
import { printJson, printLine } from './print.ts';
import { showRelative, showUtc } from './show-time.ts';

export async function resume(
  context: CliContext,
  target: string | undefined,
  options: PauseOptions,
): Promise<ExitCode> {
  const what = targetOf(target, options);
  if (what.kind === 'where') return bulk(context, what.id, { action: 'resume' }, options);
  const daemon = connect(context, options);
  if (what.kind === 'run') {
    const id = await findRunId(daemon, what.id);
    const answer = await daemon.post<ResumeRunAnswer>(`/runs/${segment(id)}/resume`);
    if (options.json) printJson(context, answer);
    else printLine(context, answer.state === 'running' ? `${id}: goes on running.` : `${id}: ${answer.state}.`);
    return exitCodes.done;
  }
  const answer = await daemon.post<Partial<ScheduleAnswer & ResumedScopeAnswer>>(`${pathOf(what)}/resume`);
  if (options.json) {
    printJson(context, answer);
    return exitCodes.done;
  }
  const next = answer.next_at ? Date.parse(answer.next_at) : undefined;
  const when =
    next === undefined ? '' : `; fires next at ${showUtc(next)} (${showRelative(next, context.clock.now())})`;
  const runs =
    answer.let_go === undefined ? '' : `; ${answer.let_go === 1 ? '1 run goes' : `${answer.let_go} runs go`} on`;
  printLine(context, `${nameOf(what)}: resumed${when}${runs}.`);
  return exitCodes.done;
}
