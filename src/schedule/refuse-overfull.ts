// Keeps schedules from filling a queue beyond its limit: what finds no room is recorded as missed, with the reason.
import { uuidv7 } from 'uuidv7';
import type { NewRun } from '../domain/new-run.ts';
import type { OccurrenceRange } from '../queue/commit-due.ts';
import type { DueBatch } from './decide-batch.ts';

type Refusal = (tenant: string, runs: number) => Promise<string | undefined>;

/** The batch itself where there is room for all of it. */
export async function refuseOverfull(batch: DueBatch, refusal: Refusal): Promise<DueBatch> {
  const refused = await findRefused(batch.runs, refusal);
  if (refused.size === 0) return batch;
  const runs = batch.runs.filter((run) => !refused.has(run));
  const kept = new Map(runs.map((run) => [`${run.tenant}/${run.schedule}`, run]));
  const ids = new Set(runs.map((run) => run.id));
  return {
    ...batch,
    runs,
    ranges: [...batch.ranges, ...[...refused].map(([run, reason]) => missedRange(run, reason))],
    // The last of them that came in, if one did.
    moves: batch.moves.map((move) => {
      if (move.lastRunId === null || ids.has(move.lastRunId)) return move;
      const last = kept.get(`${move.tenant}/${move.schedule}`);
      return { ...move, lastRunId: last?.id ?? null, lastNominalAt: last?.nominalAt ?? null };
    }),
    replacements: batch.replacements.filter((one) => ids.has(one.newest)),
  };
}

/** All of a tenant at once where there is room; else one after the other, so that as many as possible come in. */
async function findRefused(runs: readonly NewRun[], refusal: Refusal): Promise<Map<NewRun, string>> {
  const refused = new Map<NewRun, string>();
  const byTenant = new Map<string, NewRun[]>();
  for (const run of runs) {
    const known = byTenant.get(run.tenant);
    if (known) known.push(run);
    else byTenant.set(run.tenant, [run]);
  }
  for (const [tenant, ofTenant] of byTenant) {
    if ((await refusal(tenant, ofTenant.length)) === undefined) continue;
    for (const run of ofTenant) {
      const reason = await refusal(tenant, 1);
      if (reason !== undefined) refused.set(run, reason);
    }
  }
  return refused;
}

function missedRange(run: NewRun, reason: string): OccurrenceRange {
  const at = run.nominalAt as Date;
  return {
    id: uuidv7(),
    tenant: run.tenant,
    schedule: run.schedule as string,
    outcome: 'missed',
    firstAt: at,
    lastAt: at,
    count: run.nominalCount,
    reason,
  };
}
