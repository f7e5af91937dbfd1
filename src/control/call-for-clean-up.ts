// A run that nobody works on has clean-up steps: it is cancelled by way of a claim, so that they run.
import { type Queryable, statement } from '../db/database.ts';
import type { SlotKey } from '../queue/admit-runs.ts';
import { callToEnd } from '../queue/call-to-end.ts';
import type { LockedRun } from './lock-run.ts';

const cleanUp = statement(
  'has_clean_up',
  `select 1 as found
  from cronwright.runs r
  join cronwright.pipelines p on p.tenant = r.tenant and p.id = r.pipeline and p.version = r.pipeline_version
  where r.id = $1 and jsonb_array_length(coalesce(p.definition->'finally', '[]'::jsonb)) > 0`,
);

// The claim obeys the request before anything begins.
/** Whether there is anything to clean up after: one that never began has left nothing. */
export async function hasCleanUp(tx: Queryable, run: LockedRun, id: string): Promise<boolean> {
  return run.startedAt !== null && (await tx.query(cleanUp, [id])).rows.length > 0;
}

/** The caller holds the row's lock. Returns the slots that the run needs before it can be claimed. */
export async function callForCleanUp(
  tx: Queryable,
  run: LockedRun,
  { id, actor, reason = null }: { id: string; actor: string; reason?: string | null | undefined },
): Promise<SlotKey[]> {
  return (await callToEnd(tx, [{ id, state: run.state, undo: false }], { actor, reason })).wanted;
}
