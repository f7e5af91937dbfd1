// `cronwright costs`: what runs have spent, as sums, or row by row of one run.
import { showUsd } from '../domain/budget.ts';
import type { CostAnswer, CostSumsAnswer, List } from './answers.ts';
import type { CliContext } from './cli-context.ts';
import { connect, type DaemonOptions } from './connect.ts';
import { type DaemonClient, segment } from './daemon-client.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { findRunId } from './find-run.ts';
import { instantOrDistance } from './option-values.ts';
import { printJson, printLine } from './print.ts';
import { showUtc } from './show-time.ts';
import { type Column, renderTable } from './table.ts';

export interface CostsOptions extends DaemonOptions {
  by?: string;
  pipeline?: string;
  from?: string;
  to?: string;
  limit?: number;
}

export async function costs(context: CliContext, run: string | undefined, options: CostsOptions): Promise<ExitCode> {
  const daemon = connect(context, options);
  if (run !== undefined) return costsOfRun(context, daemon, run, options);
  const now = context.clock.now();
  const when = (option: string, text: string | undefined): string | undefined =>
    text === undefined ? undefined : new Date(instantOrDistance(option, text, now)).toISOString();
  const { by: group, pipeline, limit } = options;
  const [from, to] = [when('--from', options.from), when('--to', options.to)];
  const answer = await daemon.get<CostSumsAnswer>('/costs', { group, pipeline, limit, from, to });
  if (options.json) {
    printJson(context, answer);
    return exitCodes.done;
  }
  type Sum = CostSumsAnswer['items'][number];
  const columns: Column<Sum>[] = [
    { heading: answer.group, cell: ({ key }) => key },
    ...money<Sum>(),
    ...tokens<Sum>(),
    { heading: 'runs', align: 'right', cell: ({ runs }) => String(runs) },
  ];
  if (answer.items.length === 0) printLine(context, 'Nothing was spent in this time.');
  else printLine(context, renderTable(context.stdout, columns, [...answer.items, { key: 'all', ...answer.total }]));
  return exitCodes.done;
}

async function costsOfRun(
  context: CliContext,
  daemon: DaemonClient,
  run: string,
  options: CostsOptions,
): Promise<ExitCode> {
  const id = segment(await findRunId(daemon, run));
  const { items } = await daemon.get<List<CostAnswer>>(`/runs/${id}/costs`, { limit: options.limit ?? 500 });
  if (options.json) {
    printJson(context, { items });
    return exitCodes.done;
  }
  const columns: Column<CostAnswer>[] = [
    { heading: 'time (UTC)', cell: ({ at }) => showUtc(Date.parse(at)) },
    { heading: 'step', cell: ({ step, item }) => (item < 0 ? step : `${step}[${item}]`) },
    { heading: 'try', align: 'right', cell: ({ attempt }) => String(attempt) },
    { heading: 'what', cell: ({ what }) => what },
    { heading: 'usd', align: 'right', cell: ({ usd }) => showUsd(usd) },
    { heading: '', cell: ({ state }) => (state === 'spent' ? '' : context.stdout.colors.yellow(state)) },
    { heading: 'prompt', align: 'right', cell: (one) => count(one.prompt_tokens) },
    { heading: 'completion', align: 'right', cell: (one) => count(one.completion_tokens) },
  ];
  printLine(context, items.length === 0 ? 'It has spent nothing.' : renderTable(context.stdout, columns, items));
  return exitCodes.done;
}

function money<Row extends { usd: number; held_usd: number; unknown_usd: number }>(): Column<Row>[] {
  const orNothing = (usd: number) => (usd === 0 ? '' : showUsd(usd));
  return [
    { heading: 'usd', align: 'right', cell: ({ usd }) => showUsd(usd) },
    { heading: 'held', align: 'right', cell: ({ held_usd }) => orNothing(held_usd) },
    { heading: 'unknown', align: 'right', cell: ({ unknown_usd }) => orNothing(unknown_usd) },
  ];
}

function tokens<
  Row extends { prompt_tokens: number; completion_tokens: number; cached_tokens: number },
>(): Column<Row>[] {
  return [
    { heading: 'prompt', align: 'right', cell: (one) => count(one.prompt_tokens) },
    { heading: 'completion', align: 'right', cell: (one) => count(one.completion_tokens) },
    { heading: 'cached', align: 'right', cell: (one) => count(one.cached_tokens) },
  ];
}

function count(n: number): string {
  return n === 0 ? '' : n.toLocaleString('en');
}
