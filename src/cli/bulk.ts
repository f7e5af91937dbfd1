// `--where` of pause, resume, cancel, retry, rollback and priority: shows which runs are meant, asks, and does it to all.
import { CronwrightError } from '../domain/errors.ts';
import type { BulkAnswer } from './answers.ts';
import type { CliContext } from './cli-context.ts';
import { connect, type DaemonOptions } from './connect.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { parseWhere } from './parse-where.ts';
import { plainText } from './plain-text.ts';
import { printJson, printLine, printNote } from './print.ts';
import { paintState } from './show-state.ts';
import { showRelative } from './show-time.ts';
import { type Column, renderTable } from './table.ts';

export interface BulkOptions extends DaemonOptions {
  where?: string;
  /** Without asking. */
  yes?: boolean;
}

export interface BulkVerb {
  action: 'pause' | 'resume' | 'cancel' | 'retry' | 'priority' | 'rollback';
  /** What the action takes besides: reason, priority, to. */
  with?: Record<string, unknown>;
}

/** Without `--yes` somebody has to say so; where nobody can be asked nothing is done, and JSON is the preview. */
export async function bulk(
  context: CliContext,
  where: string,
  verb: BulkVerb,
  options: BulkOptions,
): Promise<ExitCode> {
  const daemon = connect(context, options);
  const filter = parseWhere(where, context.clock.now());
  const request = { action: verb.action, filter, ...verb.with };
  const preview = await daemon.post<BulkAnswer>('/runs/bulk', { ...request, preview: true });
  const { count } = preview;
  if (count === 0 || !(await isMeant(context, preview, options))) {
    if (options.json) printJson(context, preview);
    else printLine(context, count === 0 ? 'No run matches.' : 'Nothing was done.');
    return exitCodes.done;
  }
  const total = await daemon.post<BulkAnswer>('/runs/bulk', { ...request, expected: count });
  while (total.next_cursor !== null) {
    const next = await daemon.post<BulkAnswer>('/runs/bulk', { ...request, cursor: total.next_cursor });
    total.done += next.done;
    total.skipped += next.skipped;
    total.failed += next.failed;
    total.details.push(...next.details);
    total.next_cursor = next.next_cursor;
    if (!options.json) printNote(context, `${total.done + total.skipped + total.failed} of ${count} …`);
  }
  if (options.json) printJson(context, total);
  else tell(context, total);
  return total.failed > 0 ? exitCodes.failed : exitCodes.done;
}

async function isMeant(context: CliContext, preview: BulkAnswer, options: BulkOptions): Promise<boolean> {
  if (options.yes) return true;
  if (options.json) return false;
  const { count = 0, runs, action } = preview;
  if (context.confirm === undefined) {
    const match = count === 1 ? '1 run matches' : `${count} runs match`;
    throw new CronwrightError('invalid_input', `${match}: say --yes where nobody can be asked`);
  }
  const now = context.clock.now();
  const columns: Column<BulkAnswer['runs'][number]>[] = [
    { heading: 'run', cell: (run) => run.id },
    { heading: 'pipeline', cell: (run) => run.schedule ?? run.pipeline },
    { heading: 'state', cell: (run) => paintState(context.stdout.colors, run.state) },
    { heading: 'made', cell: (run) => showRelative(Date.parse(run.created_at), now) },
  ];
  printLine(context, renderTable(context.stdout, columns, runs));
  if ((count ?? 0) > runs.length) printLine(context, `… and ${(count ?? 0) - runs.length} more`);
  return context.confirm(`${action}: ${count === 1 ? 'this run' : `these ${count} runs`}?`);
}

function tell(context: CliContext, { action, done, skipped, failed, details }: BulkAnswer): void {
  const rest = [skipped > 0 ? `${skipped} skipped` : '', failed > 0 ? `${failed} failed` : ''];
  printLine(context, [`${action}: ${done} done`, ...rest].filter((part) => part !== '').join(', '));
  for (const { id, reason } of details.slice(0, 20)) printLine(context, `  ${id}  ${plainText(reason)}`);
  if (details.length > 20) printLine(context, `  … ${skipped + failed - 20} more`);
}
