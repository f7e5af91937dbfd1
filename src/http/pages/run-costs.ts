// What a run has cost and what was said in it, on its page.
import { html } from 'hono/html';
import { showEstimate, showUsd } from '../../domain/budget.ts';
import type { RunCostView } from '../../reads/cost-view.ts';
import type { MessageView } from '../../reads/run-conversations.ts';
import { count, type Html } from './words.ts';

/** Empty where nothing was spent, held or expected. */
export function costFact(cost: RunCostView): Html | string {
  const { usd, held_usd, unknown_usd, estimated_usd, ratio, total_tokens } = cost;
  if (usd === 0 && held_usd === 0 && estimated_usd === null && total_tokens === 0) return '';
  const notes = [
    held_usd > 0 ? `${showUsd(held_usd)} held` : '',
    unknown_usd > 0 ? `${showUsd(unknown_usd)} of it unknown` : '',
    estimated_usd === null ? '' : `estimated ${showEstimate(estimated_usd)}`,
    ratio === null ? '' : `ratio ${ratio}`,
  ].filter((note) => note !== '');
  return html`${showUsd(usd)}${notes.length === 0 ? '' : html` <span class="dim">(${notes.join(', ')})</span>`}`;
}

export function tokensFact({
  prompt_tokens,
  completion_tokens,
  cached_tokens,
  total_tokens,
}: RunCostView): Html | string {
  if (total_tokens === 0) return '';
  const cached = cached_tokens > 0 ? `, ${count(cached_tokens)} cached` : '';
  return html`${count(total_tokens)} <span class="dim">(${count(prompt_tokens)} prompt, ${count(completion_tokens)} completion${cached})</span>`;
}

const mostShown = 4_000;

/** With its lines. */
function shortened(content: string): string {
  return content.length > mostShown ? `${content.slice(0, mostShown)}…` : content;
}

/** Empty where nothing was said. */
export function conversationList(messages: readonly MessageView[], isMore: boolean): Html | string {
  if (messages.length === 0) return '';
  return html`<section><details id="conversation"><summary><h2>Conversation</h2> <span class="dim">${count(messages.length)}${isMore ? ' of more' : ''} messages</span></summary>
<table class="rows"><thead><tr><th>thread</th><th>step</th><th>role</th><th class="wide">says</th></tr></thead><tbody>
${messages.map(
  (one) => html`<tr><td>${one.thread}</td><td data-label="step">${one.step}${one.item < 0 ? '' : `[${one.item}]`}</td>
<td data-label="role">${one.role}</td><td data-label="says" class="said">${shortened(one.content)}</td></tr>`,
)}
</tbody></table></details></section>`;
}
