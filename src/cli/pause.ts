// `cronwright pause`: holds a run, a schedule, a pipeline, everything of a tenant, or all runs that a filter names.
import { CronwrightError } from '../domain/errors.ts';
import type { PausedScopeAnswer, PauseRunAnswer } from './answers.ts';
import { type BulkOptions, bulk } from './bulk.ts';
import type { CliContext } from './cli-context.ts';
import { connect } from './connect.ts';
import { segment } from './daemon-client.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { findRunId } from './find-run.ts';
import { instantOrDistance } from './option-values.ts';
import { printJson, printLine } from './print.ts';
import { showRelative, showUtc } from './show-time.ts';

export interface PauseOptions extends BulkOptions {
  pipeline?: string;
  all?: boolean;
  reason?: string;
  until?: string;
}

export async function pause(context: CliContext, target: string | undefined, options: PauseOptions): Promise<ExitCode> {
  const what = targetOf(target, options);
  const reason = options.reason === undefined ? {} : { reason: options.reason };
  if (options.until !== undefined && (what.kind === 'run' || what.kind === 'where')) {
    throw new CronwrightError(
      'invalid_input',
      '--until is for schedules, --pipeline and --all: a run waits for resume',
    );
  }
  if (what.kind === 'where') return bulk(context, what.id, { action: 'pause', with: reason }, options);
  const daemon = connect(context, options);
  if (what.kind === 'run') {
    const id = await findRunId(daemon, what.id);
    const answer = await daemon.post<PauseRunAnswer>(`/runs/${segment(id)}/pause`, reason);
    if (options.json) printJson(context, answer);
    else if (answer.requested) {
      printLine(context, `${id}: pause requested; it stops before its next step, item or attempt.`);
    } else printLine(context, `${id}: ${answer.state}.`);
    return exitCodes.done;
  }
  const now = context.clock.now();
  const until = options.until === undefined ? undefined : instantOrDistance('--until', options.until, now, 1);
  const body = { ...reason, ...(until === undefined ? {} : { until: new Date(until).toISOString() }) };
  const answer = await daemon.post<Partial<PausedScopeAnswer>>(`${pathOf(what)}/pause`, body);
  const end = until === undefined ? 'until it is resumed' : `until ${showUtc(until)} (${showRelative(until, now)})`;
  const runs = answer.held === undefined ? '' : ` ${reachOf(answer.held, answer.asked ?? 0)}`;
  if (options.json) printJson(context, answer);
  else printLine(context, `${nameOf(what)}: paused ${end}.${runs}`);
  return exitCodes.done;
}

function reachOf(held: number, asked: number): string {
  const now = held === 1 ? '1 run is held' : `${held} runs are held`;
  return `${now}, ${asked} at work ${asked === 1 ? 'stops at its' : 'stop at their'} next step.`;
}

export interface PauseTarget {
  kind: 'run' | 'schedule' | 'pipeline' | 'tenant' | 'where';
  id: string;
}

/** Exactly one of them. A schedule's id has a dot, which no run's id has. Throws `invalid_input`. */
export function targetOf(target: string | undefined, options: PauseOptions): PauseTarget {
  const { pipeline, all, where, tenant = 'default' } = options;
  const given: PauseTarget[] = [
    ...(target === undefined ? [] : [{ kind: target.includes('.') ? 'schedule' : 'run', id: target } as const]),
    ...(pipeline === undefined ? [] : [{ kind: 'pipeline', id: pipeline } as const]),
    ...(all ? [{ kind: 'tenant', id: tenant } as const] : []),
    ...(where === undefined ? [] : [{ kind: 'where', id: where } as const]),
  ];
  const [one, another] = given;
  if (one && !another) return one;
  const expected = 'one of: a schedule (pipeline.schedule), a run, --pipeline <id>, --all, --where <filter>';
  throw new CronwrightError(
    'invalid_input',
    `${one ? 'more than one is given' : 'nothing is named'}, expected ${expected}`,
  );
}

/** Below /api/v1, of a schedule, a pipeline or the tenant. */
export function pathOf({ kind, id }: PauseTarget): string {
  if (kind === 'tenant') return '/tenant';
  return `/${kind === 'schedule' ? 'schedules' : 'pipelines'}/${segment(id)}`;
}

export function nameOf({ kind, id }: PauseTarget): string {
  return kind === 'schedule' ? id : `${kind} ${id}`;
}
