// What the host of a step has to provide: one attempt's identity, and the services behind its context.
import type { KeptValue } from '../domain/expressions/kept-value.ts';
import type { StoredError } from '../domain/outcome.ts';
import type { Answer, Question } from '../domain/wait.ts';
import type {
  Artifact,
  CompensationReason,
  CostEntry,
  CostsSoFar,
  Delivery,
  HostSettings,
  Json,
  LlmAnswer,
  LlmMessage,
  LlmRequest,
  ProgramLimits,
  RunToStart,
  SqlConnection,
  StartedRun,
  Suspension,
  SuspensionAnswer,
} from './api.ts';

/** One attempt of a step: everything about it that is known before it begins. */
export interface Attempt {
  readonly runId: string;
  readonly tenant: string;
  readonly pipeline: string;
  readonly step: string;
  /** Position in a fan-out; undefined elsewhere. */
  readonly item: number | undefined;
  /** 1 for the first try. */
  readonly attempt: number;
  /** Fencing token of the claim. */
  readonly token: number;
  readonly idempotencyKey: string;
  readonly dryRun: boolean;
  /** The step's `with`, all expressions evaluated. */
  readonly input: unknown;
  readonly env: Readonly<Record<string, string>>;
  readonly traceparent: string | undefined;
  /** Milliseconds one attempt may take; 0 or Infinity: no limit. */
  readonly timeoutMs: number;
  /** What its processes may use; absent: what the host gives to all. */
  readonly limits?: ProgramLimits;
  /** Aborts with the reason of `createAbortError`: cancelled, lease_lost, shutdown, or timeout (of the run). */
  readonly signal: AbortSignal;
  /** Secret values that templates resolved into `input` or `env`; masked in all that leaves the attempt. */
  readonly secrets: readonly string[];
  /** The input as it may be stored, for the outbox; absent where nothing can be put there. */
  readonly keepInput?: () => { ok: true; value: KeptValue } | { ok: false; error: StoredError };
  /** Set where the outbox makes the call. */
  readonly delivery?: Delivery | undefined;
  readonly compensation?: AttemptedCompensation | undefined;
}

/** Set where the step's `compensate` is to run. */
export interface AttemptedCompensation {
  readonly reason: CompensationReason;
  /** What `run` returned; undefined where it did not finish. */
  readonly output: Json | undefined;
  /** The run that did it: what the step is told as its run's id. Default: the attempt's. */
  readonly doneBy?: string;
}

/** What became of a question of a step. */
export type Asked =
  /** `untilMs`: when time answers, in milliseconds since the epoch; Infinity: never. */
  { kind: 'open'; untilMs: number } | { kind: 'answered'; answer: Answer } | { kind: 'failed'; error: StoredError };

export interface LogLine {
  level: 'debug' | 'info' | 'warn' | 'error';
  /** `log`: said by the step or the host. `stdout`, `stderr`: a line a program printed. */
  stream: 'log' | 'stdout' | 'stderr';
  /** One line for `stdout` and `stderr`. Masked, bounded, storable as text. */
  message: string;
  fields?: { [key: string]: Json };
}

/** `ctx.suspend` of the attempt. */
export type AskPeople = (question: Suspension) => Promise<SuspensionAnswer>;

/**
 * The services behind a StepContext, one object for all attempts of a node. Everything handed to them is masked and
 * within its bounds. The synchronous ones must not throw; the asynchronous ones reject where the attempt no longer
 * holds its lease.
 */
export interface AttemptServices {
  readonly host: HostSettings;
  log(attempt: Attempt, line: LogLine): void;
  progress(attempt: Attempt, progress: { done: number; total: number; message?: string }): void;
  event(attempt: Attempt, type: string, data: Json): void;
  loadCheckpoint(attempt: Attempt): Promise<Json | undefined>;
  saveCheckpoint(attempt: Attempt, state: Json): Promise<void>;
  putArtifact(attempt: Attempt, artifact: { name: string; mediaType: string; content: Uint8Array }): Promise<Artifact>;
  getArtifact(attempt: Attempt, id: string): Promise<{ artifact: Artifact; content: Uint8Array }>;
  /** The value of a secret of the tenant; undefined where there is none. */
  secret(attempt: Attempt, name: string): Promise<string | undefined>;
  /** A named connection; rejects with what is configured where the name is unknown. `readOnly` has to be kept by the database. */
  sql(attempt: Attempt, name: string, options: { readOnly: boolean }): Promise<SqlConnection>;
  /** Puts a call of the attempt's step into the outbox; the id is the same for the same idempotency key. */
  putOutbox(attempt: Attempt, input: KeptValue): Promise<{ id: string }>;
  /** Puts a question, once for its key: it is durable when this says `open`. */
  ask(attempt: Attempt, question: Question): Promise<Asked>;
  /** Undefined where the run is waited for and has not ended. */
  startRun(attempt: Attempt, run: RunToStart & { key: string }): Promise<StartedRun | undefined>;
  /** `ask`: how it puts a question to people, where a budget says that they decide. `signal`: `ctx.signal`. */
  askLlm(attempt: Attempt, request: LlmRequest, ask: AskPeople, signal: AbortSignal): Promise<LlmAnswer>;
  addCost(attempt: Attempt, entry: CostEntry): Promise<void>;
  reserveCost(attempt: Attempt, entry: CostEntry, ask: AskPeople): Promise<{ id: string }>;
  /** Undefined: nothing was spent. */
  settleCost(attempt: Attempt, id: string, actual: CostEntry | undefined): Promise<void>;
  costsSoFar(attempt: Attempt): Promise<CostsSoFar>;
  expectCost(attempt: Attempt, usd: number): Promise<void>;
  loadConversation(attempt: Attempt, thread: string): Promise<LlmMessage[]>;
  /** `key` is the same for the same call of any attempt. */
  appendConversation(
    attempt: Attempt,
    messages: readonly LlmMessage[],
    to: { thread: string; key: string },
  ): Promise<void>;
  /** Absolute path of the run's directory, made where it is missing; called on first use. */
  workspace(attempt: Attempt): string;
}
