// Enqueues child runs: made by the worker that holds the parent, and by no other, together with what they are to it.
import { type Database, statement } from '../db/database.ts';
import type { ChildOf } from '../domain/child-run.ts';
import type { NewRun } from '../domain/new-run.ts';
import { enqueueRuns } from './enqueue-runs.ts';

export interface NewChild {
  run: NewRun;
  child: ChildOf;
  /** Carries out a part of the parent's own pipeline. */
  isPart: boolean;
  /** The parent waits for it. */
  isAwaited: boolean;
}

// The share lock makes a rescue wait for these rows, or this see the rescue's token.
const fence = statement(
  'fence_parent',
  'select run_id from cronwright.queue where run_id = $1 and token = $2 for share',
);

// One that is there already, and was taken over already, is taken over again: its parent has lost what it knew of it.
const mark = statement(
  'mark_children',
  `update cronwright.runs r set child = u.child::jsonb, is_part = u.is_part, child_open = u.awaited
  from unnest($1::uuid[], $2::text[], $3::bool[], $4::bool[]) as u(id, child, is_part, awaited)
  where r.id = u.id
  returning r.id, r.state is not null as ended`,
);

export interface EnqueuedChildren {
  /** False: the parent belongs to another worker, and nothing was made. */
  isOurs: boolean;
  /** Runs that were not there before. */
  made: Set<string>;
  /** Runs that were there and have ended. */
  ended: Set<string>;
}

export function enqueueChildren(
  db: Database,
  parent: { runId: string; token: number },
  children: readonly NewChild[],
): Promise<EnqueuedChildren> {
  return db.transaction(
    async (tx) => {
      const held = await tx.query(fence, [parent.runId, parent.token]);
      if (held.rows.length === 0) return { isOurs: false, made: new Set<string>(), ended: new Set<string>() };
      const made = await enqueueRuns(
        tx,
        children.map(({ run }) => run),
      );
      const { rows } = await tx.query<{ id: string; ended: boolean }>(mark, [
        children.map(({ run }) => run.id),
        children.map(({ child }) => JSON.stringify(child)),
        children.map(({ isPart }) => (isPart ? true : null)),
        children.map(({ isAwaited }) => (isAwaited ? true : null)),
      ]);
      const ended = new Set(rows.filter((row) => row.ended).map((row) => row.id));
      return { isOurs: true, made: new Set(made), ended };
    },
    { idempotent: true },
  );
}
