// Why a run does not run: the rows that keep it from starting, in words and in fields, and when it is likely to start.
import type { Queryable } from '../db/database.ts';
import { pipelineOfKey } from '../domain/after.ts';
import { canServe, parseRoute } from '../domain/route.ts';
import { isTerminal } from '../domain/run.ts';
import { isUuid } from './cursor.ts';
import { mostAhead, type NodeFact, type RunFacts, readRunFacts, type SlotFact } from './explain-facts.ts';
import { summaryOf } from './explain-summary.ts';
import type { Explanation } from './explain-view.ts';
import { runNotFound } from './get-run.ts';
import { predictStart } from './predict-start.ts';

/** A node that has not been heard of for so long takes nothing: the default lease. */
const silentMs = 30_000;

/** Throws `not_found`. */
export async function explainRun(db: Queryable, tenant: string | null, id: string): Promise<Explanation> {
  const facts = isUuid(id) ? await readRunFacts(db, tenant, id) : undefined;
  if (!facts) throw runNotFound(id);
  const body = toExplanation(facts);
  return { ...body, summary: summaryOf(body, facts) };
}

function toExplanation(facts: RunFacts): Explanation {
  const hasEnded = isTerminal(facts.state);
  const slots = slotsOf(facts);
  const nodes = hasEnded ? [] : (facts.nodes ?? []).map((node) => toNode(node, facts));
  const route = facts.route === null ? undefined : parseRoute(facts.route);
  const blocked = slots.find((slot) => slot.key === facts.blocked_on);
  const body: Omit<Explanation, 'predicted_start' | 'prediction'> = {
    id: facts.id,
    tenant: facts.tenant,
    pipeline: facts.pipeline,
    state: facts.state,
    summary: '',
    run_at: instantOf(facts.wakes_ms),
    requested:
      facts.request === null || facts.state === 'paused'
        ? null
        : { kind: facts.request, by: facts.request_by, reason: facts.request_reason },
    pauses: hasEnded ? [] : pausesOf(facts),
    blocked_on: facts.blocked_on === null ? null : (blocked ?? emptySlots(facts.blocked_on)),
    after: afterOf(facts),
    slots,
    line:
      route === undefined || facts.priority === null || facts.ahead === null
        ? null
        : {
            queue: route.queue,
            labels: [...route.labels],
            priority: facts.priority,
            asked_priority: facts.asked_priority,
            ahead: Math.min(facts.ahead, mostAhead),
            ahead_is_more: facts.ahead > mostAhead,
          },
    nodes,
    waits: (facts.waits ?? []).map(({ step, kind, message, approvers, timeout_ms }) => {
      return { step, kind, message, approvers, until: instantOf(timeout_ms) };
    }),
    rate_limits: (facts.rate_limits ?? []).map(({ key, until_ms, reason, run_id }) => {
      return { key, until: instantOf(until_ms), reason, told_to: run_id };
    }),
    children: Object.fromEntries((facts.children ?? []).map(({ state, n }) => [state, n])),
    ended: hasEnded ? endOf(facts) : null,
  };
  const { at, text } = predictStart(body, facts);
  return { ...body, predicted_start: at, prediction: text };
}

function slotsOf({ limits, slots }: RunFacts): Explanation['slots'] {
  const keys = (limits ?? []).filter((key) => pipelineOfKey(key) === undefined);
  return keys.map((key) => {
    const rows = (slots ?? []).filter((slot) => slot.key === key);
    return {
      key,
      limit: rows.filter((slot) => !slot.retired).length,
      free: rows.filter((slot) => !slot.retired && slot.run_id === null).length,
      held_by: rows.flatMap(toHolder),
    };
  });
}

function afterOf({ blocked_on: key, after, base_ms }: RunFacts): Explanation['after'] {
  const pipeline = key === null ? undefined : pipelineOfKey(key);
  const rule = after?.find((one) => one.pipeline === pipeline);
  if (pipeline === undefined || !rule) return null;
  return {
    pipeline,
    since: new Date(base_ms - rule.withinMs),
    within_ms: rule.withinMs,
    on_missing: rule.onMissing,
    decided_at: rule.onMissing === 'wait' ? null : new Date(base_ms + rule.withinMs),
  };
}

function emptySlots(key: string): NonNullable<Explanation['blocked_on']> {
  return { key, limit: 0, free: 0, held_by: [] };
}

function toHolder({ run_id, pipeline, tenant, state, since_ms, node, step }: SlotFact) {
  if (run_id === null) return [];
  return [{ run_id, pipeline, tenant, state, since: instantOf(since_ms), node, step }];
}

function pausesOf(facts: RunFacts): Explanation['pauses'] {
  const wider = (facts.pauses ?? []).map(({ pipeline, by, reason, until_ms }) => {
    return {
      of: pipeline === '' ? ('tenant' as const) : ('pipeline' as const),
      by,
      reason,
      until: instantOf(until_ms),
    };
  });
  if (facts.state !== 'paused' || wider.length > 0) return wider;
  return [{ of: 'run', by: facts.request_by, reason: facts.request_reason, until: null }];
}

function toNode(node: NodeFact, facts: RunFacts): Explanation['nodes'][number] {
  const why = facts.route === null ? [] : whyNot(node, facts.route);
  const free = Math.max(0, node.places - node.taken);
  if (node.places === 0) why.push(`it takes no ${facts.weight} runs`);
  else if (free === 0) why.push(`all its ${node.places} places for ${facts.weight} runs are taken`);
  return { name: node.name, can_take: why.length === 0, why_not: why, free_places: free };
}

function whyNot({ queues, labels, home, lacks, silent_ms }: NodeFact, text: string): string[] {
  const route = parseRoute(text);
  const server = { queues, labels: labels ?? [], home: home ?? '', lacks: new Set(lacks) };
  const why: string[] = [];
  if (silent_ms > silentMs) why.push(`no heartbeat for ${Math.round(silent_ms / 1000)} s`);
  if (canServe(server, route)) return why;
  if (queues !== null && !queues.includes(route.queue)) why.push(`it does not serve the queue ${route.queue}`);
  const missing = route.labels.filter((label) => !server.labels.includes(label));
  if (missing.length > 0) why.push(`it lacks the label ${missing.join(', ')}`);
  if (route.version !== undefined && server.lacks.has(route.version)) why.push('it lacks step types of the pipeline');
  if (route.home !== undefined && route.home !== home) why.push('another node has the files of the run and goes first');
  return why;
}

function endOf(facts: RunFacts): NonNullable<Explanation['ended']> {
  const { created_ms, started_ms, finished_ms, claims, failed_items, error } = facts;
  return {
    at: instantOf(finished_ms),
    waited_ms: started_ms === null ? null : Math.max(0, started_ms - created_ms),
    ran_ms: started_ms === null || finished_ms === null ? null : Math.max(0, finished_ms - started_ms),
    claims,
    failed_items,
    error: error && { name: error.name, message: error.message },
  };
}

function instantOf(ms: number | null): Date | null {
  return ms === null ? null : new Date(ms);
}
