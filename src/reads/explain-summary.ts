// The answer to "why does it not run?" in a sentence or two, for people.
import type { RunFacts } from './explain-facts.ts';
import type { Explanation } from './explain-view.ts';

export function summaryOf(run: Explanation, facts: RunFacts): string {
  const sentences = [whatKeepsIt(run, facts), requestOf(run), predictionOf(run)];
  return sentences.filter((text) => text !== '').join(' ');
}

function whatKeepsIt(run: Explanation, facts: RunFacts): string {
  if (run.ended) return endOf(run.state, run.ended);
  switch (run.state) {
    case 'running':
      return `It runs${facts.node === null ? '' : ` on ${facts.node}`}${facts.step === null ? '' : `, step ${facts.step}`}.`;
    case 'rolling_back':
      return 'Its rollback is under way.';
    case 'rollback_failed':
      return 'Its rollback has failed: somebody has to ask for it again.';
    case 'scheduled':
      return `It is not to start before ${utc(run.run_at)}.`;
    case 'retrying':
      return `It failed and is tried again at ${utc(run.run_at)}.`;
    case 'paused':
      return pausedBy(run);
    case 'waiting':
      return waitsFor(run, facts);
    default:
      return pendingBecause(run, facts);
  }
}

function endOf(state: string, ended: NonNullable<Explanation['ended']>): string {
  const took = ended.ran_ms === null ? 'without having started' : `after ${span(ended.ran_ms)}`;
  const waited = ended.waited_ms === null || ended.waited_ms < 1_000 ? '' : `, having waited ${span(ended.waited_ms)}`;
  const failed = ended.failed_items ? ` ${ended.failed_items} of its items failed.` : '';
  const why = ended.error ? ` ${ended.error.name}: ${ended.error.message}` : '';
  return `It ended as ${state} at ${utc(ended.at)}, ${took}${waited}.${failed}${why}`;
}

function pausedBy({ pauses }: Explanation): string {
  const [first] = pauses;
  if (!first) return 'It is paused.';
  const whose = first.of === 'run' ? 'It is paused' : `Its ${first.of} is paused`;
  const by = first.by === null ? '' : ` by ${first.by}`;
  const why = first.reason === null ? '' : `: ${first.reason}`;
  return `${whose}${by}${first.until === null ? '' : ` until ${utc(first.until)}`}${why}.`;
}

function waitsFor(run: Explanation, facts: RunFacts): string {
  const [wait] = run.waits;
  if (wait && wait.kind !== 'timer') {
    const who = wait.approvers === null ? 'somebody' : wait.approvers.join(' or ');
    const until = wait.until === null ? '' : `, until ${utc(wait.until)} at most`;
    return `Step ${wait.step} waits for ${who} (${wait.kind.replaceAll('_', ' ')})${until}.`;
  }
  const children = Object.entries(run.children);
  if (facts.wait_kind === 'children' || children.length > 0) {
    const states = children.map(([state, n]) => `${n} ${state}`).join(', ');
    return `It waits for its child runs${states === '' ? '' : ` (${states})`}.`;
  }
  const [limit] = run.rate_limits;
  if (limit) return `It does not call ${limit.key} before ${utc(limit.until)}: run ${limit.told_to} was told to wait.`;
  const retry = facts.step_waits?.find((step) => step.error !== null);
  if (retry?.error) return `Step ${retry.step} failed (${retry.error.name}) and is tried again at ${utc(run.run_at)}.`;
  const kind = (facts.wait_kind ?? 'something').replaceAll('_', ' ');
  return `It waits (${kind})${run.run_at === null ? ' until it is told to go on' : ` until ${utc(run.run_at)}`}.`;
}

function pendingBecause(run: Explanation, facts: RunFacts): string {
  if (run.pauses.length > 0) return pausedBy(run);
  if (run.blocked_on) return blockedBy(run);
  const takers = run.nodes.filter((node) => node.can_take);
  const busy = run.nodes.filter((node) => !node.can_take && node.why_not.every((why) => /^all its/.test(why)));
  if (run.nodes.length === 0) return 'It is ready, and no node is alive that could take it.';
  if (takers.length === 0 && busy.length === 0) {
    const why = run.nodes.slice(0, 3).map((node) => `${node.name}: ${node.why_not.join(', ')}`);
    return `It is ready, and no living node can take it (${why.join('; ')}).`;
  }
  const ahead = aheadOf(run);
  if (takers.length === 0) return `It is ready${ahead}; all places for ${facts.weight} runs are taken.`;
  return `It is ready${ahead}; ${takers.map((node) => node.name).join(', ')} can take it.`;
}

function blockedBy(run: Explanation): string {
  const { key, limit, held_by: holders } = run.blocked_on as NonNullable<Explanation['blocked_on']>;
  if (run.after) return waitsAfter(run.after);
  if (key === 'run_at') return `It is not to start before ${utc(run.run_at)}.`;
  const [kind = '', name = ''] = key.split(/:(.*)/s);
  const ahead = aheadOf(run);
  if (limit === 0) return `It waits for a slot of ${kind} ${name}, and there is no such limit any more${ahead}.`;
  const [first] = holders;
  const since = first?.since ? ` since ${utc(first.since)}` : '';
  const where = [first?.node && ` on ${first.node}`, first?.step && `, step ${first.step}`].filter(Boolean).join('');
  const held = first ? `, held by run ${first.run_id}${since}${where}` : '';
  const more = holders.length > 1 ? ` and ${holders.length - 1} more` : '';
  return `It waits for a slot of ${kind} ${name}: ${limit - (run.blocked_on?.free ?? 0)} of ${limit} are taken${held}${more}${ahead}.`;
}

function waitsAfter({
  pipeline,
  since,
  within_ms,
  on_missing: missing,
  decided_at,
}: NonNullable<Explanation['after']>) {
  const enough = `It waits until a run of pipeline ${pipeline} has completed: one since ${utc(since)} is enough`;
  const then = missing === 'run' ? 'it runs all the same' : 'it fails';
  const end =
    missing === 'wait' ? 'it waits until then, however long' : `where none has by ${utc(decided_at)}, ${then}`;
  return `${enough} (within ${span(within_ms)}); ${end}.`;
}

function aheadOf({ line }: Explanation): string {
  if (!line || line.ahead === null) return '';
  if (line.ahead === 0) return ', next in line';
  const count = `${line.ahead_is_more ? 'more than ' : ''}${line.ahead}`;
  return `, with ${count} run${line.ahead === 1 ? '' : 's'} ahead of it`;
}

function requestOf({ requested }: Explanation): string {
  if (!requested) return '';
  const by = requested.by === null ? '' : ` by ${requested.by}`;
  return `A ${requested.kind} was asked for${by} and is not obeyed yet.`;
}

function predictionOf({ state, predicted_start, ended, prediction }: Explanation): string {
  if (ended || state === 'running' || state === 'rolling_back' || state === 'scheduled') return '';
  if (predicted_start === null) return `When it starts cannot be told: ${prediction}.`;
  return state === 'pending' ? `It is likely to start at ${utc(predicted_start)} (${prediction}).` : '';
}

function utc(at: Date | null): string {
  return at === null ? 'an unknown time' : `${at.toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

function span(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7_200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3_600)} h`;
}
