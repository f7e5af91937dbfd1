// What a daemon's API answers: the views of reads as JSON carries them, so that a change there is a type error here.
import type { CancelledRun } from '../control/cancel-run.ts';
import type { CostEstimate } from '../control/estimate-run.ts';
import type { ForkedRun } from '../control/fork-run.ts';
import type { PausedRun } from '../control/pause-run.ts';
import type { ResumedRun } from '../control/resume-run.ts';
import type { RetriedRun } from '../control/retry-run.ts';
import type { RolledBackRun } from '../control/rollback-run.ts';
import type { PrioritizedRun } from '../control/set-priority.ts';
import type { StartedRun } from '../control/start-run.ts';
import type { ConfigInForceView } from '../reads/config-in-force.ts';
import type { RunsDiff } from '../reads/diff-runs.ts';
import type { Explanation } from '../reads/explain-view.ts';
import type { RunDetail } from '../reads/get-run.ts';
import type { NodeView } from '../reads/list-nodes.ts';
import type { ScheduleView } from '../reads/list-schedules.ts';
import type { SensorDetail, SensorView } from '../reads/list-sensors.ts';
import type { PauseView } from '../reads/pause-view.ts';
import type { QueueStatusView } from '../reads/queue-status.ts';
import type { CostEntryView } from '../reads/run-costs.ts';
import type { EventView } from '../reads/run-events.ts';
import type { LogLineView, LogPage } from '../reads/run-logs.ts';
import type { StepView } from '../reads/run-steps.ts';
import type { RunView } from '../reads/run-view.ts';
import type { OccurrencePage } from '../reads/schedule-occurrences.ts';
import type { CostSums } from '../reads/sum-costs.ts';
import type { TenantDetail, TenantView } from '../reads/tenants.ts';

/** A value after JSON: instants are ISO texts. */
type AsJson<Value> = Value extends Date
  ? string
  : Value extends readonly (infer Item)[]
    ? AsJson<Item>[]
    : Value extends object
      ? { [Key in keyof Value]: AsJson<Value[Key]> }
      : Value;

export interface List<Item> {
  items: Item[];
  next_cursor?: string | null;
}

export type RunAnswer = AsJson<RunView>;
export type RunDetailAnswer = AsJson<RunDetail>;
export type CostAnswer = AsJson<CostEntryView>;
export type CostSumsAnswer = AsJson<CostSums>;
export type CostEstimateAnswer = AsJson<CostEstimate>;
export type ExplainAnswer = AsJson<Explanation>;
export type StepAnswer = AsJson<StepView>;
export type EventAnswer = AsJson<EventView>;

export type LogPageAnswer = AsJson<LogPage>;
export type LogLineAnswer = AsJson<LogLineView>;
export type NodeAnswer = AsJson<NodeView>;
export type NodesAnswer = List<NodeAnswer> & { in_force: AsJson<ConfigInForceView> | null };
export type TenantAnswer = AsJson<TenantView>;
export type TenantDetailAnswer = AsJson<TenantDetail>;
export type TenantsAnswer = List<TenantAnswer>;
export type QueueAnswer = AsJson<QueueStatusView>;
export type OccurrencesAnswer = AsJson<OccurrencePage>;
export type SensorAnswer = AsJson<SensorView>;
export type SensorDetailAnswer = AsJson<SensorDetail>;
export type ScheduleAnswer = AsJson<ScheduleView>;
export type CancelAnswer = AsJson<CancelledRun>;
export type PauseRunAnswer = AsJson<PausedRun>;
export type ResumeRunAnswer = AsJson<ResumedRun>;
export type PriorityAnswer = AsJson<PrioritizedRun>;
export interface PausedScopeAnswer {
  paused: AsJson<PauseView>;
  held: number;
  asked: number;
}
export interface ResumedScopeAnswer {
  let_go: number;
}
export interface BulkAnswer {
  action: string;
  preview: boolean;
  count: number | null;
  runs: { id: string; pipeline: string; schedule: string | null; state: RunAnswer['state']; created_at: string }[];
  done: number;
  skipped: number;
  failed: number;
  details: { id: string; outcome: 'skipped' | 'failed'; reason: string }[];
  next_cursor: string | null;
}
export type RetryAnswer = AsJson<RetriedRun>;
export type RollbackAnswer = AsJson<RolledBackRun>;
export type ForkAnswer = AsJson<ForkedRun>;
export type RunsDiffAnswer = AsJson<RunsDiff>;
export type StartAnswer = AsJson<StartedRun>;
