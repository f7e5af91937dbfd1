// Signal: a person answers what a run asks. Of two answers at once one counts; the run goes on, or is told while it still runs.
import type { Json } from '../base/json.ts';
import { type Queryable, statement } from '../db/database.ts';
import { CronwrightError } from '../domain/errors.ts';
import { isTerminal, type RunState } from '../domain/run.ts';
import { type AskedBy, type AskedKind, decisionsOf, usualDecision } from '../domain/wait.ts';
import { clockGoesOn } from '../queue/run-clock.ts';
import type { ControlContext } from './control-context.ts';
import { recallAnswer, rememberAnswer } from './idempotency.ts';
import { lockRun } from './lock-run.ts';

export interface Signal {
  id: string;
  /** Which question, where a run has several. */
  step?: string | undefined;
  item?: number | undefined;
  key?: string | undefined;
  decision?: string | undefined;
  data?: Json | undefined;
}

export interface SignalledRun {
  id: string;
  state: RunState;
  answered: { step: string; item: number | null; key: string; kind: AskedKind; decision: string };
}

interface OpenRow {
  step: string;
  item: number;
  key: string;
  kind: AskedKind;
  asked_by: AskedBy;
  message: string | null;
  choices: string[] | null;
  approvers: string[] | null;
  starter_may_answer: boolean;
  starter: string | null;
  is_due: boolean;
}

const openWaits = statement(
  'find_open_waits',
  `select w.step, w.item, w.key, w.kind, w.asked_by, w.message, w.choices, w.approvers, w.starter_may_answer,
    r.actor as starter, coalesce(w.timeout_at <= now(), false) as is_due
  from cronwright.waits w join cronwright.runs r on r.id = w.run_id
  where w.run_id = $1 and w.state = 'open' and w.kind <> 'timer'
  order by w.asked_at, w.step, w.item, w.key`,
);

// Exactly one answer: whoever finds it open, and in time.
const answer = statement(
  'answer_wait',
  `update cronwright.waits
  set state = 'answered', decision = $5, data = $6::jsonb, answered_by = $7, answered_at = now(), told = false
  where run_id = $1 and step = $2 and item = $3 and key = $4 and state = 'open'
    and (timeout_at is null or timeout_at > now())
  returning key`,
);

// The caller holds the row's lock: between the answer and this the run cannot be woken, released or ended.
const wake = statement(
  'wake_signalled_run',
  `with woken as (
    update cronwright.queue
    set state = 'pending', run_at = null, wait_kind = null,
      pinned_at = case when pinned_at is not null then now() end,
      attempt_started_at = ${clockGoesOn('now()')},
      clock_stopped_at = null
    where run_id = $1 and state = 'waiting'
    returning run_id, tenant
  ), told as (
    insert into cronwright.history (run_id, seq, tenant, node, at, transitions)
    select w.run_id, coalesce((select max(h.seq) from cronwright.history h where h.run_id = w.run_id), 1) + 1, w.tenant,
      null, now(), jsonb_build_array(jsonb_build_object('event', 'run.woken', 'from', 'waiting', 'to', 'pending',
        'at', floor(extract(epoch from now()) * 1000), 'step', $2::text, 'actor', $3::text, 'reason', 'signal'))
    from woken w
  )
  select run_id from woken`,
);

const tell = statement('tell_running_run', `update cronwright.queue set signalled = true where run_id = $1`);

/**
 * Throws `not_found`; `conflict` where nothing is asked, or it is not clear which question is meant; `forbidden` where the
 * actor may not answer; `invalid_input` where the question takes no such answer.
 */
export async function signalRun(
  context: ControlContext,
  caller: { tenant: string; actor: string; idempotencyKey?: string | undefined },
  signal: Signal,
): Promise<SignalledRun> {
  const { tenant, actor, idempotencyKey } = caller;
  const identity =
    idempotencyKey === undefined ? undefined : { tenant, key: idempotencyKey, request: ['signal', actor, signal] };
  const { result, pipeline, wasWaiting } = await context.db.transaction(async (tx) => {
    const run = await lockRun(tx, tenant, signal.id);
    // After the lock: the first of two equal requests has committed.
    const kept = identity && (await recallAnswer<SignalledRun>(tx, identity));
    if (kept) return { result: kept.answer, pipeline: undefined, wasWaiting: false };
    if (isTerminal(run.state) || isUndone(run.state)) throw nothingAsked(signal.id, run.state);
    const asked = whichOf((await tx.query<OpenRow>(openWaits, [signal.id])).rows, signal, run.state);
    checkActor(asked, actor);
    const decision = decisionFor(asked, signal);
    checkData(asked, signal.data);
    await answerOnce(tx, signal, asked, decision, actor);
    const wasWaiting = run.state === 'waiting';
    await tx.query(wasWaiting ? wake : tell, wasWaiting ? [signal.id, asked.step, actor] : [signal.id]);
    const { step, item, key, kind } = asked;
    const answered = { step, item: item < 0 ? null : item, key, kind, decision };
    const result: SignalledRun = { id: signal.id, state: wasWaiting ? 'pending' : run.state, answered };
    if (identity) await rememberAnswer(tx, identity, { status: 200, answer: result });
    return { result, pipeline: run.pipeline, wasWaiting };
  });
  if (pipeline !== undefined) {
    const { item, ...answered } = result.answered;
    const place = item === null ? {} : { item };
    context.events.emit('wait.answered', { runId: signal.id, tenant, pipeline, ...answered, ...place, actor });
  }
  if (wasWaiting) context.wake.workers();
  return result;
}

function whichOf(open: readonly OpenRow[], signal: Signal, state: RunState): OpenRow {
  const meant = open.filter(
    ({ step, item, key }) =>
      (signal.step === undefined || signal.step === step) &&
      (signal.item === undefined || signal.item === item) &&
      (signal.key === undefined || signal.key === key),
  );
  const inTime = meant.filter((one) => !one.is_due);
  const [only, second] = inTime;
  if (only && !second) return only;
  const details = { state, requested: 'signal', open: open.map(describeOpen) };
  if (meant.length === 0 && open.length === 0) throw nothingAsked(signal.id, state);
  const which = inTime.length > 1 ? `asks ${inTime.length} questions` : 'does not ask that';
  const text = meant.length > 0 && !only ? 'asked that until its time was up' : which;
  const hint = inTime.length > 1 ? ': say which by step, item or key' : '';
  throw new CronwrightError('conflict', `run "${signal.id}" ${text}${hint}`, { details });
}

/** What it asked is of no use any more. */
function isUndone(state: RunState): boolean {
  return state === 'rolling_back' || state === 'rollback_failed';
}

function describeOpen(asked: OpenRow) {
  const { step, item, key, kind, message } = asked;
  return { step, item: item < 0 ? null : item, key, kind, message, choices: decisionsOf(asked) ?? null };
}

function nothingAsked(id: string, state: RunState): CronwrightError {
  const details = { state, requested: 'signal', open: [] };
  return new CronwrightError('conflict', `run "${id}" is ${state} and asks nothing`, { details });
}

function checkActor({ approvers, starter_may_answer, starter, key }: OpenRow, actor: string): void {
  if (approvers !== null && !approvers.includes(actor)) {
    throw new CronwrightError('forbidden', `"${actor}" may not answer ${key}: only ${approvers.join(', ')} may`);
  }
  if (!starter_may_answer && starter === actor) {
    throw new CronwrightError('forbidden', `"${actor}" started the run, and ${key} is for somebody else to answer`);
  }
}

function decisionFor(asked: OpenRow, signal: Signal): string {
  const decision = signal.decision ?? usualDecision(asked);
  const known = decisionsOf(asked);
  if (decision !== undefined && (known === undefined || known.includes(decision))) return decision;
  const expected = known?.join(', ') ?? 'a decision';
  throw new CronwrightError('invalid_input', `${asked.key} of step ${asked.step} takes another decision`, {
    problems: [{ path: 'decision', message: 'not a choice here', got: decision ?? 'nothing', expected }],
  });
}

/** Where the worker asks, the data has fields for the input of the step. */
function checkData({ asked_by, key }: OpenRow, data: Json | undefined): void {
  if (asked_by === 'step' || typeof data !== 'object' || data === null || Array.isArray(data)) return;
  const edits = data.with;
  if (edits === undefined || (typeof edits === 'object' && edits !== null && !Array.isArray(edits))) return;
  throw new CronwrightError('invalid_input', `the answer to ${key} has fields that are no object`, {
    problems: [
      {
        path: 'data.with',
        message: 'not an object',
        got: JSON.stringify(edits).slice(0, 80),
        expected: 'fields of the input, by name',
      },
    ],
  });
}

async function answerOnce(
  tx: Queryable,
  { id, data }: Signal,
  { step, item, key }: OpenRow,
  decision: string,
  actor: string,
): Promise<void> {
  const kept = data === undefined || data === null ? null : JSON.stringify(data);
  const { count } = await tx.query(answer, [id, step, item, key, decision, kept, actor]);
  if (count > 0) return;
  throw new CronwrightError('conflict', `${key} of step ${step} was answered meanwhile, or its time is up`, {
    details: { requested: 'signal', open: [] },
  });
}
