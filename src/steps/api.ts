// All that a plugin may import: how to define a plugin and its steps, what a step is given, how it fails. Exported as `cronwright/plugin`.

import type { CostEntry, CostsSoFar, StepEstimate } from './cost.ts';
import type { SensorDefinition } from './define-sensor.ts';
import type { ProgramLimits } from './isolation/program-limits.ts';
import type { LlmAnswer, LlmMessage, LlmRequest } from './llm/llm-request.ts';

export { costRatio, showEstimate, showUsd } from '../domain/budget.ts';
export { isMediaType } from '../domain/media-type.ts';
export type { CostEntry, CostsSoFar, StepEstimate } from './cost.ts';
export {
  defineSensor,
  type SensorContext,
  type SensorDefinition,
  type SensorEvent,
  type SensorLimits,
  type SensorResult,
} from './define-sensor.ts';
export { existingFileInside, folderInside, isPathInside } from './inside-folder.ts';
export { outputLimit, type ProgramLimits, ulimits } from './isolation/program-limits.ts';
export { type ProgramEnd, runProgram } from './isolation/run-program.ts';
export { cpuLimit, watchUsage } from './isolation/watch-usage.ts';
export type { LlmAnswer, LlmMessage, LlmRequest, LlmUsage } from './llm/llm-request.ts';
export { retryAfterMs } from './retry-after.ts';
export { type ErrorClass, StepError } from './step-error.ts';
export { textBeside } from './text-beside.ts';
export { type FileToWrite, putBackFiles, rememberFile } from './undo-files.ts';

/** What JSON can hold. Outputs of steps are JSON. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/**
 * The part of Standard Schema v1 (https://standardschema.dev) that Cronwright uses; zod, valibot and arktype schemas fit.
 */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}
export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] };
export interface StandardIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}
export type OutputOf<Schema> = Schema extends StandardSchema<infer _Input, infer Output> ? Output : never;

export interface Log {
  debug(message: string, fields?: Record<string, unknown>): void;
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
}

export interface Artifact {
  /** UUID. */
  id: string;
  name: string;
  mediaType: string;
  /** Bytes. */
  size: number;
  /** Hex. */
  sha256: string;
}

export type AbortReason = 'cancelled' | 'timeout' | 'lease_lost' | 'shutdown';

/** What a step is given. Everything on it works alike in `inline` and `process` isolation. */
export interface StepContext {
  /** Aborts when the step has to end; `signal.reason` is an Error whose `name` is an AbortReason. */
  readonly signal: AbortSignal;
  /** Stable across attempts of this step (and item) of this run: send it with calls that must not happen twice. */
  readonly idempotencyKey: string;
  /** Rises with every claim of the run; a fencing token for stores of your own. */
  readonly token: number;
  /** 1 for the first try. */
  readonly attempt: number;
  readonly tenant: string;
  readonly runId: string;
  readonly pipeline: string;
  readonly step: string;
  /** Position in a fan-out; absent elsewhere. */
  readonly item: number | undefined;
  /** True where nothing outside may be changed: say what would be done, and return an output of the usual form. */
  readonly dryRun: boolean;
  /**
   * What the programs that the step starts may use (`limits` of the step in the pipeline). In a process of its own they are kept by
   * the node; an inline step sets them itself, by `ulimits` and `watchUsage`, and declares that with `limits: 'obeyed'`.
   */
  readonly limits: ProgramLimits;
  /** A directory of the run, made on first use; absolute path. Never put it into an output. */
  readonly workspace: string;
  /** Environment of the step (`env` of pipeline and step), evaluated. */
  readonly env: Readonly<Record<string, string>>;
  readonly log: Log;
  /** A piece of the run's log as the program printed it. Chunks are split into lines by the host; more than the cap is dropped and said. */
  output(stream: 'stdout' | 'stderr', chunk: string): void;
  /** Progress within this step. `done` and `total` in any one unit. */
  progress(progress: { done: number; total: number; message?: string }): void;
  /** State within a step that survives a crash: JSON, ≤ 1 MB, fenced. */
  readonly checkpoint: { load(): Promise<Json | undefined>; save(state: Json): Promise<void> };
  readonly artifacts: {
    put(artifact: { name: string; mediaType: string; content: Uint8Array | string }): Promise<Artifact>;
    get(id: string): Promise<{ artifact: Artifact; content: Uint8Array }>;
  };
  readonly secrets: {
    /** The value of a secret; a missing one is a `fatal` error that names it. Values are masked in logs. */
    get(name: string): Promise<string>;
  };
  /**
   * A named connection from the configuration; `self` is Cronwright's own database, always read-only. With `readOnly` every
   * query runs in a read-only transaction.
   */
  sql(name: string, options?: { readOnly?: boolean }): Promise<SqlConnection>;
  /** Says to everyone who listens that something happened. `type` is snake_case. */
  event(type: string, data: Json): void;
  /**
   * The standard's fetch. Hosts at private addresses are refused (fatal AddressRefused) unless the settings allow them, at every
   * redirect too. What is open when the attempt ends is closed.
   */
  fetch(url: string | URL, init?: RequestInit): Promise<Response>;
  /** The addresses of a host that may be reached, for clients other than `fetch`: connect to these and no others. */
  lookup(hostname: string, port: number): Promise<readonly { address: string; family: number }[]>;
  readonly outbox: {
    /**
     * Puts a call of this same step with this same input into the outbox, once however often the step is tried, and lets the
     * run go on. It is made apart from the run, and again by a schedule of some days until it succeeds, with `delivery` set
     * and `idempotencyKey` the id that is returned. References to secrets stay references until then; `env` is not kept.
     */
    put(): Promise<{ id: string }>;
  };
  /**
   * Asks a person, or lets a time pass, without holding a place: the attempt ends here as a wait (neither a failure nor one of its
   * tries), durably, and the run gives its worker back. Once there is an answer the step runs again from its start, and the same
   * call returns it. What comes before it in `run` therefore runs again too: keep what must not in `checkpoint`.
   *
   * Until then the call throws; let it pass through. An attempt that catches it and goes on is a wait all the same.
   * Throws a fatal `WaitTimedOut` where the time was up and `onTimeout` is `fail`.
   */
  suspend(question: Suspension): Promise<SuspensionAnswer>;
  /**
   * Starts a run of another pipeline of the tenant, once a key however often the step is tried. With `wait` the attempt ends here
   * as a wait (as with `suspend`) until that run has ended; a run that did not complete is its error. Inputs are masked and stored.
   */
  startRun(run: RunToStart): Promise<StartedRun>;
  readonly llm: {
    /**
     * Asks a language model, or the provider `template`. Usage and money go into the ledger, and budgets hold, whatever becomes of the
     * step; while the answer comes in, its tokens are the step's progress. Errors: fatal `MissingApiKey`, `InvalidRequest` (400) and
     * `BudgetExceeded`; `rate_limited` (429); transient for 5xx, timeouts and cut answers.
     */
    ask(request: LlmRequest): Promise<LlmAnswer>;
  };
  readonly cost: {
    /** Notes what was spent, for the attempt, the run, the pipeline and the tenant. */
    add(entry: CostEntry): Promise<void>;
    /**
     * Before spending: holds the money, so that budgets hold however many spend at once. Where one would be passed, a fatal
     * `BudgetExceeded`, or the step waits for people (`suspend` of kind `budget`) where the budget says so.
     */
    reserve(entry: CostEntry): Promise<{ id: string }>;
    /** What was really spent takes the place of what was held, even where it is more; without `actual` nothing was spent. */
    settle(id: string, actual?: CostEntry): Promise<void>;
    /** What the run has cost until now. */
    soFar(): Promise<CostsSoFar>;
    /** Says what the run is expected to cost: US dollars, the low end. It is shown beside what the run does cost; the last word counts. */
    expect(usd: number): Promise<void>;
  };
  /** Threads of messages of the run: they outlive retries and restarts, and go along to a retry or a fork of it. */
  readonly conversation: {
    /** Oldest first; empty where there is none. `thread` defaults to `main`. */
    load(thread?: string): Promise<LlmMessage[]>;
    /** Added once, however often the step is tried: the nth call of a step's attempt stands for the nth of any other. */
    append(messages: readonly LlmMessage[], thread?: string): Promise<void>;
  };
  /** Set where the outbox makes this call: then the workspace is empty, and there are no checkpoint and no artifacts. */
  readonly delivery: Delivery | undefined;
  /** Set while the step's `compensate` runs. */
  readonly compensation: Compensation | undefined;
  /**
   * W3C traceparent for calls to others: that of the attempt's span. Where traces are off, the one that came with the request
   * for the run, if one did.
   */
  readonly traceparent: string | undefined;
  /** Settings of the host that built-in plugins obey: what networks may be reached, where data lives. */
  readonly host: HostSettings;
}

export interface RunToStart {
  pipeline: string;
  inputs?: { [key: string]: Json };
  /** 1 (first) … 10; default: that of this run. */
  priority?: number;
  /** Whether the step goes on only once the run has ended. Default false. */
  wait?: boolean;
  /** Names the run within the step (and item). Default: the ordinal of the call in the attempt (`run/1`). */
  key?: string;
}

export interface StartedRun {
  runId: string;
  /** `pending`; `completed` where it was waited for. */
  state: string;
  failedItems: number;
  /** What its steps gave, by step; null where nobody waits, or above 1 MB. */
  outputs: { [step: string]: Json } | null;
}

/** What `ctx.suspend` asks. Texts and `form` are masked and stored: they are shown to whoever may see the run. */
export interface Suspension {
  /** What kind of wait it is for whoever looks; `timer` asks nobody, and needs `timeoutMs`. */
  kind: 'approval' | 'manual_edit' | 'ai_fix' | 'timer' | 'budget';
  /** Names the question within the step (and item). Default: the kind and its ordinal in the attempt (`approval/1`). */
  key?: string;
  /** One sentence for people. */
  message?: string;
  /** Whatever helps to answer: facts, a JSON Schema of the data that is wanted. Shown as it is, at most 1 MB. */
  form?: Json;
  /** The decisions there are. Default: `approve` and `reject` for `approval` and `budget`, any for the others. */
  choices?: readonly string[];
  /** Milliseconds until time itself answers; default: never. For `timer`: how long to sleep. */
  timeoutMs?: number;
  /** What time answers; default `fail`, for `timer` always `continue`. */
  onTimeout?: 'fail' | 'approve' | 'reject' | 'continue';
  /** Names of the actors who may answer; default: anybody. */
  approvers?: readonly string[];
  /** False: not the actor who started the run. Default true. */
  startedByMayAnswer?: boolean;
}

export interface SuspensionAnswer {
  /** `approve`, `reject`, one of `choices`, or `continue`. */
  decision: string;
  /** What came with the answer; null where nothing did. */
  data: Json;
  /** The actor who answered; null where time did. */
  by: string | null;
  /** ISO 8601 in UTC. */
  at: string;
  timedOut: boolean;
}

export interface Delivery {
  /** When the call was put into the outbox; ISO 8601 in UTC, the same at every attempt. */
  readonly putAt: string;
}

/** Why a run is undone: a step of it failed, its time was up, it was cancelled with `rollback`, or somebody rolled it back. */
export type CompensationReason = 'failed' | 'timeout' | 'cancelled' | 'rollback';

export interface Compensation {
  readonly reason: CompensationReason;
}

export interface HostSettings {
  /** Base URL of this daemon's own API, e.g. `http://127.0.0.1:8080`; absent in `cronwright run`. */
  readonly apiUrl: string | undefined;
  /** Absolute path of the data directory. */
  readonly dataDir: string;
  /** US dollars that one item of work for a language model is taken to cost, where a step does not say; absent: 0.05. */
  readonly estimatePerItemUsd?: number;
  /** Hosts (`name`, `name:port`, CIDR) that steps may reach although their addresses are private. */
  readonly allowPrivateHosts: readonly string[];
  /** Environment for programs that a step starts: PATH, HOME, LANG and TMPDIR of the daemon, nothing else of it. */
  readonly programEnv: Readonly<Record<string, string>>;
}

export interface SqlConnection {
  /** Bound parameters only (`$1`). Rows are plain JSON objects. */
  query(text: string, params?: readonly Json[]): Promise<{ rows: Record<string, Json>[]; rowCount: number }>;
  /**
   * Where the server is, for programs and clients that need a session of their own: a `postgres://` URL, its password masked in logs
   * from now on. Absent for `self` and in processes of their own. Give a password on by the environment alone.
   */
  serverUrl?(): string;
}

export interface StepDefinition<Input = unknown, Output = unknown> {
  description?: string;
  input: StandardSchema<unknown, Input>;
  output: StandardSchema<unknown, Output>;
  /** JSON Schemas; only needed where the schema cannot say its own (zod 4.2 and later, and whatever else has `~standard.jsonSchema`, can). */
  inputJsonSchema?: Record<string, unknown>;
  outputJsonSchema?: Record<string, unknown>;
  /** `outside`: changes something beyond the run's own workspace; its start is recorded durably first. Default `none`. */
  effects?: 'none' | 'outside';
  /**
   * `handled`: the step looks at `ctx.dryRun`, changes nothing outside then and says what it would do. One with
   * `effects: 'outside'` that does not declare it is not run in a dry run: its output is null.
   */
  dryRun?: 'handled';
  /** `obeyed`: an inline step that gives `ctx.limits` to the programs it starts. Without it a pipeline cannot set any. */
  limits?: 'obeyed';
  /** `keyed`: the peer honours `ctx.idempotencyKey`; `natural`: repeating gives the same; `none`: it may happen twice. */
  idempotency?: 'natural' | 'keyed' | 'none';
  /** Where it runs. Default: `inline` for built-in plugins, `process` for all others. */
  isolation?: 'inline' | 'process';
  /**
   * What the peer of a call limits, such as `http:<host>`: where one attempt fails as `rate_limited`, no step with the same key
   * calls before its time is up, in whichever run and on whichever node. Undefined: it waits alone. `input` is what the
   * pipeline gives, before the schema has checked it.
   */
  rateLimitKey?(input: Input): string | undefined;
  /** `light`: waits for a network or a timer; hundreds at once are fine. Default `heavy`. */
  weight?: 'light' | 'heavy';
  workspace?: 'none' | 'writes' | 'reads';
  run(ctx: StepContext, input: Input): Promise<Output> | Output;
  /**
   * Undoes what `run` did. Called for every step (and item of a fan-out) that has started, newest first, when its run fails or
   * times out for good, is cancelled with `rollback`, or is rolled back; never in a dry run. `output` is what `run` returned, as
   * it is stored; undefined where the step did not finish: it may have done all, some or nothing of its work. `input` is
   * evaluated again from what the run has stored.
   *
   * It may be called again after an error, its timeout (10 min unless the pipeline says otherwise) or the end of its node, until
   * it has returned once: undoing what is undone has to succeed. `ctx.checkpoint.load()` gives what the step saved last, so that
   * it can know what it had begun; what is saved here is for the next try. `ctx.idempotencyKey` is the step's with `/compensate`
   * behind it. What it returns is ignored. Errors have the classes of `run`.
   */
  compensate?(ctx: StepContext, input: Input, output: Output | undefined): Promise<void> | void;
  /** What it will take, asked before a run starts; must have no effects. Undefined: nobody knows. */
  estimate?(ctx: StepContext, input: Input): Promise<StepEstimate | undefined> | StepEstimate | undefined;
  /** Why what the step did cannot be undone (money spent, mail sent): a rollback says so in the run's history and goes on. */
  irreversible?: string;
}

/** Keeps the types of `run` in step with the schemas. */
export function defineStep<Input extends StandardSchema, Output extends StandardSchema>(
  step: Omit<StepDefinition<OutputOf<Input>, OutputOf<Output>>, 'input' | 'output'> & { input: Input; output: Output },
): StepDefinition {
  return step as unknown as StepDefinition;
}

export interface PluginDefinition {
  /** `[a-z][a-z0-9_-]*`: the first half of every step type. */
  name: string;
  /** Semantic version. */
  version: string;
  apiVersion: 1;
  description?: string;
  /** Step names match `[a-z][a-z0-9_]*`. */
  steps: Readonly<Record<string, StepDefinition>>;
  /** What looks for things that start runs. Names as those of steps. */
  sensors?: Readonly<Record<string, SensorDefinition>>;
}

/** Declares a plugin; the default export of its package. */
export function definePlugin(plugin: PluginDefinition): PluginDefinition {
  return plugin;
}
