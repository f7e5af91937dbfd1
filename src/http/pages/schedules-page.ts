// All schedules: when each fires next, in its zone and in UTC, and whether it does.
import { html } from 'hono/html';
import type { ScheduleView } from '../../reads/list-schedules.ts';
import { lastRun, whyUnusual } from './status-page.ts';
import { badge, type Html, relative, tenantNote, utc, wallClock } from './words.ts';

export function schedulesPage(schedules: readonly ScheduleView[], most: number, now: Date): Html {
  return html`
<h1>Schedules</h1>
<section>
${schedules.length === 0 ? html`<p class="dim">There is no schedule yet: pipelines name theirs in their files.</p>` : ''}
<table class="rows"><thead><tr><th>schedule</th><th></th><th>cron</th><th>next, in its zone</th><th>next, UTC</th><th>last run</th></tr></thead><tbody>
${schedules.map((one) => row(one, now))}
</tbody></table>
${schedules.length >= most ? html`<p class="more dim">The first ${most} by urgency; the API lists all of them.</p>` : ''}
</section>`;
}

function row(one: ScheduleView, now: Date): Html {
  return html`<tr id="${one.id}">
<td><a href="/runs?schedule=${encodeURIComponent(one.id)}">${one.id}</a>${tenantNote(one.tenant)}${one.description === null ? '' : html`<br><span class="dim">${one.description}</span>`}</td>
<td>${badge(one.state)}</td>
<td data-label="cron"><code>${one.cron}</code></td>
${one.next_at === null ? html`<td colspan="2" data-label="why">${whyUnusual(one, now)}</td>` : nextCells(one, one.next_at, now)}
<td data-label="last run">${lastRun(one)}</td></tr>`;
}

function nextCells(one: ScheduleView, next: Date, now: Date): Html {
  const local = one.next_local === null ? '' : wallClock(one.next_local);
  const why = one.error === null ? '' : html`<br>${whyUnusual(one, now)}`;
  return html`<td data-label="in its zone" class="time">${local} <span class="dim">${one.timezone}</span>${why}</td>
<td data-label="UTC" class="time">${utc(next)} <span class="dim">(${relative(next, now)})</span></td>`;
}
