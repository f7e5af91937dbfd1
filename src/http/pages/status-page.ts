// The status page: what runs, what failed, what waits and what fires next, for somebody who was just woken up.
import { html } from 'hono/html';
import type { NodeView } from '../../reads/list-nodes.ts';
import type { ScheduleView } from '../../reads/list-schedules.ts';
import type { QueueStatusView } from '../../reads/queue-status.ts';
import type { RunView } from '../../reads/run-view.ts';
import { sensorTable } from './sensor-table.ts';
import type { StatusData } from './status-data.ts';
import { waitTable } from './wait-table.ts';
import {
  badge,
  clip,
  count,
  type Html,
  percent,
  progressBar,
  relative,
  shortId,
  shortSpan,
  span,
  tenantNote,
  utc,
  wallClock,
} from './words.ts';

export function statusPage(data: StatusData): Html {
  return html`
${headline(data)}
${tiles(data)}
${data.asked.length > 0 ? askedOfPeople(data) : ''}
${data.queue.pauses.length > 0 ? pausedScopes(data) : ''}
${runningNow(data)}
${data.failed.length > 0 ? failedLately(data) : ''}
${data.stalled.length > 0 ? stalledRuns(data) : ''}
${data.quiet.length > 0 ? quietPeers(data) : ''}
${data.undelivered.length > 0 ? undeliveredCalls(data) : ''}
${nextFires(data)}
${unusualSchedules(data)}
${sensorTable(data.sensors, data.at)}
<div class="columns">
${queueTable(data.queue)}
${nodeTable(data)}
</div>
${completedLately(data)}`;
}

/** One sentence that tells whether somebody has to do something. */
function headline(data: StatusData): Html {
  const troubles = troublesOf(data);
  if (troubles.length === 0) return html`<p class="headline ok"><strong>All is well.</strong> ${quietNote(data)}</p>`;
  return html`<p class="headline bad"><strong>Look at this:</strong> ${troubles.join(' · ')}</p>`;
}

function troublesOf({ nodes, schedules, sensors, queue, stats, stalled, undelivered, asked }: StatusData): string[] {
  const live = nodes.filter((node) => node.state === 'live').length;
  const silent = nodes.filter((node) => node.state === 'silent').length;
  const differ = nodes.filter((node) => node.state === 'live' && node.config_differs).length;
  const broken = schedules.filter((schedule) => schedule.state === 'broken').length;
  const failing = sensors.filter((sensor) => sensor.state === 'failing').length;
  const ended = stats.failed + stats.dead_letter + stats.rolled_back;
  const stuck = stalled.filter((run) => run.state === 'rollback_failed').length;
  return [
    live === 0 ? 'no node is live, nothing will run' : '',
    differ > 0 ? `${many(differ, 'node')} with another configuration in ${differ === 1 ? 'its' : 'their'} files` : '',
    silent > 0 ? `${many(silent, 'node')} without a heartbeat` : '',
    broken > 0 ? `${many(broken, 'schedule')} broken` : '',
    failing > 0 ? `${many(failing, 'sensor')} failing` : '',
    stuck > 0 ? `${many(stuck, 'rollback')} failed` : '',
    ended > 0 ? `${many(ended, 'run')} failed within 24 h` : '',
    undelivered.length > 0 ? `${many(undelivered.length, 'notification')} not delivered` : '',
    asked.length > 0 ? `${many(asked.length, 'question')} for people` : '',
    (queue.oldest_wait_ms ?? 0) > 300_000
      ? `the oldest run has waited for ${shortSpan(queue.oldest_wait_ms ?? 0)}`
      : '',
  ].filter((text) => text !== '');
}

function quietNote({ stats }: StatusData): string {
  return stats.completed > 0
    ? `${many(stats.completed, 'run')} completed within 24 h, none failed.`
    : 'Nothing has failed within 24 h.';
}

function many(n: number, word: string): string {
  return `${count(n)} ${word}${n === 1 ? '' : 's'}`;
}

function tiles({ queue, stats }: StatusData): Html {
  const oldest = queue.oldest_wait_ms === null ? '–' : span(queue.oldest_wait_ms);
  const waiting = ['waiting', 'retrying', 'paused', 'scheduled'].reduce((n, s) => n + (queue.by_state[s] ?? 0), 0);
  return html`<dl class="tiles">
<div><dt>running</dt><dd>${count(queue.by_state.running ?? 0)}</dd></div>
<div><dt>ready</dt><dd>${count(queue.ready)}</dd></div>
<div><dt>blocked</dt><dd>${count(queue.blocked)}</dd></div>
<div><dt>later</dt><dd>${count(waiting)}</dd></div>
<div><dt>oldest wait</dt><dd>${oldest}</dd></div>
<div><dt>success, 24 h</dt><dd>${percent(stats.success_rate)}</dd></div>
</dl>`;
}

function askedOfPeople({ asked, at }: StatusData): Html {
  return html`<section id="asked"><h2>Asked of people</h2>
${waitTable(asked, at)}</section>`;
}

function runningNow({ running, queue, at }: StatusData): Html {
  if (running.length === 0) return html`<section><h2>Running now</h2><p class="dim">Nothing runs.</p></section>`;
  const more = (queue.by_state.running ?? 0) + (queue.by_state.rolling_back ?? 0) - running.length;
  return html`<section><h2>Running now</h2>
<table class="rows"><thead><tr><th>run</th><th>doing</th><th class="wide">progress</th><th class="n">for</th><th class="n">done</th></tr></thead><tbody>
${running.map(
  (run) => html`<tr>
<td>${runLink(run)}${run.requested === null ? '' : html` <span class="badge">${run.requested} asked</span>`}</td>
<td data-label="doing"><span class="step">${run.step ?? 'starting'}</span> <span class="dim">${clip(run.message ?? '', 70)}</span></td>
<td data-label="progress" class="bar">${progressBar(run.progress, `progress of ${run.pipeline}`)} <span class="n">${run.progress} %</span></td>
<td data-label="for" class="n">${run.duration_ms === null ? '–' : span(run.duration_ms)}</td>
<td data-label="done" class="n">${eta(run, at)}</td></tr>`,
)}
</tbody></table>
${more > 0 ? html`<p class="more"><a href="/runs?state=running">${count(more)} more</a></p>` : ''}</section>`;
}

/** Linear, from how long the progress so far took. */
function eta(run: RunView, now: Date): Html | string {
  if (run.progress <= 0 || run.duration_ms === null) return '–';
  return relative(new Date(now.getTime() + (run.duration_ms * (100 - run.progress)) / run.progress), now);
}

function failedLately({ failed, at }: StatusData): Html {
  const newestFirst = [...failed].sort((a, b) => (b.finished_at?.getTime() ?? 0) - (a.finished_at?.getTime() ?? 0));
  return html`<section><h2>Failed lately</h2>
<table class="rows"><thead><tr><th>run</th><th></th><th>why</th><th class="n">when</th></tr></thead><tbody>
${newestFirst.map(
  (run) => html`<tr>
<td>${runLink(run)}</td>
<td>${badge(run.state)}</td>
<td data-label="why" class="error">${errorText(run)}</td>
<td data-label="when" class="n">${run.finished_at === null ? '–' : relative(run.finished_at, at)}</td></tr>`,
)}
</tbody></table>
<p class="more"><a href="/runs?state=failed,dead_letter,rolled_back">all that failed</a></p></section>`;
}

function errorText({ error, message }: RunView): Html {
  if (error === null) return html`<span class="dim">${clip(message ?? 'no reason recorded', 200)}</span>`;
  return html`<span class="name">${error.name}</span> ${clip(error.message, 200)}`;
}

function stalledRuns({ stalled, at }: StatusData): Html {
  return html`<section><h2>Waiting for something</h2>
<table class="rows"><thead><tr><th>run</th><th></th><th>for what</th><th class="n">goes on</th></tr></thead><tbody>
${stalled.map(
  (run) => html`<tr>
<td>${runLink(run)}</td>
<td>${badge(run.state)}</td>
<td data-label="for what">${run.wait_kind?.replaceAll('_', ' ') ?? ''} <span class="dim">${clip(run.message ?? '', 120)}</span></td>
<td data-label="goes on" class="n">${run.wakes_at === null ? html`<span class="dim">when told</span>` : relative(run.wakes_at, at)}</td></tr>`,
)}
</tbody></table></section>`;
}

function quietPeers({ quiet, at }: StatusData): Html {
  return html`<section><h2>Not called for a while</h2>
<table class="rows"><thead><tr><th>what</th><th>why</th><th class="n">called again</th></tr></thead><tbody>
${quiet.map(
  (peer) => html`<tr>
<td>${peer.key}${tenantNote(peer.tenant)}</td>
<td data-label="why"><a href="/runs/${peer.run_id}">${clip(peer.reason, 160)}</a></td>
<td data-label="called again" class="n">${relative(peer.until, at)}</td></tr>`,
)}
</tbody></table></section>`;
}

function pausedScopes({ queue, at }: StatusData): Html {
  return html`<section><h2>Paused</h2>
<table class="rows"><thead><tr><th>what</th><th>by whom, why</th><th class="n">since</th><th class="n">ends</th><th>to resume</th></tr></thead><tbody>
${queue.pauses.map((pause) => {
  const resume = pause.pipeline === null ? '--all' : `--pipeline ${pause.pipeline}`;
  const tenant = pause.tenant === 'default' ? '' : ` --tenant ${pause.tenant}`;
  return html`<tr>
<td>${pause.pipeline === null ? html`everything of ${pause.tenant}` : html`<a href="/runs?pipeline=${encodeURIComponent(pause.pipeline)}">${pause.pipeline}</a>${tenantNote(pause.tenant)}`}</td>
<td data-label="by whom, why">${pause.by}${pause.reason === null ? '' : `: ${clip(pause.reason, 160)}`}</td>
<td data-label="since" class="n">${relative(pause.at, at)}</td>
<td data-label="ends" class="n">${pause.until === null ? html`<span class="dim">when resumed</span>` : relative(pause.until, at)}</td>
<td data-label="to resume"><code>cronwright resume ${resume}${tenant}</code></td></tr>`;
})}
</tbody></table></section>`;
}

function undeliveredCalls({ undelivered, at }: StatusData): Html {
  return html`<section><h2>Not delivered</h2>
<table class="rows"><thead><tr><th>notification</th><th></th><th>why</th><th class="n">tried again</th></tr></thead><tbody>
${undelivered.slice(0, 10).map(
  (call) => html`<tr>
<td>${call.run_id === null ? call.pipeline : html`<a href="/runs/${call.run_id}">${call.pipeline}</a>`} <span class="dim">${call.step_type}</span></td>
<td>${badge(call.state)}</td>
<td data-label="why" class="error">${call.error === null ? '' : html`<span class="name">${call.error.name}</span> ${clip(call.error.message, 200)}`}</td>
<td data-label="tried again" class="n">${call.next_at === null ? html`<span class="dim">given up</span>` : relative(call.next_at, at)}</td></tr>`,
)}
</tbody></table></section>`;
}

function nextFires({ schedules, at }: StatusData): Html {
  const next = schedules
    .filter((one): one is ScheduleView & { next_at: Date; next_local: string } => one.next_at !== null)
    .sort((a, b) => a.next_at.getTime() - b.next_at.getTime())
    .slice(0, 10);
  if (next.length === 0) return html`<section><h2>Next</h2><p class="dim">No schedule will fire.</p></section>`;
  return html`<section><h2>Next</h2>
<table class="rows"><thead><tr><th>schedule</th><th class="n">in</th><th>in its zone</th><th>UTC</th><th>last run</th></tr></thead><tbody>
${next.map(
  (one) => html`<tr>
<td><a href="/schedules#${one.id}">${one.id}</a>${tenantNote(one.tenant)}</td>
<td data-label="in" class="n">${relative(one.next_at, at)}</td>
<td data-label="in its zone" class="time">${wallClock(one.next_local)} <span class="dim">${one.timezone}</span></td>
<td data-label="UTC" class="time">${utc(one.next_at)}</td>
<td data-label="last run">${lastRun(one)}</td></tr>`,
)}
</tbody></table>
<p class="more"><a href="/schedules">all schedules</a></p></section>`;
}

export function lastRun({ last_run }: ScheduleView): Html {
  if (last_run === null) return html`<span class="dim">none</span>`;
  return html`<a href="/runs/${last_run.id}">${badge(last_run.state)}</a>`;
}

function unusualSchedules({ schedules, at }: StatusData): Html | string {
  const unusual = schedules.filter((one) => one.state !== 'active');
  if (unusual.length === 0) return '';
  return html`<section><h2>Not firing as usual</h2>
<table class="rows"><thead><tr><th>schedule</th><th></th><th>why</th></tr></thead><tbody>
${unusual.slice(0, 20).map(
  (one) => html`<tr><td><a href="/schedules#${one.id}">${one.id}</a>${tenantNote(one.tenant)}</td>
<td>${badge(one.state)}</td><td data-label="why">${whyUnusual(one, at)}</td></tr>`,
)}
</tbody></table></section>`;
}

export function whyUnusual({ state, error, paused }: ScheduleView, now: Date): Html {
  if (state === 'disabled') return html`<span class="dim">enabled: false in its file</span>`;
  if (paused === null) return html`<span class="error">${clip(error ?? '', 200)}</span>`;
  const until =
    paused.until === null
      ? 'until it is resumed'
      : html`until ${utc(paused.until)} UTC (${relative(paused.until, now)})`;
  return html`${paused.reason ?? 'no reason given'} <span class="dim">— by ${paused.by ?? 'somebody'} ${relative(paused.at, now)}, ${until}</span>`;
}

const queueStates = ['pending', 'running', 'scheduled', 'waiting', 'retrying', 'paused'] as const;

function queueTable(queue: QueueStatusView): Html {
  const wait = queue.average_wait_ms === null ? '' : ` Runs wait ${span(queue.average_wait_ms)} on average.`;
  const names = Object.keys(queue.by_queue);
  const tenants = Object.keys(queue.by_tenant);
  if (names.length === 0) return html`<section><h2>Queue</h2><p class="dim">Empty.${wait}</p></section>`;
  const line = (name: string, counts: Readonly<Record<string, number>>) =>
    html`<tr><td>${name}</td>${queueStates.map((state) => figure(state, counts[state] ?? 0))}</tr>`;
  return html`<section><h2>Queue</h2>
<table class="rows figures"><thead><tr><th></th>${queueStates.map((state) => html`<th class="n">${state}</th>`)}</tr></thead><tbody>
${names.map((name) => line(name, queue.by_queue[name] ?? {}))}
${tenants.length > 1 ? tenants.map((name) => line(`tenant ${name}`, queue.by_tenant[name] ?? {})) : ''}
</tbody></table><p class="more dim">${count(queue.depth)} live.${wait}</p></section>`;
}

function figure(state: string, n: number): Html {
  if (n === 0) return html`<td class="n zero dim">·</td>`;
  return html`<td data-label="${state}" class="n">${count(n)}</td>`;
}

function nodeTable({ nodes, inForce, at }: StatusData): Html {
  return html`<section><h2>Nodes</h2>
${nodes.length === 0 ? html`<p class="dim">None has ever been here.</p>` : ''}
<table class="rows"><tbody>
${nodes.slice(0, 20).map((node) => nodeRow(node, at))}
</tbody></table>
${inForce === null ? '' : html`<p class="dim">Configuration ${inForce.hash.slice(0, 8)}, applied by ${inForce.node_name} ${relative(inForce.applied_at, at)}.</p>`}
</section>`;
}

function nodeRow(node: NodeView, now: Date): Html {
  const seen = node.state === 'stopped' ? (node.stopped_at ?? node.last_heartbeat_at) : node.last_heartbeat_at;
  return html`<tr><td>${node.name} <span class="dim">${[node.version, ...node.labels].join(' · ')}</span></td>
<td>${badge(node.state)}${node.config_differs ? html` <span class="error" title="its own files say ${node.config_hash}">other files</span>` : ''}</td>
<td data-label="heavy" class="n">${node.running_heavy}/${node.workers} <span class="dim">workers</span></td>
<td data-label="light" class="n">${node.running_light}/${node.in_flight} <span class="dim">in flight</span></td>
<td data-label="seen" class="n">${relative(seen, now)}</td></tr>`;
}

function completedLately({ completed, at }: StatusData): Html | string {
  if (completed.length === 0) return '';
  return html`<section><h2>Completed lately</h2>
<table class="rows"><tbody>
${completed.map(
  (run) => html`<tr><td>${runLink(run)}</td>
<td>${badge(run.state)}${run.failed_items ? html` <span class="error">${run.failed_items} items failed</span>` : ''}</td>
<td data-label="took" class="n">${run.duration_ms === null ? '–' : span(run.duration_ms)}</td>
<td data-label="when" class="n">${run.finished_at === null ? '–' : relative(run.finished_at, at)}</td></tr>`,
)}
</tbody></table></section>`;
}

export function runLink(run: RunView): Html {
  return html`<a class="run" href="/runs/${run.id}">${run.schedule ?? run.pipeline}</a>${tenantNote(run.tenant)} <span class="id">${shortId(run.id)}</span>`;
}
