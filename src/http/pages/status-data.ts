// What the status page shows, asked for at once and shared by all who look within a second.
import type { Clock } from '../../base/clock.ts';
import type { Database } from '../../db/database.ts';
import { listNodes, type NodeView } from '../../reads/list-nodes.ts';
import { listRuns } from '../../reads/list-runs.ts';
import { type ScheduleView, schedulesByUrgency } from '../../reads/list-schedules.ts';
import { type QueueStatusView, queueStatus } from '../../reads/queue-status.ts';
import type { RunView } from '../../reads/run-view.ts';
import { type StatsView, stats } from '../../reads/stats.ts';

export interface StatusData {
  at: Date;
  running: readonly RunView[];
  stalled: readonly RunView[];
  failed: readonly RunView[];
  completed: readonly RunView[];
  schedules: readonly ScheduleView[];
  queue: QueueStatusView;
  stats: StatsView;
  nodes: readonly NodeView[];
}

const sharedForMs = 1_000;
const dayMs = 86_400_000;

/** Returns a reader; many viewers cost as much as one. */
export function createStatusReader(db: Database, clock: Clock): () => Promise<StatusData> {
  let last: { at: number; data: Promise<StatusData> } | undefined;
  return () => {
    const now = clock.monotonic();
    if (last && now - last.at < sharedForMs) return last.data;
    const data = readStatus(db, new Date(clock.now()));
    last = { at: now, data };
    data.catch(() => {
      last = undefined;
    });
    return data;
  };
}

async function readStatus(db: Database, at: Date): Promise<StatusData> {
  const since = new Date(at.getTime() - dayMs);
  const all = { tenant: null };
  const [running, stalled, failed, completed, schedules, queue, figures, nodes] = await Promise.all([
    listRuns(db, { ...all, states: ['running', 'rolling_back'], limit: 20 }),
    listRuns(db, { ...all, states: ['waiting', 'retrying', 'paused', 'rollback_failed'], limit: 10 }),
    listRuns(db, { ...all, states: ['failed', 'dead_letter', 'rolled_back'], from: since, limit: 10 }),
    listRuns(db, { ...all, states: ['completed'], from: since, limit: 8 }),
    schedulesByUrgency(db, null, 200),
    queueStatus(db, null),
    stats(db, null, since),
    listNodes(db),
  ]);
  return {
    at,
    running: running.items,
    stalled: stalled.items,
    failed: failed.items,
    completed: completed.items,
    schedules,
    queue,
    stats: figures,
    nodes,
  };
}
