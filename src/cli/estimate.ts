// `cronwright estimate`: what a run is likely to cost and take, before it is started.
import { showEstimate } from '../domain/budget.ts';
import type { CostEstimateAnswer } from './answers.ts';
import type { CliContext } from './cli-context.ts';
import { connect, type DaemonOptions } from './connect.ts';
import { segment } from './daemon-client.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { printJson, printLine } from './print.ts';
import { showDuration } from './show-time.ts';
import { type Column, renderTable } from './table.ts';
import { readInputs } from './trigger.ts';

export interface EstimateOptions extends DaemonOptions {
  input?: string[];
}

export async function estimate(context: CliContext, pipeline: string, options: EstimateOptions): Promise<ExitCode> {
  const daemon = connect(context, options);
  const inputs = await readInputs(daemon, pipeline, options.input ?? []);
  const answer = await daemon.post<CostEstimateAnswer>(`/pipelines/${segment(pipeline)}/estimate`, { inputs });
  if (options.json) {
    printJson(context, answer);
    return exitCodes.done;
  }
  type Step = CostEstimateAnswer['steps'][number];
  const columns: Column<Step>[] = [
    { heading: 'step', cell: ({ step }) => step },
    { heading: 'uses', cell: ({ uses }) => uses },
    { heading: 'items', align: 'right', cell: ({ items }) => (items === null ? '' : String(items)) },
    { heading: 'usd', align: 'right', cell: (one) => (one.usd_from === 'none' ? '' : showEstimate(one.usd_low)) },
    {
      heading: 'takes',
      align: 'right',
      cell: (one) => (one.duration_ms === null ? '' : showDuration(one.duration_ms)),
    },
    { heading: 'from', cell: (one) => (one.usd_from === 'none' ? one.duration_from : one.usd_from) },
  ];
  printLine(context, renderTable(context.stdout, columns, answer.steps));
  const takes = answer.duration_ms === null ? '' : `, about ${showDuration(answer.duration_ms)}`;
  printLine(context);
  printLine(context, `${context.stdout.colors.bold(showEstimate(answer.usd_low))}${takes}`);
  return exitCodes.done;
}
