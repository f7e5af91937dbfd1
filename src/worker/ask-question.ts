// Puts the questions of steps, and tells in the run's history what became of them.
import type { Clock } from '../base/clock.ts';
import type { Queryable } from '../db/database.ts';
import { type Question, timeoutAnswer } from '../domain/wait.ts';
import type { EventBus } from '../observe/events.ts';
import type { Asked, Attempt } from '../steps/attempt-services.ts';
import { expireWait, findWait, isToldOf, openWait, type WaitKey, type WaitRow } from '../store/waits.ts';
import { type LiveRun, noteTransition } from './live-run.ts';
import { RunLostError } from './while-ours.ts';

export interface AskDeps {
  db: Queryable;
  clock: Clock;
  events: EventBus;
}

/** A question is asked once: the step that runs again finds the one it put, and the answer where there is one. */
export async function askQuestion(
  run: LiveRun | undefined,
  attempt: Attempt,
  question: Question,
  deps: AskDeps,
): Promise<Asked> {
  const { runId, step, token } = attempt;
  const key: WaitKey = { runId, step, item: attempt.item ?? -1, key: question.key };
  const find = () => findWait(deps.db, key);
  const found = await find();
  if (found !== undefined && found.state !== 'cancelled') return stateOf(run, key, found, deps);
  const asked = { ...question, ...key, token, askedBy: 'step' as const, attempt: attempt.attempt };
  const opened = await openWait(deps.db, asked);
  // It is there although this did not open it: it did, and the answer that said so was lost.
  const row = opened === undefined ? await find() : undefined;
  if (opened === undefined && (row === undefined || row.state === 'cancelled')) throw new RunLostError(runId);
  const timeoutAt = (opened ?? row)?.timeoutAt ?? null;
  if (run !== undefined) {
    run.waits ??= new Map();
    tellOpened(run, key, question, timeoutAt, deps);
  }
  if (row !== undefined) return stateOf(run, key, row, deps);
  return { kind: 'open', untilMs: timeoutAt?.getTime() ?? Number.POSITIVE_INFINITY };
}

async function stateOf(run: LiveRun | undefined, key: WaitKey, row: WaitRow, deps: AskDeps): Promise<Asked> {
  if (row.state === 'open' && !row.isDue) {
    return { kind: 'open', untilMs: row.timeoutAt?.getTime() ?? Number.POSITIVE_INFINITY };
  }
  const settled = row.state === 'open' ? await expire(key, row, deps) : row;
  if (run !== undefined) await tellSettled(run, settled, deps);
  if (settled.state === 'timed_out') {
    const timedOut = timeoutAnswer(settled, settled.answeredAt ?? new Date(deps.clock.now()));
    return timedOut.ok ? { kind: 'answered', answer: timedOut.answer } : { kind: 'failed', error: timedOut.error };
  }
  const at = (settled.answeredAt ?? new Date(deps.clock.now())).toISOString();
  const { decision, data, answeredBy: by } = settled;
  return {
    kind: 'answered',
    answer: { decision: decision ?? 'continue', data: data ?? null, by, at, timedOut: false },
  };
}

/** Its time is up; who answered just before is heard all the same. */
export async function expire(key: WaitKey, row: WaitRow, deps: AskDeps): Promise<WaitRow> {
  const answeredAt = await expireWait(deps.db, key);
  if (answeredAt === undefined) return (await findWait(deps.db, key)) ?? row;
  return { ...row, state: 'timed_out', answeredAt, told: false };
}

/** How it has ended, said once: a worker that crashed before its word was durable has said nothing. */
export async function tellSettled(run: LiveRun, row: WaitRow, deps: AskDeps): Promise<void> {
  const { step, item, key: name, kind, state, onTimeout } = row;
  const isTimedOut = state === 'timed_out';
  const told = `${step}/${item}/${name}`;
  if (row.told || run.told?.has(told) || (isTimedOut && kind === 'timer')) return;
  run.told ??= new Set();
  run.told.add(told);
  const key = { runId: run.claimed.runId, step, item, key: name };
  if (await isToldOf(deps.db, key, isTimedOut ? 'wait.timed_out' : 'wait.answered', row.askedAt)) return;
  if (isTimedOut) {
    note(run, key, { event: 'wait.timed_out', data: { key: name, kind, on_timeout: onTimeout } }, deps);
    deps.events.emit('wait.timed_out', { ...about(run, key), kind, onTimeout });
    return;
  }
  const actor = row.answeredBy === null ? {} : { actor: row.answeredBy };
  note(run, key, { event: 'wait.answered', ...actor, data: { key: name, kind, decision: row.decision } }, deps);
}

export function tellOpened(
  run: LiveRun,
  key: WaitKey,
  { kind, message, approvers }: Pick<Question, 'kind' | 'message' | 'approvers'>,
  timeoutAt: Date | null,
  deps: AskDeps,
): void {
  const data = { key: key.key, kind, message, approvers, timeout_at: timeoutAt?.toISOString() ?? null };
  note(run, key, { event: 'wait.opened', data }, deps);
  const until = timeoutAt === null ? {} : { timeoutAt: timeoutAt.getTime() };
  deps.events.emit('wait.opened', { ...about(run, key), kind, ...until });
}

export function note(
  run: LiveRun,
  { step, item }: Pick<WaitKey, 'step' | 'item'>,
  told: { event: string; actor?: string; data: unknown },
  deps: Pick<AskDeps, 'clock'>,
): void {
  noteTransition(run, { ...told, step, ...(item < 0 ? {} : { item }) }, deps.clock);
}

function about(run: LiveRun, { step, item, key }: WaitKey) {
  const { runId, tenant, pipeline } = run.claimed;
  return { runId, tenant, pipeline, step, ...(item < 0 ? {} : { item }), key };
}
