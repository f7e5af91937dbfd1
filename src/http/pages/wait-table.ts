// What runs ask of people, as a table: what is asked, since when and until when, who may answer, and how.
import { html } from 'hono/html';
import type { WaitView } from '../../reads/list-waits.ts';
import { snippetOf } from '../../reads/wait-snippet.ts';
import { ofTenant } from './run-command.ts';
import { clip, type Html, relative, shortId, tenantNote } from './words.ts';

/** `isOfRun`: on the page of the run itself. */
export function waitTable(waits: readonly WaitView[], now: Date, isOfRun = false): Html {
  return html`<table class="rows"><thead><tr><th>${isOfRun ? 'step' : 'run'}</th><th>asks</th><th>who may answer</th><th class="n">since</th><th class="n">until</th></tr></thead><tbody>
${waits.map(
  (wait) => html`<tr>
<td>${isOfRun ? '' : html`<a class="run" href="/runs/${wait.run_id}">${wait.pipeline}</a>${tenantNote(wait.tenant)} <span class="id">${shortId(wait.run_id)}</span><br>`}<span class="step">${wait.step}${wait.item === null ? '' : `[${wait.item}]`}</span></td>
<td data-label="asks">${clip(wait.message ?? wait.kind.replaceAll('_', ' '), 240)}${isOfRun ? snippet(wait) : ''}${wait.kind === 'timer' ? '' : html`<br><code class="asked">${howTo(wait)}</code>`}</td>
<td data-label="who may answer">${whoMay(wait)}</td>
<td data-label="since" class="n">${relative(wait.asked_at, now)}</td>
<td data-label="until" class="n">${wait.timeout_at === null ? html`<span class="dim">no end</span>` : html`${relative(wait.timeout_at, now)}${wait.kind === 'timer' ? '' : html`<br><span class="dim">then ${wait.on_timeout}</span>`}`}</td></tr>`,
)}
</tbody></table>`;
}

function snippet({ form }: WaitView): Html | string {
  const text = snippetOf(form);
  return text === undefined ? '' : html`<pre>${text}</pre>`;
}

function whoMay({ kind, approvers, starter_may_answer: starterMay }: WaitView): Html {
  if (kind === 'timer') return html`<span class="dim">time</span>`;
  const who = approvers === null ? 'anybody' : approvers.join(', ');
  return html`${clip(who, 120)}${starterMay ? '' : html`<br><span class="dim">not who started the run</span>`}`;
}

function howTo({ run_id, tenant, step, choices }: WaitView): string {
  const options = choices?.map((one) => (one === 'approve' || one === 'reject' ? `--${one}` : `--choose ${one}`));
  return `cronwright signal ${run_id} --step ${step} ${options?.join(' | ') ?? '--choose …'}${ofTenant(tenant)}`;
}
