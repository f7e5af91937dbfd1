// What every verb of a person is given.
import type { Clock } from '../base/clock.ts';
import type { Database } from '../db/database.ts';
import type { StepFigures } from '../domain/cost-estimate.ts';
import type { PipelineCatalog } from '../domain/pipeline-catalog.ts';
import type { EventBus } from '../observe/events.ts';

export interface ControlContext {
  db: Database;
  clock: Clock;
  events: EventBus;
  pipelines: PipelineCatalog;
  /** Live runs a tenant may have before new ones are refused. */
  liveRunsPerTenant: number;
  /** The same where tenants differ. */
  liveRunsOf?: (tenant: string) => number;
  wake: Wakes;
  /** What a step type says of a call with this input, before any run; undefined: it does not know. */
  estimateStep?(
    stepType: string,
    asked: { tenant: string; pipeline: string; step: string; input: unknown },
  ): Promise<StepFigures | undefined>;
  /** What keeps a value from being the output of a step type; none where this node does not have the type. */
  outputProblems?(
    stepType: string,
    value: unknown,
  ): Promise<readonly { path: readonly PropertyKey[]; message: string }[]>;
}

/** Hints that make things happen sooner; everything also happens without them, by polling. */
export interface Wakes {
  /** There may be something to claim. */
  workers(): void;
  /** A schedule changed. */
  scheduler(): void;
  /** A run may wait for a time or for a slot. */
  timers(): void;
  /** A run of this node (null: of whichever) has a request (pause, cancel). */
  requests(node: string | null): void;
}
