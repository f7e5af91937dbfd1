// Leaves runs to others where this node lacks a step type of theirs: no failure, nobody's attempt, and said once a version.
import type { Queryable } from '../db/database.ts';
import type { EventBus } from '../observe/events.ts';
import type { ClaimedRun } from '../queue/claim-runs.ts';
import { noteLacks } from '../queue/register-node.ts';
import { setAsideRuns } from '../queue/return-claims.ts';

export interface RefusedRun {
  claimed: ClaimedRun;
  /** Step types that this node does not have. */
  missing: readonly string[];
}

export interface LackedVersion {
  tenant: string;
  pipeline: string;
  missing: readonly string[];
}

/** A daemon's plugins are those it started with: what it lacks it lacks until it ends. */
export type Lacks = Map<string, LackedVersion>;

export type RefuseRuns = (refused: readonly RefusedRun[]) => Promise<void>;

export function createRefuseRuns(options: {
  db: Queryable;
  events: EventBus;
  node: string;
  lacks: Lacks;
  /** The node claims from fewer routes from now on. */
  onLacking: () => void;
  /** Others may take what was set aside. */
  onSetAside: () => void;
}): RefuseRuns {
  const { db, events, node, lacks } = options;
  let told = 0;
  return async (refused) => {
    if (refused.length === 0) return;
    for (const { claimed, missing } of refused) {
      const { tenant, pipeline, pipelineVersion: version } = claimed;
      if (lacks.has(version)) continue;
      lacks.set(version, { tenant, pipeline, missing });
      events.emit('version.refused', { tenant, pipeline, version, missing: missing.join(', '), node });
    }
    // Before the runs are back: a claim from the old routes would take them again.
    if (lacks.size > told) options.onLacking();
    await setAsideRuns(
      db,
      refused.map((one) => one.claimed),
    );
    options.onSetAside();
    if (lacks.size === told) return;
    await noteLacks(db, node, [...lacks.keys()]);
    told = lacks.size;
  };
}
