// All that has a say in whether a run can start, read in one statement: what it tells was true at one instant.
import { type Queryable, statement } from '../db/database.ts';
import type { AfterDefinition } from '../domain/pipeline.ts';
import type { RunState } from '../domain/run.ts';
import { liveState } from '../queue/live-state.ts';

/** Instants are milliseconds since the epoch. */
export interface RunFacts {
  at_ms: number;
  id: string;
  tenant: string;
  pipeline: string;
  state: RunState;
  origin: string;
  created_ms: number;
  started_ms: number | null;
  finished_ms: number | null;
  error: { name: string; message: string } | null;
  claims: number | null;
  failed_items: number | null;
  asked_priority: number;
  /** What follows is null for a run that has ended. */
  route: string | null;
  weight: 'light' | 'heavy' | null;
  priority: number | null;
  aged_ms: number | null;
  limits: string[] | null;
  blocked_on: string | null;
  wait_kind: string | null;
  wakes_ms: number | null;
  request: 'pause' | 'cancel' | null;
  request_by: string | null;
  request_reason: string | null;
  clock_stopped_ms: number | null;
  node: string | null;
  step: string | null;
  version: string;
  pauses: PauseFact[] | null;
  slots: SlotFact[] | null;
  ahead: number | null;
  nodes: NodeFact[] | null;
  waits: WaitFact[] | null;
  step_waits: StepWaitFact[] | null;
  children: { state: string; n: number }[] | null;
  rate_limits: RateLimitFact[] | null;
  durations: { pipeline: string; median_ms: number | null; runs: number }[] | null;
  starts: { n: number; since_ms: number | null };
  /** Its nominal time, or when it was made. */
  base_ms: number;
  /** The other pipelines that its own waits for; null where it names none. */
  after: AfterDefinition[] | null;
}

export interface PauseFact {
  pipeline: string;
  by: string;
  reason: string | null;
  until_ms: number | null;
}

export interface SlotFact {
  key: string;
  n: number;
  retired: boolean;
  run_id: string | null;
  pipeline: string | null;
  tenant: string | null;
  state: string | null;
  since_ms: number | null;
  step: string | null;
  node: string | null;
}

export interface NodeFact {
  id: string;
  name: string;
  silent_ms: number;
  queues: string[] | null;
  labels: string[] | null;
  home: string | null;
  lacks: string[] | null;
  places: number;
  taken: number;
}

export interface WaitFact {
  step: string;
  key: string;
  kind: string;
  message: string | null;
  approvers: string[] | null;
  timeout_ms: number | null;
}

export interface StepWaitFact {
  step: string;
  retry_ms: number | null;
  error: { name: string; message: string; key?: string } | null;
}

export interface RateLimitFact {
  key: string;
  until_ms: number;
  reason: string;
  run_id: string;
}

/** Counting goes no further. */
export const mostAhead = 10_000;
const mostSlots = 200;
/** Of how many newest runs the pace of a queue is taken. */
const paceOfRuns = 20_000;

const ms = (instant: string) => `(extract(epoch from ${instant}) * 1000)::float8`;

const facts = statement(
  'explain_run',
  `with me as (
    select r.id, r.tenant, r.pipeline, r.pipeline_version, r.origin, r.created_at, r.nominal_at, r.started_at, r.finished_at, r.state as ended,
      r.error, r.claims as all_claims, r.failed_items, r.priority as asked_priority, q.run_id, q.queue, q.weight, q.priority,
      q.fair, q.aged_at, q.limits, q.blocked_on, q.wait_kind, q.run_at, q.request, q.request_by, q.request_reason,
      q.clock_stopped_at, q.node, q.step, q.token, q.started_at as began, ${liveState('q')} as live,
      substring(r.queue, '^[^{#@]+') as queue_name
    from cronwright.runs r left join cronwright.queue q on q.run_id = r.id
    where r.id = $1 and ($2::text is null or r.tenant = $2)
  ), held as (
    select s.key, s.n, s.retired, s.run_id, h.pipeline, h.tenant, ${liveState('h')} as state, h.started_at, h.step, h.node
    from me
    cross join lateral unnest(me.limits) as l(key)
    cross join lateral (
      select s.key, s.n, s.retired, s.run_id from cronwright.slots s
      where s.tenant = case when l.key like 'queue:%' then '*' else me.tenant end and s.key = l.key
        and (not s.retired or s.run_id is not null)
      order by s.n limit ${mostSlots}
    ) s
    left join cronwright.queue h on h.run_id = s.run_id
  )
  select ${ms('now()')} as at_ms, me.id, me.tenant, me.pipeline, coalesce(me.ended, me.live, 'pending') as state, me.origin,
    ${ms('me.created_at')} as created_ms, ${ms('coalesce(me.started_at, me.began)')} as started_ms,
    ${ms('me.finished_at')} as finished_ms, me.error, coalesce(me.all_claims, me.token) as claims, me.failed_items,
    me.asked_priority, me.queue as route, me.weight, me.priority, ${ms('me.aged_at')} as aged_ms, me.limits,
    case when me.live = 'pending' then me.blocked_on end as blocked_on, me.wait_kind, ${ms('me.run_at')} as wakes_ms,
    me.request, me.request_by, me.request_reason, ${ms('me.clock_stopped_at')} as clock_stopped_ms,
    (select n.name from cronwright.nodes n where n.id = me.node) as node, me.step, me.pipeline_version as version,
    (select jsonb_agg(jsonb_build_object('pipeline', p.pipeline, 'by', p.paused_by, 'reason', p.reason,
        'until_ms', ${ms('p.until_at')}))
      from cronwright.pauses p where p.tenant = me.tenant and p.pipeline in ('', me.pipeline) and p.ended_at is null
        and (p.until_at is null or p.until_at > now())) as pauses,
    (select jsonb_agg(jsonb_build_object('key', h.key, 'n', h.n, 'retired', h.retired, 'run_id', h.run_id,
        'pipeline', h.pipeline, 'tenant', h.tenant, 'state', h.state, 'since_ms', ${ms('h.started_at')}, 'step', h.step,
        'node', (select n.name from cronwright.nodes n where n.id = h.node))) from held h) as slots,
    case when me.live = 'pending' and me.blocked_on is null then (
      select count(*) from (
        select 1 from cronwright.queue a
        where a.queue = me.queue and a.weight = me.weight and a.state = 'pending' and a.blocked_on is null
          and (a.priority, a.fair, a.run_id) < (me.priority, me.fair, me.run_id)
        limit ${mostAhead + 1}) ready)
    when me.live = 'pending' and me.blocked_on like 'queue:%' then (
      select count(*) from (
        select 1 from cronwright.queue a
        where a.blocked_on = me.blocked_on and a.blocked_on like 'queue:%' and a.state = 'pending'
          and (a.priority, a.fair, a.run_id) < (me.priority, me.fair, me.run_id)
        limit ${mostAhead + 1}) line)
    when me.live = 'pending' then (
      select count(*) from (
        select 1 from cronwright.queue a
        where a.tenant = me.tenant and a.blocked_on = me.blocked_on and a.state = 'pending'
          and (a.priority, a.fair, a.run_id) < (me.priority, me.fair, me.run_id)
        limit ${mostAhead + 1}) line)
    end as ahead,
    (select jsonb_agg(jsonb_build_object('id', n.id, 'name', n.name, 'silent_ms', ${ms('now() - n.beat_at')},
        'queues', to_jsonb(n.queues), 'labels', to_jsonb(n.labels), 'home', n.home, 'lacks', to_jsonb(n.lacks),
        'places', case when me.weight = 'light' then n.in_flight else n.workers end,
        'taken', (select count(*) from cronwright.queue t
          where t.node = n.id and t.state = 'running' and t.weight = me.weight)))
      from cronwright.nodes n where n.stopped_at is null and n.config_hash is not null and me.run_id is not null) as nodes,
    (select jsonb_agg(jsonb_build_object('step', w.step, 'key', w.key, 'kind', w.kind, 'message', w.message,
        'approvers', to_jsonb(w.approvers), 'timeout_ms', ${ms('w.timeout_at')}))
      from cronwright.waits w where w.run_id = me.run_id and w.state = 'open') as waits,
    (select jsonb_agg(jsonb_build_object('step', s.step, 'retry_ms', ${ms('s.retry_at')}, 'error', s.error))
      from (select sr.step, sr.retry_at, sr.error from cronwright.step_runs sr
        where sr.run_id = me.run_id and sr.state = 'waiting' order by sr.step, sr.item limit 20) s) as step_waits,
    (select jsonb_agg(jsonb_build_object('state', c.state, 'n', c.n)) from (
      select ${liveState('k')} as state, count(*) as n
      from cronwright.runs ch join cronwright.queue k on k.run_id = ch.id
      where ch.parent_id = me.run_id and ch.child_open is true group by 1) c) as children,
    (select jsonb_agg(jsonb_build_object('key', l.key, 'until_ms', ${ms('l.until')}, 'reason', l.reason, 'run_id', l.run_id))
      from cronwright.rate_limits l where l.tenant = me.tenant and l.until > now() and l.key in (
        select s.error->>'key' from cronwright.step_runs s where s.run_id = me.run_id and s.state = 'waiting')) as rate_limits,
    (select jsonb_agg(jsonb_build_object('pipeline', d.pipeline, 'median_ms', d.median_ms, 'runs', d.runs)) from (
      select o.pipeline, percentile_cont(0.5) within group (order by e.took) as median_ms, count(*) as runs
      from (select distinct tenant, pipeline from held where pipeline is not null) o
      cross join lateral (
        select ${ms('r.finished_at - r.started_at')} as took from cronwright.runs r
        where r.tenant = o.tenant and r.pipeline = o.pipeline and r.state = 'completed' and r.started_at is not null
          and r.is_part is not true
        order by r.id desc limit 100) e
      group by o.pipeline) d) as durations,
    (select jsonb_build_object('n', count(*), 'since_ms', ${ms('min(s.started_at)')}) from (
      select b.started_at from (
        select started_at, queue from cronwright.runs order by id desc limit ${paceOfRuns}) b
      where b.started_at > now() - interval '15 minutes' and me.run_id is not null
        and substring(b.queue, '^[^{#@]+') = me.queue_name
      limit 1000) s) as starts,
    ${ms('coalesce(me.nominal_at, me.created_at)')} as base_ms,
    (select p.definition -> 'after' from cronwright.pipelines p
      where me.blocked_on like 'after:%' and p.tenant = me.tenant and p.id = me.pipeline and p.version = me.pipeline_version) as after
  from me`,
);

/** Undefined where there is no such run. `tenant` null: of whichever tenant. */
export async function readRunFacts(db: Queryable, tenant: string | null, id: string): Promise<RunFacts | undefined> {
  return (await db.query<RunFacts>(facts, [id, tenant])).rows[0];
}
