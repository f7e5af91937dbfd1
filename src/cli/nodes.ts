// `cronwright nodes`: the daemons that share the database.
import type { NodeAnswer, NodesAnswer } from './answers.ts';
import type { CliContext } from './cli-context.ts';
import { connect, type DaemonOptions } from './connect.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { printJson, printLine } from './print.ts';
import { showRelative } from './show-time.ts';
import { type Column, renderTable } from './table.ts';

export async function nodes(context: CliContext, options: DaemonOptions): Promise<ExitCode> {
  const list = await connect(context, options).get<NodesAnswer>('/nodes');
  if (options.json) printJson(context, list);
  else if (list.items.length === 0) printLine(context, 'No nodes.');
  else
    printLine(
      context,
      [renderTable(context.stdout, columnsOf(context), list.items), ...notes(context, list)].join('\n'),
    );
  return exitCodes.done;
}

/** Which configuration is in force, and how to read the marks. */
function notes(context: CliContext, { in_force: inForce, items }: NodesAnswer): string[] {
  if (!inForce) return [];
  const { dim, red } = context.stdout.colors;
  const when = showRelative(Date.parse(inForce.applied_at), context.clock.now());
  const told = `${dim('in force')} ${inForce.hash.slice(0, 8)}, applied by ${inForce.node_name} ${when}`;
  const differ = items.some((node) => node.state === 'live' && node.config_differs);
  return differ ? [told, red('≠: the files of this node say something else')] : [told];
}

function columnsOf(context: CliContext): Column<NodeAnswer>[] {
  const { green, red, dim } = context.stdout.colors;
  const paint = { live: green, silent: red, stopped: dim };
  const relative = (instant: string): string => showRelative(Date.parse(instant), context.clock.now());
  return [
    { heading: 'node', cell: (node) => node.name },
    { heading: 'id', cell: (node) => node.id },
    { heading: 'state', cell: (node) => paint[node.state](node.state) },
    { heading: 'version', cell: (node) => node.version },
    { heading: 'started', cell: (node) => relative(node.started_at) },
    { heading: 'heartbeat', cell: (node) => relative(node.last_heartbeat_at) },
    { heading: 'heavy', align: 'right', cell: (node) => `${node.running_heavy}/${node.workers}` },
    { heading: 'light', align: 'right', cell: (node) => `${node.running_light}/${node.in_flight}` },
    { heading: 'queues', cell: (node) => node.queues?.join(', ') ?? 'all' },
    { heading: 'labels', cell: (node) => node.labels.join(', ') },
    { heading: 'files', cell: (node) => `${node.config_hash?.slice(0, 8) ?? ''}${node.config_differs ? ' ≠' : ''}` },
  ];
}
