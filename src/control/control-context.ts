// What every verb of a person is given.
import type { Clock } from '../base/clock.ts';
import type { Database } from '../db/database.ts';
import type { PipelineCatalog } from '../domain/pipeline-catalog.ts';
import type { EventBus } from '../observe/events.ts';

export interface ControlContext {
  db: Database;
  clock: Clock;
  events: EventBus;
  pipelines: PipelineCatalog;
  /** Live runs a tenant may have before new ones are refused. */
  liveRunsPerTenant: number;
  wake: Wakes;
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
