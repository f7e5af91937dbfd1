// The messages between a node and a step in a process of its own; docs/STEP-PROTOCOL.md describes them for other languages.
import type {
  Artifact,
  Compensation,
  CostEntry,
  CostsSoFar,
  Delivery,
  HostSettings,
  Json,
  LlmAnswer,
  LlmMessage,
  LlmRequest,
  RunToStart,
  StartedRun,
  Suspension,
  SuspensionAnswer,
} from '../api.ts';
import type { PluginSource } from '../load-plugins.ts';

export const protocolVersion = 1;
/** The file descriptor that a step's process writes its messages to; 0 brings the node's, 1 and 2 are the step's own. */
export const messageFd = 3;

/** Context values that are known before the step begins. */
export interface RemoteContext {
  idempotencyKey: string;
  token: number;
  attempt: number;
  tenant: string;
  runId: string;
  pipeline: string;
  step: string;
  item: number | null;
  dryRun: boolean;
  workspace: string;
  env: Readonly<Record<string, string>>;
  traceparent: string | null;
  delivery: Delivery | null;
  compensation: Compensation | null;
  host: HostSettings;
}

export interface RemoteError {
  name: string;
  message: string;
  class: string;
  retryAfterMs?: number;
  key?: string;
  scope?: 'run';
  details?: Json;
}

export interface StartMessage {
  type: 'start';
  protocol: number;
  plugin: PluginSource;
  /** The step's name within its plugin. */
  step: string;
  /** True: what the step did is to be undone. */
  compensates?: boolean;
  /** What the step returned, where it is to be undone; absent where it did not finish. */
  output?: Json | undefined;
  input: unknown;
  context: RemoteContext;
  /** A folder through which the content of artifacts goes, as files. */
  exchange: string;
}

/** From the node. */
export type HostMessage =
  | StartMessage
  | { type: 'abort'; reason: string; message: string }
  | { type: 'answer'; id: number; value: unknown }
  | { type: 'answer'; id: number; error: RemoteError };

/** What a step can ask its node for; each call is answered once. */
export interface Calls {
  'checkpoint.load': { params: Record<string, never>; answer: { state: Json } | Record<string, never> };
  'checkpoint.save': { params: { state: Json }; answer: null };
  'artifacts.put': { params: { name: string; mediaType: string; file: string }; answer: Artifact };
  'artifacts.get': { params: { id: string }; answer: { artifact: Artifact; file: string } };
  'outbox.put': { params: Record<string, never>; answer: { id: string } };
  suspend: { params: Suspension; answer: SuspensionAnswer };
  startRun: { params: RunToStart; answer: StartedRun };
  'llm.ask': { params: LlmRequest; answer: LlmAnswer };
  'cost.add': { params: CostEntry; answer: null };
  'cost.reserve': { params: CostEntry; answer: { id: string } };
  /** Without `actual` nothing was spent. */
  'cost.settle': { params: { id: string; actual?: CostEntry }; answer: null };
  'cost.soFar': { params: Record<string, never>; answer: CostsSoFar };
  'cost.expect': { params: { usd: number }; answer: null };
  'conversation.load': { params: { thread?: string }; answer: LlmMessage[] };
  'conversation.append': { params: { messages: readonly LlmMessage[]; thread?: string }; answer: null };
  'secrets.get': { params: { name: string }; answer: string };
  'sql.open': { params: { name: string; readOnly: boolean }; answer: null };
  'sql.query': {
    params: { name: string; readOnly: boolean; text: string; params: readonly Json[] };
    answer: { rows: Record<string, Json>[]; rowCount: number };
  };
}
export type CallName = keyof Calls;

/** From the step. */
export type StepMessage =
  | { type: 'log'; level: 'debug' | 'info' | 'warn' | 'error'; message: string; fields?: Record<string, unknown> }
  | { type: 'output'; stream: 'stdout' | 'stderr'; chunk: string }
  | { type: 'progress'; done: number; total: number; message?: string }
  | { type: 'event'; event: string; data: Json }
  | { type: 'call'; id: number; method: CallName; params: unknown }
  | { type: 'completed'; output: unknown }
  | { type: 'failed'; error: RemoteError };
