// Makes a run's outcomes durable and does not give up while the run is ours: a database that is away only delays.
import { setTimeout as sleep } from 'node:timers/promises';
import { type Queryable, statement } from '../db/database.ts';
import type { FencedWrite } from '../queue/fenced-write.ts';
import type { RunFinish } from '../queue/finish-runs.ts';
import type { RunRelease } from '../queue/release-runs.ts';
import type { RollbackWrite } from '../queue/write-rollback.ts';
import { markWaitsTold } from '../store/waits.ts';
import { isRefused } from './checkpoint-writer.ts';
import type { ExecuteDeps } from './execute-deps.ts';
import { abortRun, hasUnwrittenOutcome, type LiveRun, takeUnwritten } from './live-run.ts';

const retryAfterMs = 500;

const finishedBy = statement(
  'find_finished_run',
  'select id from cronwright.runs where id = $1 and node = $2 and state = $3 and claims = $4',
);

/**
 * Makes outcomes of steps durable, those that an earlier flush carries included: another connection may be faster. False
 * where the run is no longer ours. `isForced` also writes what is no outcome, such as what a step tells of itself.
 */
export async function flushRun(run: LiveRun, deps: ExecuteDeps, isForced = false): Promise<boolean> {
  if (!isForced && !hasUnwrittenOutcome(run)) return (await run.flushing) !== false && !run.isHardAborted;
  const write = takeUnwritten(run);
  const earlier = run.flushing;
  const own = persist(run, deps, write, () => deps.writer.checkpoint(write));
  const flushing = earlier === undefined ? own : both(earlier, own);
  run.flushing = flushing;
  const accepted = await flushing;
  if (run.flushing === flushing) run.flushing = undefined;
  return accepted;
}

async function both(one: Promise<boolean>, other: Promise<boolean>): Promise<boolean> {
  const accepted = await one;
  return (await other) && accepted;
}

export async function flushFinish(
  run: LiveRun,
  end: Omit<RunFinish, keyof ReturnType<typeof takeUnwritten>>,
  deps: ExecuteDeps,
): Promise<boolean> {
  // An end that overtakes a flush would shut it out: the token is gone with the live row.
  if ((await run.flushing) === false) return false;
  // One spread, and it first: objects made of two are slow to make, and there is one of these for every run.
  const { runId, tenant, token, steps, transitions, seq } = takeUnwritten(run);
  const finish: RunFinish = { ...end, runId, tenant, token, steps, transitions, seq };
  return persist(run, deps, finish, async () => {
    // The answer of an earlier try may be lost, the driver's own tries included: the record says whether it ended the run.
    return (await deps.writer.finish(finish)) || isFinished(deps.db, finish, deps.node);
  });
}

export async function flushRelease(
  run: LiveRun,
  release: Omit<RunRelease, keyof ReturnType<typeof takeUnwritten>>,
  deps: ExecuteDeps,
): Promise<boolean> {
  if ((await run.flushing) === false) return false;
  const whole: RunRelease = { ...takeUnwritten(run), ...release };
  return persist(run, deps, whole, () => deps.writer.release(whole));
}

/** Compensations, and that a rollback begins, with all that is not yet durable. False where the run is no longer ours. */
export async function flushRollback(
  run: LiveRun,
  write: Pick<RollbackWrite, 'begins' | 'compensations'>,
  deps: ExecuteDeps,
): Promise<boolean> {
  if ((await run.flushing) === false) return false;
  const whole: RollbackWrite = { ...takeUnwritten(run), ...write };
  return persist(run, deps, whole, () => deps.writer.rollback(whole));
}

/** Repeats until it is answered; after a lost lease there is nobody to write for. */
async function persist(
  run: LiveRun,
  deps: ExecuteDeps,
  write: FencedWrite,
  send: () => Promise<boolean>,
): Promise<boolean> {
  for (;;) {
    try {
      const accepted = await send();
      if (!accepted) abortRun(run, 'lease_lost');
      else tellWritten(run, write, deps);
      if (accepted && run.told !== undefined) await markTold(write, deps);
      return accepted;
    } catch (error) {
      if (run.abortedBy === 'lease_lost') return false;
      // The run is taken up again when its lease has lapsed, and ends as a dead letter where that does not help.
      if (isRefused(error)) throw error;
      deps.events.emit('service.crashed', { service: 'checkpoint-writer', error: String(error) });
      await sleep(retryAfterMs);
    }
  }
}

/** What is durable may be told; whoever listens need not read it back. */
function tellWritten(run: LiveRun, write: FencedWrite, deps: ExecuteDeps): void {
  if (write.transitions.length === 0 || !deps.events.isHeard('history.written')) return;
  const { runId, tenant, pipeline, schedule } = run.claimed;
  const { seq, transitions } = write;
  const isPart = run.record.isPart === true;
  deps.events.emit('history.written', { node: deps.node, runId, tenant, pipeline, schedule, seq, transitions, isPart });
}

/** Where this fails, whoever wants to know looks into the history. */
async function markTold({ runId, transitions }: FencedWrite, deps: ExecuteDeps): Promise<void> {
  const ended = transitions.filter(({ event }) => event === 'wait.answered' || event === 'wait.timed_out');
  if (ended.length === 0) return;
  const keys = ended.map(({ step = '', item = -1, data }) => ({ step, item, key: (data as { key: string }).key }));
  try {
    await markWaitsTold(deps.db, runId, keys);
  } catch (error) {
    deps.events.emit('service.crashed', { service: 'waits', error: String(error) });
  }
}

async function isFinished(db: Queryable, finish: RunFinish, node: string): Promise<boolean> {
  const { rows } = await db.query(finishedBy, [finish.runId, node, finish.state, finish.claims]);
  return rows.length > 0;
}
