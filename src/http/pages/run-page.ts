// One run: what it is doing or why it ended, its steps in time, what it said and what happened to it.
import { html } from 'hono/html';
import { isTerminal } from '../../domain/run.ts';
import type { RunDetail } from '../../reads/get-run.ts';
import type { WaitView } from '../../reads/list-waits.ts';
import type { ArtifactView } from '../../reads/run-artifacts.ts';
import type { MessageView } from '../../reads/run-conversations.ts';
import type { EventView } from '../../reads/run-events.ts';
import type { LogLineView } from '../../reads/run-logs.ts';
import type { StepView } from '../../reads/run-steps.ts';
import { conversationList, costFact, tokensFact } from './run-costs.ts';
import { waitTable } from './wait-table.ts';
import { badge, clip, count, type Html, progressBar, relative, shortId, span, tenantNote, utc } from './words.ts';

export interface RunPageData {
  run: RunDetail;
  steps: readonly StepView[];
  events: readonly EventView[];
  log: readonly LogLineView[];
  artifacts: readonly ArtifactView[];
  messages: readonly MessageView[];
  hasMoreMessages: boolean;
  /** What somebody can do about it. */
  command: string | undefined;
  now: Date;
}

export function runPage(data: RunPageData): Html {
  const { run, artifacts } = data;
  return html`
<h1>${run.schedule ?? run.pipeline} ${badge(run.state)}${tenantNote(run.tenant)}</h1>
${run.error === null ? '' : html`<div class="failure"><strong>${run.error.name}</strong> <span class="dim">(${run.error.class})</span><pre>${run.error.message}</pre></div>`}
${isTerminal(run.state) ? '' : html`<p class="bigbar">${progressBar(run.progress, 'progress')} <span class="n">${run.progress} %</span> ${doing(run, data.now)}</p>`}
${questions(data)}
${facts(data)}
${stepTable(data)}
${logTail(data)}
${artifacts.length === 0 ? '' : artifactList(run, artifacts)}
${conversationList(data.messages, data.hasMoreMessages)}
${eventList(data)}
${inputList(run)}`;
}

function questions({ run, now }: RunPageData): Html | string {
  const open = run.waits.filter(({ state }) => state === 'open');
  const said = run.waits.filter(({ state }) => state === 'answered' || state === 'timed_out');
  const table =
    open.length === 0 || isTerminal(run.state)
      ? ''
      : html`<section id="asked"><h2>Asked of people</h2>
${waitTable(open, now, true)}</section>`;
  if (said.length === 0) return table;
  return html`${table}<section><details id="answers"><summary><h2>Answers</h2> <span class="dim">${count(said.length)}</span></summary>
<table class="rows"><tbody>${said.map(answerRow)}</tbody></table></details></section>`;
}

function answerRow(wait: WaitView): Html {
  const who = wait.state === 'timed_out' ? 'time' : (wait.answered_by ?? '');
  const data = wait.data === null ? '' : clip(JSON.stringify(wait.data), 240);
  return html`<tr><td>${wait.step}${wait.item === null ? '' : `[${wait.item}]`}</td><td>${clip(wait.message ?? wait.key, 120)}</td>
<td>${wait.decision ?? (wait.state === 'timed_out' ? wait.on_timeout : '')} <span class="dim">${who}</span></td><td class="dim">${data}</td></tr>`;
}

function doing(run: RunDetail, now: Date): Html {
  const what = [
    run.step,
    run.message,
    run.wait_kind?.replaceAll('_', ' '),
    run.blocked_on && `blocked on ${run.blocked_on}`,
  ]
    .filter((part) => part)
    .join(' · ');
  return html`<span>${what}</span>${run.eta === null ? '' : html` <span class="dim">done ${relative(run.eta, now)}</span>`}${run.wakes_at === null ? '' : html` <span class="dim">goes on ${relative(run.wakes_at, now)}</span>`}${run.requested === null ? '' : html` <span class="badge">${run.requested} asked</span>`}`;
}

function facts(data: RunPageData): Html {
  const { run, now } = data;
  const when = (at: Date | null) =>
    at === null ? '' : html`${utc(at)} UTC <span class="dim">(${relative(at, now)})</span>`;
  const origin = [
    run.origin,
    run.actor && run.actor !== run.origin ? `by ${run.actor}` : '',
    run.late ? 'late' : '',
    run.dry_run ? 'dry run' : '',
  ]
    .filter((part) => part !== '')
    .join(', ');
  const list: readonly (readonly [string, Html | string])[] = [
    ['run', html`<code>${run.id}</code>`],
    [
      'pipeline',
      html`<a href="/runs?pipeline=${encodeURIComponent(run.pipeline)}">${run.pipeline}</a> <span class="dim">version ${run.pipeline_version}</span>`,
    ],
    ['origin', origin],
    ['due', when(run.nominal_at)],
    ['made', when(run.created_at)],
    ['started', when(run.started_at)],
    ['ended', when(run.finished_at)],
    ['took', run.duration_ms === null ? '' : span(run.duration_ms)],
    ['attempt', run.attempt !== null && run.attempt > 1 ? String(run.attempt) : ''],
    ['cost', costFact(run.cost)],
    ['tokens', tokensFact(run.cost)],
    ['failed items', run.failed_items ? count(run.failed_items) : ''],
    [
      'made from',
      run.parent_id === null
        ? ''
        : html`<a href="/runs/${run.parent_id}">${shortId(run.parent_id)}</a> <a href="/api/v1/runs/${run.id}/diff">compare</a>`,
    ],
    [
      'made into',
      run.children.length === 0
        ? ''
        : html`${run.children.slice(0, 5).map((id) => html`<a href="/runs/${id}">${shortId(id)}</a> `)}`,
    ],
    ['paused', pausedBy(data)],
    ['what to do', data.command === undefined ? '' : html`<code>${data.command}</code>`],
  ];
  return html`<dl class="facts">${list.map(([name, value]) => (value === '' ? '' : html`<div><dt>${name}</dt><dd>${value}</dd></div>`))}</dl>`;
}

/** Who holds it and why, from the newest event that says so. */
function pausedBy({ run, events }: RunPageData): string {
  if (run.state !== 'paused') return '';
  const paused = events.findLast((event) => event.event === 'run.paused' || event.to === 'paused');
  const by = paused?.actor ? `by ${paused.actor}` : '';
  return [by, paused?.reason].filter((part) => part).join(': ') || 'its pipeline or tenant is paused';
}

function stepTable({ steps, now }: RunPageData): Html {
  const starts = steps.flatMap((step) => (step.started_at === null ? [] : [step.started_at.getTime()]));
  const from = Math.min(...starts);
  const to = Math.max(
    ...steps.map((step) => (step.finished_at ?? (step.started_at === null ? new Date(from) : now)).getTime()),
    from + 1,
  );
  return html`<section><h2>Steps</h2>
<table class="rows"><thead><tr><th>step</th><th></th><th class="n">took</th><th class="wide">when</th><th></th></tr></thead><tbody>
${steps.map(
  (
    step,
  ) => html`<tr><td>${step.step}${step.kind === 'step' ? '' : html` <span class="dim">(${step.kind.replace('_', ' ')})</span>`}<br><span class="dim">${step.uses ?? ''}</span></td>
<td>${badge(step.state)}</td>
<td data-label="took" class="n">${step.duration_ms === null ? '' : span(step.duration_ms)}</td>
<td data-label="when" class="gantt">${starts.length === 0 ? '' : gantt(step, from, to, now)}</td>
<td data-label="note">${note(step)}</td></tr>`,
)}
</tbody></table></section>`;
}

/** Where in the run's time a step stood; by attributes, because the page allows no inline style. */
function gantt(step: StepView, from: number, to: number, now: Date): Html | string {
  if (step.started_at === null) return '';
  const place = (at: number) => ((at - from) / (to - from)) * 100;
  const x = place(step.started_at.getTime());
  const width = Math.max(0.8, place((step.finished_at ?? now).getTime()) - x);
  return html`<svg viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label="began ${span(step.started_at.getTime() - from)} after the first step"><rect class="s-${step.state}" x="${Math.min(x, 99.2).toFixed(2)}" y="1" width="${width.toFixed(2)}" height="6" rx="0.6"/></svg>`;
}

function note(step: StepView): Html {
  const tries = step.attempts > 1 ? `${step.attempts} attempts. ` : '';
  const items =
    step.items === null
      ? ''
      : `${step.items.completed}/${step.items.total} items${step.items.failed > 0 ? `, ${step.items.failed} failed` : ''}. `;
  const error =
    step.error === null
      ? ''
      : html`<span class="error"><span class="name">${step.error.name}</span> ${clip(step.error.message, 240)}</span>`;
  return html`${tries}${items}${error}${undoing(step, step.error !== null)}`;
}

/** Why what it did is still there. */
function undoing({ compensation }: StepView, isSecond: boolean): Html | string {
  const line = isSecond ? html`<br>` : '';
  if (compensation?.state === 'irreversible') return html`${line}cannot be undone`;
  if (compensation?.state === 'running') return html`${line}is being undone`;
  if (compensation?.state !== 'failed') return '';
  const { error } = compensation;
  const why = error === null ? '' : html`: <span class="name">${error.name}</span> ${clip(error.message, 240)}`;
  return html`${line}<span class="error">not undone${why}</span>`;
}

function logTail({ log, run }: RunPageData): Html {
  if (log.length === 0) return html`<section><h2>Log</h2><p class="dim">Nothing was said.</p></section>`;
  return html`<section><h2>Log</h2>
<div class="log" tabindex="0">${log.map((line) => html`<div class="l-${line.level}"><span class="dim">${timeOf(line)}</span> <span class="step">${line.step ?? 'run'}${line.item === null || line.item < 0 ? '' : `[${line.item}]`}</span> ${line.text}</div>`)}</div>
<p class="more dim">The last ${log.length} lines; all of them: <code>cronwright logs ${run.id}</code></p></section>`;
}

function timeOf({ at }: LogLineView): string {
  return at === null ? '' : new Date(at).toISOString().slice(11, 23);
}

function artifactList(run: RunDetail, artifacts: readonly ArtifactView[]): Html {
  return html`<section><h2>Artifacts</h2><ul class="plain">
${artifacts.map((one) => html`<li><a href="/api/v1/runs/${run.id}/artifacts/${one.id}">${one.name}</a> <span class="dim">${one.step}, ${bytes(one.size)}</span></li>`)}
</ul></section>`;
}

function bytes(size: number): string {
  if (size < 1_024) return `${size} B`;
  return size < 1_048_576 ? `${(size / 1_024).toFixed(1)} KiB` : `${(size / 1_048_576).toFixed(1)} MiB`;
}

function eventList({ events }: RunPageData): Html {
  return html`<section><details id="events"><summary><h2>What happened</h2> <span class="dim">${count(events.length)} events</span></summary>
<table class="rows"><tbody>
${events.map(
  (event) => html`<tr><td class="time">${event.at.toISOString().slice(11, 23)}</td><td>${event.event}</td>
<td>${[event.step, event.from && event.to ? `${event.from} → ${event.to}` : event.to, event.actor && `by ${event.actor}`, event.reason].filter((part) => part).join(', ')}</td></tr>`,
)}
</tbody></table></details></section>`;
}

function inputList(run: RunDetail): Html | string {
  if (run.inputs === null) return '';
  return html`<section><details id="inputs"><summary><h2>Inputs</h2></summary><pre>${clipBlock(JSON.stringify(run.inputs, null, 2))}</pre></details></section>`;
}

function clipBlock(text: string): string {
  return text.length > 20_000 ? `${text.slice(0, 20_000)}\n…` : text;
}
