// `cronwright explain`: why a run does not run, whom it waits for, and when it is likely to start.
import type { ExplainAnswer } from './answers.ts';
import type { CliContext } from './cli-context.ts';
import { connect, type DaemonOptions } from './connect.ts';
import { segment } from './daemon-client.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { findRunId } from './find-run.ts';
import { plainText } from './plain-text.ts';
import { printJson, printLine } from './print.ts';
import { paintState } from './show-state.ts';
import { showRelative, showUtc } from './show-time.ts';
import { type Column, renderTable } from './table.ts';

export async function explain(context: CliContext, text: string, options: DaemonOptions): Promise<ExitCode> {
  const daemon = connect(context, options);
  const id = segment(await findRunId(daemon, text));
  const run = await daemon.get<ExplainAnswer>(`/runs/${id}/explain`);
  if (options.json) {
    printJson(context, run);
    return exitCodes.done;
  }
  const { bold, dim } = context.stdout.colors;
  const now = context.clock.now();
  const at = (instant: string | null) =>
    instant === null ? undefined : `${showUtc(Date.parse(instant))}  ${showRelative(Date.parse(instant), now)}`;
  const fact = (name: string, value: string | undefined): void => {
    if (value) printLine(context, `${dim(name.padEnd(10))} ${value}`);
  };
  printLine(context, plainText(run.summary));
  printLine(context);
  printLine(context, `${bold(run.pipeline)}  ${paintState(context.stdout.colors, run.state)}`);
  fact('run', run.id);
  fact('not before', at(run.run_at));
  fact('likely', at(run.predicted_start));
  if (run.line) {
    const { queue, labels, priority, asked_priority: asked, ahead, ahead_is_more: more } = run.line;
    const raised = asked > priority ? ` (asked for ${asked}, raised by waiting)` : '';
    fact('line', [queue, ...labels].join(', '));
    fact('priority', `${priority}${raised}`);
    fact('ahead', ahead === null ? undefined : `${more ? 'more than ' : ''}${ahead}`);
  }
  for (const limit of run.rate_limits) fact('quiet', `${limit.key} until ${at(limit.until)}`);
  printSlots(context, run, now);
  printNodes(context, run);
  return exitCodes.done;
}

interface SlotRow {
  key: string;
  taken: string;
  holder: string;
  since: string;
  where: string;
}

function printSlots(context: CliContext, run: ExplainAnswer, now: number): void {
  const rows = run.slots.flatMap(({ key, limit, free, held_by: holders }): SlotRow[] => {
    const taken = `${limit - free}/${limit}`;
    if (holders.length === 0) return [{ key, taken, holder: '', since: '', where: '' }];
    return holders.map((holder, i) => ({
      key: i === 0 ? key : '',
      taken: i === 0 ? taken : '',
      holder: holder.run_id,
      since: holder.since === null ? '' : showRelative(Date.parse(holder.since), now),
      where: [holder.node, holder.step].filter(Boolean).join(', '),
    }));
  });
  if (rows.length === 0) return;
  const columns: Column<SlotRow>[] = [
    { heading: 'slot', cell: (row) => row.key },
    { heading: 'taken', align: 'right', cell: (row) => row.taken },
    { heading: 'held by', cell: (row) => row.holder },
    { heading: 'since', cell: (row) => row.since },
    { heading: 'where', cell: (row) => row.where },
  ];
  printLine(context);
  printLine(context, renderTable(context.stdout, columns, rows));
}

function printNodes(context: CliContext, { nodes }: ExplainAnswer): void {
  if (nodes.length === 0) return;
  const columns: Column<ExplainAnswer['nodes'][number]>[] = [
    { heading: 'node', cell: (node) => node.name },
    { heading: 'can take it', cell: (node) => (node.can_take ? 'yes' : 'no') },
    { heading: 'free', align: 'right', cell: (node) => String(node.free_places) },
    { heading: 'why not', cell: (node) => plainText(node.why_not.join('; ')) },
  ];
  printLine(context);
  printLine(context, renderTable(context.stdout, columns, nodes));
}
