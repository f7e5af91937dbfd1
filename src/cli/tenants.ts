// `cronwright tenants`: how each tenant is doing, or one of them by pipeline.
import type { TenantAnswer, TenantDetailAnswer, TenantsAnswer } from './answers.ts';
import type { CliContext } from './cli-context.ts';
import { connect, type DaemonOptions } from './connect.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { plainText } from './plain-text.ts';
import { printJson, printLine } from './print.ts';
import { showDuration, showRelative } from './show-time.ts';
import { type Column, renderTable } from './table.ts';

export async function tenants(
  context: CliContext,
  tenant: string | undefined,
  options: DaemonOptions & { hours?: number },
): Promise<ExitCode> {
  const query = options.hours === undefined ? '' : `?hours=${options.hours}`;
  if (tenant === undefined) {
    const list = await connect(context, options).get<TenantsAnswer>(`/tenants${query}`);
    if (options.json) printJson(context, list);
    else if (list.items.length === 0) printLine(context, 'No tenants.');
    else printLine(context, renderTable(context.stdout, columnsOf(context), list.items));
    return exitCodes.done;
  }
  const one = await connect(context, options).get<TenantDetailAnswer>(`/tenants/${encodeURIComponent(tenant)}${query}`);
  if (options.json) printJson(context, one);
  else {
    printLine(context, renderTable(context.stdout, columnsOf(context), [one]));
    printLine(context);
    printLine(context, renderTable(context.stdout, pipelineColumns(context), one.by_pipeline));
  }
  return exitCodes.done;
}

const duration = (ms: number | null): string => (ms === null ? '—' : showDuration(ms));
const rate = (share: number | null): string => (share === null ? '—' : `${Math.round(share * 1_000) / 10} %`);

function columnsOf(context: CliContext): Column<TenantAnswer>[] {
  return [
    { heading: 'tenant', cell: (one) => one.tenant },
    { heading: 'pipelines', align: 'right', cell: (one) => String(one.pipelines) },
    { heading: 'schedules', align: 'right', cell: (one) => String(one.schedules) },
    { heading: 'live', align: 'right', cell: (one) => String(one.live) },
    { heading: 'waiting', align: 'right', cell: (one) => String(one.queue_depth) },
    { heading: 'runs', align: 'right', cell: (one) => `${one.runs}${one.capped ? '+' : ''}` },
    { heading: 'failed', align: 'right', cell: (one) => String(one.failed) },
    { heading: 'success', align: 'right', cell: (one) => rate(one.success_rate) },
    { heading: 'wait', align: 'right', cell: (one) => duration(one.average_wait_ms) },
    { heading: 'missed', align: 'right', cell: (one) => String(one.sla_missed) },
    { heading: 'usd', align: 'right', cell: (one) => one.usd.toFixed(2) },
    { heading: 'next', cell: (one) => relative(context, one.next_at) },
  ];
}

function pipelineColumns(context: CliContext): Column<TenantDetailAnswer['by_pipeline'][number]>[] {
  return [
    { heading: 'pipeline', cell: (one) => one.pipeline },
    { heading: 'live', align: 'right', cell: (one) => String(one.live) },
    { heading: 'runs', align: 'right', cell: (one) => String(one.runs) },
    { heading: 'success', align: 'right', cell: (one) => rate(one.success_rate) },
    { heading: 'takes', align: 'right', cell: (one) => duration(one.average_duration_ms) },
    { heading: 'last success', cell: (one) => relative(context, one.last_success?.at ?? null) },
    { heading: 'last failure', cell: (one) => relative(context, one.last_failure?.at ?? null) },
    { heading: 'why', cell: (one) => plainText(one.last_failure?.error ?? '').slice(0, 60) },
    { heading: 'next', cell: (one) => relative(context, one.next_at) },
  ];
}

function relative(context: CliContext, instant: string | null): string {
  return instant === null ? '—' : showRelative(Date.parse(instant), context.clock.now());
}
