// What carrying out a run needs from the worker that holds it.
import type { Clock } from '../base/clock.ts';
import type { Queryable } from '../db/database.ts';
import type { FailedRun } from '../domain/expressions/notification-scope.ts';
import type { FailureNotice } from '../domain/failure-notice.ts';
import type { EventBus } from '../observe/events.ts';
import type { ObservedStep } from '../steps/observed-step.ts';
import type { Secrets } from '../store/secrets.ts';
import type { CheckpointWriter } from './checkpoint-writer.ts';
import type { ChildDeps } from './child-runs.ts';
import type { RunLogs } from './run-logs.ts';
import type { SharedRateLimits } from './shared-rate-limits.ts';

export interface ExecuteDeps {
  db: Queryable;
  clock: Clock;
  events: EventBus;
  observed: ObservedStep;
  writer: CheckpointWriter;
  secrets: Secrets;
  logs: RunLogs;
  node: string;
  /** The notifications that a failed run causes. */
  noticesOf: (run: Omit<FailedRun, 'url' | 'more_failed'>) => readonly FailureNotice[];
  /** The data directory of this node, and whether it has files of a run. */
  home: string;
  hasFiles: (runId: string) => boolean;
  /** Variables of the daemon's own environment that every step may see; the pipeline's and the step's win. */
  baseEnv: Readonly<Record<string, string>>;
  /** Whether results of earlier runs are taken, and those of these kept. */
  usesCache: boolean;
  children: ChildDeps;
  rateLimits: SharedRateLimits;
  /** 0…1, for jitter. */
  random: () => number;
}
