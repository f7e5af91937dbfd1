// `cronwright import`: takes over the jobs that an older worksheet service kept in JSON files, each where it stood.
import { resolve } from 'node:path';
import { errorMessage } from '../domain/errors.ts';
import type { CliContext } from './cli-context.ts';
import { connect, type DaemonOptions } from './connect.ts';
import { segment } from './daemon-client.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { jobToRun } from './import/job-to-run.ts';
import { readJobFiles } from './import/read-job-files.ts';
import { printJson, printLine } from './print.ts';
import { type Column, renderTable } from './table.ts';

export interface ImportOptions extends DaemonOptions {
  pipeline?: string;
  completed?: boolean;
  dryRun?: boolean;
}

/** What became of one job, or of a file that is none. */
interface Line {
  file: string;
  id: string | null;
  result: 'imported' | 'would_import' | 'known' | 'skipped' | 'broken';
  run_id: string | null;
  goes_on_at: string | null;
  why: string | null;
}

interface ImportAnswer {
  id: string;
  imported: boolean;
}

export async function importJobs(context: CliContext, folder: string, options: ImportOptions): Promise<ExitCode> {
  const { jobs, unreadable } = await readJobFiles(resolve(context.cwd, folder));
  const daemon = options.dryRun ? undefined : connect(context, options);
  const path = `/pipelines/${segment(options.pipeline ?? 'worksheet')}/runs/import`;
  const lines: Line[] = unreadable.map(({ file, id, why }) => lineOf({ file, id }, 'broken', { why }));
  for (const job of jobs) {
    const converted = jobToRun(job, { recompile: options.completed ?? false });
    if (converted.kind !== 'run') {
      lines.push(lineOf(job, converted.kind, { why: converted.why }));
      continue;
    }
    const at = { goes_on_at: converted.goesOnAt };
    if (daemon === undefined) {
      lines.push(lineOf(job, 'would_import', at));
      continue;
    }
    try {
      const { id, imported } = await daemon.post<ImportAnswer>(path, converted.run);
      lines.push(lineOf(job, imported ? 'imported' : 'known', { ...at, run_id: id }));
    } catch (error) {
      // Without a daemon, or without the pipeline, all others would say the same.
      if (!isOfThisJob(error)) throw error;
      lines.push(lineOf(job, 'broken', { why: errorMessage(error) }));
    }
  }
  report(context, lines, options);
  return lines.some(({ result }) => result === 'broken') ? exitCodes.failed : exitCodes.done;
}

function isOfThisJob(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return code === 'invalid_input' || code === 'too_large' || code === 'conflict';
}

function lineOf({ file, id }: { file: string; id: string | null }, result: Line['result'], rest: Partial<Line>): Line {
  return { file, id, result, run_id: null, goes_on_at: null, why: null, ...rest };
}

const columns: Column<Line>[] = [
  { heading: 'file', cell: ({ file }) => file },
  { heading: 'job', cell: ({ id }) => id ?? '' },
  { heading: 'result', cell: ({ result }) => result.replace('_', ' ') },
  { heading: 'run', cell: ({ run_id }) => run_id ?? '' },
  { heading: '', cell: ({ why, goes_on_at }) => why ?? (goes_on_at === null ? '' : `goes on at ${goes_on_at}`) },
];

function report(context: CliContext, lines: readonly Line[], { json }: ImportOptions): void {
  const counts: Record<Line['result'], number> = { imported: 0, would_import: 0, known: 0, skipped: 0, broken: 0 };
  for (const { result } of lines) counts[result] += 1;
  if (json) {
    printJson(context, { counts, jobs: lines });
    return;
  }
  if (lines.length > 0) printLine(context, renderTable(context.stdout, columns, lines));
  const parts = Object.entries(counts).filter(([, n]) => n > 0);
  printLine(context, `${parts.map(([word, n]) => `${n} ${word.replace('_', ' ')}`).join(', ') || 'nothing'}.`);
}
