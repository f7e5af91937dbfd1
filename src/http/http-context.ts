// What the HTTP server is given by the app: everything it asks and everything it can do.
import type { Clock } from '../base/clock.ts';
import type { ControlContext } from '../control/control-context.ts';
import type { Database } from '../db/database.ts';
import type { PipelineCatalog } from '../domain/pipeline-catalog.ts';
import type { DstPolicy } from '../domain/schedule.ts';
import type { EventBus } from '../observe/events.ts';
import type { ArtifactFiles } from '../store/artifact-files.ts';

export interface HttpContext {
  db: Database;
  clock: Clock;
  events: EventBus;
  /** Where large artifacts are; absent: nowhere. */
  artifactFiles?: ArtifactFiles | undefined;
  control: ControlContext;
  pipelines: PipelineCatalog;
  /** The settings in force; secrets are masked once more before they leave. */
  effectiveConfig(): Readonly<Record<string, unknown>>;
  readiness(): Promise<Readiness>;
  /** The text of `/metrics` and its content type. */
  renderMetrics(): Promise<{ contentType: string; body: string }>;
  /** Fire times of an expression, as foresight answers. Throws `invalid_input` naming what is wrong. */
  nextOccurrences(question: NextOccurrencesQuestion): { readonly occurrences: readonly string[] };
  node: { id: string; name: string; version: string; startedAt: Date };
  /** The live stream: how often it looks at what other nodes wrote, and how long history is kept. */
  live?: { pollMs?: number; historyMs?: number; maxBacklogBytes?: number; heartbeatMs?: number } | undefined;
  /** Bearer token of API and pages; absent: loopback only. */
  token?: string | undefined;
}

export interface Readiness {
  ready: boolean;
  /** By part (database, scheduler, workers): whether it works, and what is wrong where it does not. */
  checks: Readonly<Record<string, { ok: boolean; detail?: string | undefined }>>;
}

export interface NextOccurrencesQuestion {
  expression: string;
  /** An IANA zone; default UTC. */
  timezone?: string | undefined;
  /** An ISO 8601 instant, or a Date; fire times are strictly after it. */
  from: string | Date;
  /** 1 to 1,000. */
  count: number;
  dst?: Partial<DstPolicy> | undefined;
  /** What `H` is hashed from. */
  id?: string | undefined;
}
