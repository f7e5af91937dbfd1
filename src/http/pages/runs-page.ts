// The list of runs, newest first, by state, pipeline or schedule.
import { html } from 'hono/html';
import type { RunView } from '../../reads/run-view.ts';
import type { Page } from '../../reads/view-fields.ts';
import { runLink } from './status-page.ts';
import { badge, clip, type Html, relative, span } from './words.ts';

const filters: readonly (readonly [name: string, states: string])[] = [
  ['all', ''],
  ['running', 'running,rolling_back'],
  ['waiting', 'pending,scheduled,waiting,retrying,paused'],
  ['failed', 'failed,dead_letter,rolled_back'],
  ['completed', 'completed'],
  ['cancelled', 'cancelled'],
];

export function runsPage(page: Page<RunView>, query: URLSearchParams, now: Date): Html {
  const of = query.get('schedule') ?? query.get('pipeline');
  return html`
<h1>Runs${of === null ? '' : html` of ${of}`}</h1>
<p class="filters">${filters.map(([name, states]) => filterLink(name, states, query))}</p>
<section><table class="rows"><thead><tr><th>run</th><th></th><th>what</th><th class="n">took</th><th class="n">made</th></tr></thead><tbody>
${page.items.map((run) => row(run, now))}
</tbody></table>
${page.items.length === 0 ? html`<p class="dim">No such runs.</p>` : ''}
${page.next_cursor === null ? '' : html`<p class="more"><a href="${link(query, { cursor: page.next_cursor })}">older</a></p>`}
</section>`;
}

function row(run: RunView, now: Date): Html {
  const what = run.error
    ? `${run.error.name} ${run.error.message}`
    : (run.message ?? run.blocked_on ?? run.wait_kind ?? '');
  return html`<tr><td>${runLink(run)}</td><td>${badge(run.state)}</td>
<td data-label="what" class="${run.error ? 'error' : 'dim'}">${clip(what, 140)}</td>
<td data-label="took" class="n">${run.duration_ms === null ? '–' : span(run.duration_ms)}</td>
<td data-label="made" class="n">${relative(run.created_at, now)}</td></tr>`;
}

function filterLink(name: string, states: string, query: URLSearchParams): Html {
  const chosen = (query.get('state') ?? '') === states;
  return html`<a href="${link(query, { state: states, cursor: '' })}"${chosen ? html` aria-current="true"` : ''}>${name}</a> `;
}

function link(query: URLSearchParams, changes: Readonly<Record<string, string>>): string {
  const next = new URLSearchParams(query);
  for (const [name, value] of Object.entries(changes)) {
    if (value === '') next.delete(name);
    else next.set(name, value);
  }
  const text = next.toString();
  return text === '' ? '/runs' : `/runs?${text}`;
}
