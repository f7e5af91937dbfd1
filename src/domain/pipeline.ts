// A pipeline's definition as the engine sees it: defaults applied, durations in milliseconds, expressions still as text.
import type { AdaptiveTimeout } from './adaptive-timeout.ts';
import type { PipelineBudget } from './budget.ts';
import type { RetryPolicy } from './retry-policy.ts';
import type { ScheduleDefinition } from './schedule.ts';
import type { SensorDefinition } from './sensor.ts';
import type { Sla } from './sla.ts';

export interface Pipeline {
  id: string;
  tenant: string;
  description?: string;
  /** SHA-256 (hex, first 16 characters) of the canonical content: equal content, equal version. */
  version: string;
  inputs: Readonly<Record<string, InputDefinition>>;
  /** Plain strings every step may read as `env.X`. */
  env: Readonly<Record<string, string>>;
  schedules: readonly ScheduleDefinition[];
  sensors?: readonly SensorDefinition[];
  /** 1 (highest) … 10; default 5. */
  priority: number;
  queue: string;
  /** Labels of which a node has to have all, sorted; absent: any node. */
  runsOn?: readonly string[];
  /** From the first claim of a run-level attempt; default 3,600,000. */
  timeoutMs: number;
  /** From how long completed runs took; `timeoutMs` holds where too few have. */
  adaptiveTimeout?: AdaptiveTimeout;
  concurrency?: { limit: number; group?: string };
  /** What a run may cost. */
  budget?: PipelineBudget;
  /** Run-level retry (`slow` unless said otherwise); absent = none. */
  retry?: RetryPolicy;
  onInterrupted: 'retry' | 'wait_manual' | 'fail';
  /** What becomes of steps that have failed for good and do not say it themselves; absent: they fail. */
  onExhausted?: ExhaustedPolicy;
  /** Pipelines that have to have completed before a run starts. */
  after?: readonly AfterDefinition[];
  /** For runs that no schedule makes; each schedule has its own, which is this one unless it says otherwise. */
  sla?: Sla;
  /** In the order of the file; `needs` is always filled in (a step without it follows the one above). */
  steps: readonly StepDefinition[];
  /** Steps run at the end whatever happened, in order, after all others have ended. */
  finally: readonly StepDefinition[];
  /** Steps run only when the run failed, before `finally`. */
  onFailure: readonly StepDefinition[];
}

/** Runs start only after another pipeline of the tenant has completed. */
export interface AfterDefinition {
  pipeline: string;
  /** How long before the run's nominal time (or its making) that may have been. */
  withinMs: number;
  /** Which runs wait: those of schedules and backfills, or all. */
  when: 'schedule' | 'always';
  /** What happens once `within` has also passed since that time. */
  onMissing: 'wait' | 'fail' | 'run';
}

export interface InputDefinition {
  type: 'string' | 'integer' | 'number' | 'boolean' | 'array' | 'object';
  description?: string;
  /** Absent and not required: the value is null. */
  default?: unknown;
  required: boolean;
  enum?: readonly unknown[];
}

export interface StepDefinition {
  id: string;
  /** Label shown to people while the step runs. */
  label?: string;
  /** Step type: `plugin.step`. */
  uses: string;
  /** May hold `${{ }}` expressions at any depth. */
  with: Readonly<Record<string, unknown>>;
  needs: readonly string[];
  /** CEL, without the `${{ }}`. */
  if?: string;
  continueOnError: boolean;
  env: Readonly<Record<string, string>>;
  foreach?: ForeachDefinition;
  /** Runs of their own carry out the items, so that several nodes share them; `chunk` items a run (1). */
  distribute?: boolean;
  chunk?: number;
  /** A run of its own in this queue carries the step out. */
  queue?: string;
  retry: RetryPolicy;
  onExhausted?: ExhaustedPolicy;
  /** By the name of an error: what people choose from once it is for good. */
  onError?: Readonly<Record<string, OnErrorRule>>;
  /** One attempt; default 600,000. */
  timeoutMs: number;
  /** From how long completed attempts took; `timeoutMs` holds where too few have. */
  adaptiveTimeout?: AdaptiveTimeout;
  /** How it is undone, where its type can be; false: not at all. */
  compensate?: { timeoutMs: number; retry: RetryPolicy } | false;
  cache?: StepCacheRule;
  /** Text with expressions: steps with the same key wait together where one is told to. Empty: with nobody. */
  rateLimitKey?: string;
  limits?: StepLimits;
  /** Progress of the run (0…100) once this step has completed; linear over steps where absent. */
  progress?: number;
}

export interface StepCacheRule {
  /** Text with expressions: what the result depends on. */
  key: string;
  ttlMs: number;
  scope: 'pipeline' | 'tenant';
}

/** What the processes of one attempt may use; what is absent has a default of the host's, or none. */
export interface StepLimits {
  /** Of all together. */
  memoryBytes?: number;
  /** Processor time of all together. */
  cpuMs?: number;
  /** Of each. */
  openFiles?: number;
  /** What they print. */
  outputBytes?: number;
}

/** After the last retry: the run fails, is a dead letter, or waits for a person. */
export type ExhaustedPolicy = 'fail' | 'dead_letter' | 'wait_manual';

export interface OnErrorRule {
  choose: readonly ('manual_edit' | 'ai_fix')[];
  /** How long it waits for the choice; absent: for ever. */
  timeoutMs?: number;
  /** The step type that repairs; `error` and `input` are names in its `with`. */
  aiFix?: { uses: string; with: Readonly<Record<string, unknown>>; max: number };
}

export interface ForeachDefinition {
  /** A list, or one whole `${{ }}` expression that gives one. */
  items: unknown;
  maxParallel: number;
  onItemError: 'continue' | 'fail';
}
