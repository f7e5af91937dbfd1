// Makes a run's outcomes durable and does not give up while the run is ours: a database that is away only delays.
import { sleepUnlessAborted } from '../base/service.ts';
import { type Queryable, statement } from '../db/database.ts';
import type { RunFinish } from '../queue/finish-runs.ts';
import type { RunRelease } from '../queue/release-runs.ts';
import type { ExecuteDeps } from './execute-deps.ts';
import { abortRun, isUnwritten, type LiveRun, takeUnwritten } from './live-run.ts';

const retryAfterMs = 500;

const finishedBy = statement(
  'find_finished_run',
  'select id from cronwright.runs where id = $1 and node = $2 and state = $3 and claims >= $4',
);

/** Writes what is not yet durable. False where the run is no longer ours. */
export async function flushRun(run: LiveRun, deps: ExecuteDeps): Promise<boolean> {
  if (!isUnwritten(run)) return !run.hard.signal.aborted;
  const write = takeUnwritten(run);
  return persist(run, deps, () => deps.writer.checkpoint(write));
}

export async function flushFinish(
  run: LiveRun,
  end: Omit<RunFinish, keyof ReturnType<typeof takeUnwritten>>,
  deps: ExecuteDeps,
): Promise<boolean> {
  const finish: RunFinish = { ...takeUnwritten(run), ...end };
  let isAmbiguous = false;
  return persist(run, deps, async () => {
    try {
      const accepted = await deps.writer.finish(finish);
      // The answer of an earlier try was lost: the record says whether that try had ended the run.
      return accepted || (isAmbiguous && (await isFinished(deps.db, finish, deps.node)));
    } catch (error) {
      isAmbiguous = true;
      throw error;
    }
  });
}

export async function flushRelease(
  run: LiveRun,
  release: Omit<RunRelease, keyof ReturnType<typeof takeUnwritten>>,
  deps: ExecuteDeps,
): Promise<boolean> {
  const whole: RunRelease = { ...takeUnwritten(run), ...release };
  return persist(run, deps, () => deps.writer.release(whole));
}

/** Repeats until it is answered; after a lost lease there is nobody to write for. */
async function persist(run: LiveRun, deps: ExecuteDeps, write: () => Promise<boolean>): Promise<boolean> {
  const leaseLost = new AbortController();
  const watch = () => {
    if (run.abortedBy === 'lease_lost') leaseLost.abort();
  };
  for (;;) {
    try {
      const accepted = await write();
      if (!accepted) abortRun(run, 'lease_lost');
      return accepted;
    } catch (error) {
      watch();
      if (leaseLost.signal.aborted) return false;
      deps.events.emit('service.crashed', { service: 'checkpoint-writer', error: String(error) });
      await sleepUnlessAborted(retryAfterMs, leaseLost.signal);
    }
  }
}

async function isFinished(db: Queryable, finish: RunFinish, node: string): Promise<boolean> {
  const { rows } = await db.query(finishedBy, [finish.runId, node, finish.state, finish.claims]);
  return rows.length > 0;
}
