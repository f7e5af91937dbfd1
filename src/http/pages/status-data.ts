// What the status page shows, asked for at once and shared by all who look within a second.
import type { Clock } from '../../base/clock.ts';
import type { Database } from '../../db/database.ts';
import { type ConfigInForceView, configInForce } from '../../reads/config-in-force.ts';
import { listNodes, type NodeView } from '../../reads/list-nodes.ts';
import { listUndelivered, type OutboxView } from '../../reads/list-outbox.ts';
import { listQuietPeers, type QuietPeer } from '../../reads/list-quiet-peers.ts';
import { listRuns } from '../../reads/list-runs.ts';
import { type ScheduleView, schedulesByUrgency } from '../../reads/list-schedules.ts';
import { type SensorView, sensorsByUrgency } from '../../reads/list-sensors.ts';
import { listOpenWaits, type WaitView } from '../../reads/list-waits.ts';
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
  /** The failing, the paused, then by next look. */
  sensors: readonly SensorView[];
  queue: QueueStatusView;
  stats: StatsView;
  nodes: readonly NodeView[];
  inForce: ConfigInForceView | null;
  /** What people are asked, oldest first. */
  asked: readonly WaitView[];
  /** Peers that nobody calls for a while. */
  quiet: readonly QuietPeer[];
  /** Notifications that failed at least once and have not arrived. */
  undelivered: readonly OutboxView[];
}

const sharedForMs = 1_000;
/** Figures over a day cost more and change less. */
const statsSharedForMs = 10_000;
const dayMs = 86_400_000;

/** Returns a reader; many viewers cost as much as one. */
export function createStatusReader(db: Database, clock: Clock): () => Promise<StatusData> {
  const dayAgo = () => new Date(clock.now() - dayMs);
  const readStats = shareFor(statsSharedForMs, clock, () => stats(db, null, dayAgo()));
  return shareFor(sharedForMs, clock, () => readStatus(db, new Date(clock.now()), dayAgo(), readStats));
}

/** Asks once for all who ask within `ms`; a failure is not kept. */
function shareFor<T>(ms: number, clock: Clock, read: () => Promise<T>): () => Promise<T> {
  let last: { at: number; value: Promise<T> } | undefined;
  return () => {
    const now = clock.monotonic();
    if (last && now - last.at < ms) return last.value;
    const value = read();
    last = { at: now, value };
    value.catch(() => {
      last = undefined;
    });
    return value;
  };
}

async function readStatus(
  db: Database,
  at: Date,
  since: Date,
  readStats: () => Promise<StatsView>,
): Promise<StatusData> {
  const all = { tenant: null };
  const [
    running,
    stalled,
    failed,
    completed,
    schedules,
    queue,
    figures,
    nodes,
    inForce,
    undelivered,
    quiet,
    asked,
    sensors,
  ] = await Promise.all([
    listRuns(db, { ...all, states: ['running', 'rolling_back'], limit: 20 }),
    listRuns(db, { ...all, states: ['waiting', 'retrying', 'paused', 'rollback_failed'], limit: 10 }),
    listRuns(db, { ...all, states: ['failed', 'dead_letter', 'rolled_back'], from: since, limit: 10 }),
    listRuns(db, { ...all, states: ['completed'], from: since, limit: 8 }),
    schedulesByUrgency(db, null, 200),
    queueStatus(db, null),
    readStats(),
    listNodes(db),
    configInForce(db),
    listUndelivered(db, since, 50),
    listQuietPeers(db),
    listOpenWaits(db, { ...all, limit: 20 }),
    sensorsByUrgency(db, null, 20),
  ]);
  return {
    at,
    sensors,
    running: running.items,
    stalled: stalled.items,
    failed: failed.items,
    completed: completed.items,
    schedules,
    queue,
    stats: figures,
    nodes,
    inForce,
    undelivered,
    quiet,
    asked: asked.items,
  };
}
