// `cronwright show`: all that is known of one run on one screen.
import { showEstimate, showUsd } from '../domain/budget.ts';
import { CronwrightError } from '../domain/errors.ts';
import type { EventAnswer, List, RunDetailAnswer, StepAnswer } from './answers.ts';
import type { CliContext } from './cli-context.ts';
import { connect, type DaemonOptions } from './connect.ts';
import { segment } from './daemon-client.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { findRunId } from './find-run.ts';
import { plainText } from './plain-text.ts';
import { printJson, printLine } from './print.ts';
import { tookOf } from './runs.ts';
import { paintState, progressBar } from './show-state.ts';
import { showDuration, showRelative, showUtc } from './show-time.ts';
import { describeWaits } from './signal.ts';
import { type Column, clip, renderTable } from './table.ts';

export interface ShowOptions extends DaemonOptions {
  /** The run to compare it with; true: its parent. */
  diff?: string | true;
}

export async function show(context: CliContext, text: string, options: ShowOptions): Promise<ExitCode> {
  const daemon = connect(context, options);
  const runId = await findRunId(daemon, text);
  if (options.diff !== undefined) {
    const { showDiff } = await import('./show-diff.ts');
    await showDiff(context, daemon, runId, { other: options.diff, json: options.json ?? false });
    return exitCodes.done;
  }
  const id = segment(runId);
  const [run, steps, events] = await Promise.all([
    daemon.get<RunDetailAnswer>(`/runs/${id}`),
    daemon.get<List<StepAnswer>>(`/runs/${id}/steps`),
    daemon.get<List<EventAnswer>>(`/runs/${id}/events`, { limit: 1_000 }),
  ]);
  if (!Array.isArray(steps.items) || !Array.isArray(events.items)) {
    throw new CronwrightError('unavailable', `${daemon.url} answers in a form this version does not know`);
  }
  if (options.json) {
    printJson(context, { ...run, steps: steps.items, events: events.items });
    return exitCodes.done;
  }
  const now = context.clock.now();
  printHead(context, run, now);
  printQuestions(context, run, now);
  printSteps(context, steps.items, now);
  printTimeline(context, events.items);
  return exitCodes.done;
}

function printHead(context: CliContext, run: RunDetailAnswer, now: number): void {
  const { bold, dim, red } = context.stdout.colors;
  const fact = (name: string, value: string | null | undefined): void => {
    if (value) printLine(context, `${dim(name.padEnd(10))} ${value}`);
  };
  printLine(context, `${bold(run.pipeline)}  ${paintState(context.stdout.colors, run.state)}${stateRemark(run)}`);
  fact('run', run.id);
  fact(
    'origin',
    [run.origin, run.schedule, run.late ? 'late' : '', run.dry_run ? 'dry run' : ''].filter(Boolean).join(', '),
  );
  fact('due', timeFact(run.nominal_at, now));
  fact('made', timeFact(run.created_at, now));
  fact('not before', timeFact(run.run_at, now));
  if (!run.finished_at && run.wakes_at !== run.run_at) fact('goes on', timeFact(run.wakes_at, now));
  fact('started', timeFact(run.started_at, now));
  fact('finished', timeFact(run.finished_at, now));
  fact('took', tookOf(run, now));
  fact(run.origin === 'fork' ? 'fork of' : run.origin === 'retry' ? 'retry of' : 'made from', run.parent_id);
  const eta = run.eta && !run.finished_at ? `, done ${showRelative(Date.parse(run.eta), now)}` : '';
  fact('progress', `${progressBar(run.progress)}${eta}${run.message ? `  ${clip(run.message, 80)}` : ''}`);
  fact('cost', describeCost(run));
  if (run.failed_items) fact('items', red(`${run.failed_items} failed`));
  if (run.error) fact('error', red(plainText(errorText(run.error))));
}

/** Of a daemon of before there were costs, nothing. */
function describeCost({ cost }: RunDetailAnswer): string | undefined {
  if (!cost || (cost.usd === 0 && cost.held_usd === 0 && cost.estimated_usd === null && cost.total_tokens === 0)) {
    return undefined;
  }
  const facts = [
    showUsd(cost.usd),
    cost.held_usd > 0 ? `${showUsd(cost.held_usd)} held` : '',
    cost.unknown_usd > 0 ? `${showUsd(cost.unknown_usd)} of it unknown` : '',
    cost.estimated_usd === null ? '' : `estimated ${showEstimate(cost.estimated_usd)}`,
    cost.ratio === null ? '' : `ratio ${cost.ratio}`,
    cost.total_tokens > 0 ? `${cost.prompt_tokens} + ${cost.completion_tokens} tokens` : '',
  ];
  return facts.filter((one) => one !== '').join(', ');
}

function printQuestions(context: CliContext, run: RunDetailAnswer, now: number): void {
  const open = (run.waits ?? []).filter(({ state }) => state === 'open');
  if (open.length === 0 || run.finished_at) return;
  printLine(context);
  for (const line of describeWaits(open, now)) printLine(context, `${context.stdout.colors.bold('asks')}  ${line}`);
}

function stateRemark(run: RunDetailAnswer): string {
  const remarks = [
    run.wait_kind,
    run.blocked_on && `blocked on ${run.blocked_on}`,
    run.requested ? `${run.requested} requested` : undefined,
  ].filter(Boolean);
  return remarks.length > 0 ? ` (${remarks.join(', ')})` : '';
}

function timeFact(instant: string | null | undefined, now: number): string | undefined {
  if (!instant) return undefined;
  const at = Date.parse(instant);
  return `${showUtc(at)}  ${showRelative(at, now)}`;
}

/** Why it failed; before that, why it could not be undone. */
function noteOf({ error, compensation }: StepAnswer): string {
  const undoing = compensation?.state === 'failed' ? compensation.error : null;
  if (undoing) return clip(`not undone: ${errorText(undoing)}`, 80);
  if (compensation?.state === 'irreversible') return 'cannot be undone';
  return error ? clip(errorText(error), 80) : '';
}

function errorText(error: { name: string; message: string }): string {
  return [error.name, error.message].filter(Boolean).join(': ');
}

function printSteps(context: CliContext, steps: readonly StepAnswer[], now: number): void {
  if (steps.length === 0) return;
  const span = spanOf(steps, now);
  const columns: Column<StepAnswer>[] = [
    { heading: 'step', cell: (step) => step.step },
    { heading: 'uses', cell: (step) => step.uses ?? '' },
    { heading: 'state', cell: (step) => paintState(context.stdout.colors, step.state) },
    { heading: 'tries', align: 'right', cell: (step) => (step.attempts > 1 ? String(step.attempts) : '') },
    { heading: 'items', align: 'right', cell: itemsOf },
    { heading: 'took', align: 'right', cell: (step) => tookOf(step, now) },
    { heading: 'when', cell: (step) => (span === undefined ? '' : timeBar(step, span, now)) },
    { heading: '', cell: (step) => noteOf(step) },
  ];
  printLine(context);
  printLine(context, renderTable(context.stdout, columns, steps));
}

function itemsOf({ items }: StepAnswer): string {
  if (items === null) return '';
  const failed = items.failed > 0 ? `, ${items.failed} failed` : '';
  return `${items.completed + items.failed + items.skipped}/${items.total}${failed}`;
}

interface Span {
  from: number;
  to: number;
}

function spanOf(steps: readonly StepAnswer[], now: number): Span | undefined {
  const starts = steps.flatMap((step) => (step.started_at ? [Date.parse(step.started_at)] : []));
  if (starts.length === 0) return undefined;
  const ends = steps.flatMap((step) =>
    step.finished_at ? [Date.parse(step.finished_at)] : step.started_at ? [now] : [],
  );
  return { from: Math.min(...starts), to: Math.max(...ends, ...starts) };
}

const barWidth = 24;

/** Where in the run's time a step stood. */
function timeBar(step: StepAnswer, span: Span, now: number): string {
  if (!step.started_at || span.to <= span.from) return '';
  const place = (at: number): number => Math.floor(((at - span.from) / (span.to - span.from)) * barWidth);
  const from = Math.min(place(Date.parse(step.started_at)), barWidth - 1);
  const to = Math.max(from + 1, place(step.finished_at ? Date.parse(step.finished_at) : now));
  return `${' '.repeat(from)}${'▬'.repeat(Math.min(to, barWidth) - from)}`.padEnd(barWidth);
}

const shownEvents = 40;

function printTimeline(context: CliContext, events: readonly EventAnswer[]): void {
  if (events.length === 0) return;
  const { dim } = context.stdout.colors;
  const begin = Date.parse(events[0]?.at ?? '');
  const shown = events.slice(-shownEvents);
  printLine(context);
  if (shown.length < events.length) printLine(context, dim(`… ${events.length - shown.length} earlier`));
  const columns: Column<EventAnswer>[] = [
    { heading: 'time (UTC)', cell: (event) => showUtc(Date.parse(event.at)) },
    { heading: 'after', align: 'right', cell: (event) => showDuration(Date.parse(event.at) - begin) },
    { heading: 'event', cell: (event) => event.event },
    { heading: 'what', cell: (event) => clip(eventText(event), 90) },
  ];
  printLine(context, renderTable(context.stdout, columns, shown));
}

function eventText(event: EventAnswer): string {
  const step =
    event.step === null ? '' : event.item == null || event.item < 0 ? event.step : `${event.step}[${event.item}]`;
  const change = event.from && event.to ? `${event.from} → ${event.to}` : '';
  const attempt = event.attempt && event.attempt > 1 ? `try ${event.attempt}` : '';
  const actor = event.actor ? `by ${event.actor}` : '';
  return [step, change, attempt, actor, event.reason ?? ''].filter((part) => part !== '').join(', ');
}
