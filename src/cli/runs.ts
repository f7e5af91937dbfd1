// `cronwright runs`: the newest runs, one a line.
import type { List, RunAnswer } from './answers.ts';
import type { CliContext } from './cli-context.ts';
import { connect, type DaemonOptions } from './connect.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { findRunId } from './find-run.ts';
import { instantOrDistance, wrongOption } from './option-values.ts';
import { printJson, printLine, printNote } from './print.ts';
import { paintState } from './show-state.ts';
import { showDuration, showRelative } from './show-time.ts';
import { type Column, clip, renderTable } from './table.ts';

export interface RunsOptions extends DaemonOptions {
  state?: string;
  pipeline?: string;
  schedule?: string;
  origin?: string;
  from?: string;
  to?: string;
  limit?: number;
  cursor?: string;
  wait?: boolean;
}

export async function runs(context: CliContext, ids: readonly string[], options: RunsOptions): Promise<ExitCode> {
  if (options.wait) return waitFor(context, ids, options);
  if (ids.length > 0) throw wrongOption('run ids', ids.join(' '), '--wait with them, or `cronwright show <run>`');
  const now = context.clock.now();
  const when = (option: string, text: string | undefined): string | undefined =>
    text === undefined ? undefined : new Date(instantOrDistance(option, text, now)).toISOString();
  const list = await connect(context, options).get<List<RunAnswer>>('/runs', {
    state: options.state,
    pipeline: options.pipeline,
    schedule: options.schedule,
    origin: options.origin,
    from: when('--from', options.from),
    to: when('--to', options.to),
    limit: options.limit ?? 20,
    cursor: options.cursor,
  });
  if (options.json) printJson(context, list);
  else if (list.items.length === 0) printLine(context, 'No runs.');
  else {
    printLine(context, renderTable(context.stdout, columns(context, now), list.items));
    if (list.next_cursor) printNote(context, context.stderr.colors.dim(`more with --cursor ${list.next_cursor}`));
  }
  return exitCodes.done;
}

/** Those that are named, or all live ones of the filter. */
async function waitFor(context: CliContext, ids: readonly string[], options: RunsOptions): Promise<ExitCode> {
  const daemon = connect(context, options);
  const { waitForRuns } = await import('./wait-for-runs.ts');
  if (ids.length === 0) {
    const { pipeline, schedule, origin } = options;
    const filter = {
      ...(pipeline === undefined ? {} : { pipeline }),
      ...(schedule === undefined ? {} : { schedule }),
      ...(origin === undefined ? {} : { origin }),
    };
    return waitForRuns(context, daemon, { filter }, options);
  }
  const found: string[] = [];
  for (const id of ids) found.push(await findRunId(daemon, id));
  return waitForRuns(context, daemon, { ids: found }, options);
}

function columns(context: CliContext, now: number): Column<RunAnswer>[] {
  const { colors } = context.stdout;
  return [
    { heading: 'run', cell: (run) => run.id },
    { heading: 'pipeline', cell: (run) => run.schedule ?? run.pipeline },
    { heading: 'state', cell: (run) => paintState(colors, run.state) },
    { heading: 'origin', cell: (run) => run.origin },
    { heading: 'made', cell: (run) => showRelative(Date.parse(run.created_at), now) },
    { heading: 'took', align: 'right', cell: (run) => tookOf(run, now) },
    { heading: '', cell: (run) => clip(remarkOf(run, now), 60) },
  ];
}

/** How long it ran, or has run so far. */
export function tookOf(run: { started_at: string | null; finished_at: string | null }, now: number): string {
  if (!run.started_at) return '';
  const end = run.finished_at ? Date.parse(run.finished_at) : now;
  return showDuration(end - Date.parse(run.started_at));
}

function remarkOf(run: RunAnswer, now: number): string {
  if (run.error) return run.error.message;
  const remarks = [
    run.requested ? `${run.requested} requested` : '',
    run.wait_kind ?? '',
    run.blocked_on ? `blocked on ${run.blocked_on}` : '',
    run.state === 'running' ? `${run.progress} %` : '',
    run.wakes_at ? showRelative(Date.parse(run.wakes_at), now) : '',
    run.failed_items ? `${run.failed_items} items failed` : '',
    run.late ? 'late' : '',
    run.dry_run ? 'dry run' : '',
    run.finished_at ? '' : (run.message ?? ''),
  ];
  return remarks.filter((remark) => remark !== '').join(', ');
}
