// `cronwright queue`: what waits, where, and for how long.
import { runStates } from '../domain/run.ts';
import type { QueueAnswer } from './answers.ts';
import type { CliContext } from './cli-context.ts';
import { connect, type DaemonOptions } from './connect.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { plainText } from './plain-text.ts';
import { printJson, printLine } from './print.ts';
import { showDuration, showUtc } from './show-time.ts';
import { type Column, renderTable } from './table.ts';

export async function queue(context: CliContext, options: DaemonOptions): Promise<ExitCode> {
  const answer = await connect(context, options).get<QueueAnswer>('/queue');
  if (options.json) {
    printJson(context, answer);
    return exitCodes.done;
  }
  const { dim } = context.stdout.colors;
  const wait = (ms: number | null): string => (ms === null ? '—' : showDuration(ms));
  printLine(context, `${dim('live runs   ')} ${answer.depth}`);
  printLine(context, `${dim('ready       ')} ${answer.ready}`);
  printLine(context, `${dim('blocked     ')} ${answer.blocked}`);
  printLine(context, `${dim('oldest wait ')} ${wait(answer.oldest_wait_ms)}`);
  printLine(context, `${dim('average wait')} ${wait(answer.average_wait_ms)} (of the newest runs that ended)`);
  for (const { tenant, pipeline, by, reason, until } of answer.pauses) {
    const what = pipeline === null ? `tenant ${tenant}` : `pipeline ${pipeline}`;
    const why = reason === null ? '' : `: ${plainText(reason)}`;
    const end = until === null ? '' : `, until ${showUtc(Date.parse(until))}`;
    printLine(context, `${dim('paused      ')} ${what}, by ${plainText(by)}${end}${why}`);
  }
  const rows = [...rowsOf('queue', answer.by_queue), ...rowsOf('tenant', answer.by_tenant)];
  if (rows.length > 0) {
    printLine(context);
    printLine(context, renderTable(context.stdout, columns, rows));
  }
  return exitCodes.done;
}

interface Row {
  kind: string;
  name: string;
  counts: Record<string, number>;
}

function rowsOf(kind: string, groups: Record<string, Record<string, number>>): Row[] {
  return Object.entries(groups).map(([name, counts]) => ({ kind, name, counts }));
}

const columns: Column<Row>[] = [
  { heading: '', cell: (row) => row.kind },
  { heading: 'name', cell: (row) => row.name },
  ...runStates.map((state): Column<Row> => {
    return { heading: state, align: 'right', cell: (row) => String(row.counts[state] ?? '') };
  }),
];
