// `cronwright show RUN --diff OTHER`: two runs side by side, as far as they differ.
import { showUsd } from '../domain/budget.ts';
import type { RunsDiffAnswer } from './answers.ts';
import type { CliContext } from './cli-context.ts';
import type { DaemonClient } from './daemon-client.ts';
import { segment } from './daemon-client.ts';
import { findRunId } from './find-run.ts';
import { plainText } from './plain-text.ts';
import { printJson, printLine } from './print.ts';
import { paintState } from './show-state.ts';
import { showDuration } from './show-time.ts';
import { type Column, clip, renderTable } from './table.ts';

type Step = RunsDiffAnswer['steps'][number];

/** `other` is the run before; true: the run's parent. */
export async function showDiff(
  context: CliContext,
  daemon: DaemonClient,
  id: string,
  options: { other: string | true; json: boolean },
): Promise<void> {
  const query = options.other === true ? {} : { with: await findRunId(daemon, options.other) };
  const diff = await daemon.get<RunsDiffAnswer>(`/runs/${segment(id)}/diff`, query);
  if (options.json) return printJson(context, diff);
  const { bold, dim } = context.stdout.colors;
  for (const [word, run] of [['before', diff.before] as const, ['after', diff.after] as const]) {
    printLine(
      context,
      `${dim(word.padEnd(7))} ${run.id}  ${bold(run.pipeline)}  ${paintState(context.stdout.colors, run.state)}`,
    );
  }
  if (!diff.same_version) {
    printLine(context, `${dim('version')} ${diff.before.pipeline_version} → ${diff.after.pipeline_version}`);
  }
  if (diff.before.cost.usd !== diff.after.cost.usd) {
    printLine(context, `${dim('cost'.padEnd(7))} ${showUsd(diff.before.cost.usd)} → ${showUsd(diff.after.cost.usd)}`);
  }
  printDifferences(context, 'inputs', diff.inputs);
  printSteps(context, diff.steps);
  for (const step of diff.steps) printDifferences(context, `${step.step}: output`, step.output);
}

function printSteps(context: CliContext, steps: readonly Step[]): void {
  const { colors } = context.stdout;
  const state = (side: Step['before']) => (side === null ? '' : paintState(colors, side.state));
  const took = (side: Step['before']) => (side?.duration_ms == null ? '' : showDuration(side.duration_ms));
  const columns: Column<Step>[] = [
    { heading: 'step', cell: (step) => step.step },
    { heading: 'before', cell: (step) => state(step.before) },
    { heading: 'after', cell: (step) => state(step.after) },
    { heading: 'took', align: 'right', cell: (step) => took(step.before) },
    { heading: 'took', align: 'right', cell: (step) => took(step.after) },
    { heading: '', cell: (step) => remark(step) },
  ];
  printLine(context);
  printLine(context, renderTable(context.stdout, columns, steps));
}

function remark(step: Step): string {
  if (step.same) return '';
  const count = step.output.items.length + step.output.more;
  const error = step.after?.error ?? step.before?.error;
  return [
    step.after?.edited ? 'edited' : '',
    count === 0 ? '' : `output differs in ${count} ${count === 1 ? 'place' : 'places'}`,
    error ? clip(plainText(`${step.after?.error ? '' : 'before: '}${error.name}: ${error.message}`), 80) : '',
  ]
    .filter((part) => part !== '')
    .join(', ');
}

function printDifferences(context: CliContext, heading: string, { items, more }: RunsDiffAnswer['inputs']): void {
  if (items.length === 0) return;
  printLine(context);
  printLine(context, context.stdout.colors.bold(heading));
  for (const { path, before, after } of items) {
    printLine(context, `  ${path === '' ? '(all)' : path}: ${show(before)} → ${show(after)}`);
  }
  if (more > 0) printLine(context, `  … and ${more} more`);
}

function show(value: unknown): string {
  return value === undefined ? '(none)' : clip(plainText(JSON.stringify(value)), 60);
}
