// The sensors on the status page: what is looked at, when, and what is wrong with those that cannot look.
import { html } from 'hono/html';
import type { SensorView } from '../../reads/list-sensors.ts';
import { badge, clip, type Html, relative, tenantNote } from './words.ts';

const shown = 20;

/** Nothing where there are none. */
export function sensorTable(sensors: readonly SensorView[], at: Date): Html | string {
  if (sensors.length === 0) return '';
  return html`<section><h2>Sensors</h2>
<table class="rows"><thead><tr><th>sensor</th><th></th><th class="n">looked</th><th class="n">next</th><th class="n">found</th><th>why</th></tr></thead><tbody>
${sensors.slice(0, shown).map(
  (one) => html`<tr><td>${one.id}${tenantNote(one.tenant)}</td>
<td>${one.state === 'active' ? '' : badge(one.state)}</td>
<td data-label="looked" class="n">${one.looked_at === null ? '' : relative(one.looked_at, at)}</td>
<td data-label="next" class="n">${one.due_at === null ? '' : relative(one.due_at, at)}</td>
<td data-label="found" class="n">${one.found}</td>
<td data-label="why">${why(one)}</td></tr>`,
)}
</tbody></table></section>`;
}

function why({ error, paused }: SensorView): Html | string {
  if (paused !== null)
    return html`<span class="dim">${clip(`${paused.by ?? ''} ${paused.reason ?? ''}`.trim(), 200)}</span>`;
  return error === null ? '' : html`<span class="error">${clip(error, 200)}</span>`;
}
