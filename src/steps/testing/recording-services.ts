// Services for a step under test: everything a step does to its host is kept in memory.
import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { decisionsOf, type Question, timeoutAnswer, usualDecision } from '../../domain/wait.ts';
import {
  type Artifact,
  type CostEntry,
  type HostSettings,
  type Json,
  type LlmAnswer,
  type LlmMessage,
  type LlmRequest,
  type RunToStart,
  type SqlConnection,
  StepError,
} from '../api.ts';
import type { Asked, AttemptServices, LogLine } from '../attempt-services.ts';
import { answerFromCheckedTemplate } from '../llm/answer-from-template.ts';

/** What a step did to its host, in the order it did it. */
export interface Recorded {
  log: LogLine[];
  progress: { done: number; total: number; message?: string }[];
  events: { type: string; data: Json }[];
  checkpoint: Json | undefined;
  artifacts: { artifact: Artifact; content: Uint8Array }[];
  /** Calls put into the outbox, each once: by id, the input. */
  outbox: Map<string, unknown>;
  /** Questions that the step put, each once. */
  waits: Question[];
  /** Runs that the step started, by key. */
  startedRuns?: Map<string, RunToStart & { runId: string }>;
  /** What was asked of models, in order. */
  llmRequests: LlmRequest[];
  /** What was spent, and what is held until it is settled. */
  costs: (CostEntry & { id: string; state: 'held' | 'spent' })[];
  /** What the step said that the run will cost, in US dollars; absent: nothing. */
  expectedUsd?: number;
  /** By thread. */
  conversations: Map<string, LlmMessage[]>;
}

/** One thing a step did, as it happens. */
export type Seen =
  | ({ kind: 'log' } & LogLine)
  | { kind: 'progress'; done: number; total: number; message?: string }
  | { kind: 'event'; type: string; data: Json }
  | { kind: 'checkpoint'; state: Json }
  | { kind: 'artifact'; artifact: Artifact };

export interface RecordingOptions {
  host: HostSettings;
  /** Absolute; made on first use. */
  workspaceDir: string;
  secrets: Readonly<Record<string, string>>;
  sql: (name: string, options: { readOnly: boolean }) => Promise<SqlConnection>;
  /** What people answer, by key; a question without one stays open. */
  answers?: Readonly<Record<string, ScriptedAnswer>>;
  /** What a model answers. Default: the request's template. */
  llm?: (request: LlmRequest) => LlmAnswer | Promise<LlmAnswer>;
  onSeen?: (seen: Seen) => void;
}

/** `timeout`: nobody answers in time. */
export type ScriptedAnswer = 'timeout' | { decision?: string; data?: Json; by?: string };

export function createRecorded(checkpoint?: Json): Recorded {
  return {
    log: [],
    progress: [],
    events: [],
    checkpoint,
    artifacts: [],
    outbox: new Map(),
    waits: [],
    llmRequests: [],
    costs: [],
    conversations: new Map(),
  };
}

export function createRecordingServices(recorded: Recorded, options: RecordingOptions): AttemptServices {
  const seen = options.onSeen ?? (() => {});
  return {
    host: options.host,
    log(_attempt, line) {
      recorded.log.push(line);
      seen({ kind: 'log', ...line });
    },
    progress(_attempt, progress) {
      recorded.progress.push(progress);
      seen({ kind: 'progress', ...progress });
    },
    event(_attempt, type, data) {
      recorded.events.push({ type, data });
      seen({ kind: 'event', type, data });
    },
    async loadCheckpoint() {
      return recorded.checkpoint;
    },
    async saveCheckpoint(_attempt, state) {
      recorded.checkpoint = state;
      seen({ kind: 'checkpoint', state });
    },
    async putArtifact(_attempt, { name, mediaType, content }) {
      const sha256 = createHash('sha256').update(content).digest('hex');
      const artifact = { id: randomUUID(), name, mediaType, size: content.length, sha256 };
      recorded.artifacts.push({ artifact, content });
      seen({ kind: 'artifact', artifact });
      return artifact;
    },
    async getArtifact(_attempt, id) {
      const found = recorded.artifacts.find(({ artifact }) => artifact.id === id);
      if (!found) throw new StepError('fatal', `there is no artifact ${id}`, { name: 'NotFound' });
      return found;
    },
    async secret(_attempt, name) {
      return Object.hasOwn(options.secrets, name) ? options.secrets[name] : undefined;
    },
    sql: (_attempt, name, { readOnly }) => options.sql(name, { readOnly }),
    async putOutbox({ idempotencyKey: id }, { value }) {
      recorded.outbox.set(id, value);
      return { id };
    },
    async startRun(_attempt, run) {
      recorded.startedRuns ??= new Map();
      const runId = recorded.startedRuns.get(run.key)?.runId ?? randomUUID();
      recorded.startedRuns.set(run.key, { ...run, runId });
      // As if each that is waited for completed at once.
      return { runId, state: run.wait ? 'completed' : 'pending', failedItems: 0, outputs: run.wait ? {} : null };
    },
    async ask(_attempt, question) {
      const isNew = !recorded.waits.some(({ key }) => key === question.key);
      if (isNew) recorded.waits.push(question);
      const answer = Object.hasOwn(options.answers ?? {}, question.key) ? options.answers?.[question.key] : undefined;
      // As in a run: the attempt that asks ends, and the one after the answer is told.
      if (isNew || answer === undefined) return { kind: 'open', untilMs: Number.POSITIVE_INFINITY };
      return answered(question, answer);
    },
    async askLlm(_attempt, request) {
      recorded.llmRequests.push(request);
      return options.llm ? options.llm(request) : answerFromCheckedTemplate(request);
    },
    async addCost(_attempt, entry) {
      recorded.costs.push({ ...entry, id: randomUUID(), state: 'spent' });
    },
    async reserveCost(_attempt, entry) {
      const id = randomUUID();
      recorded.costs.push({ ...entry, id, state: 'held' });
      return { id };
    },
    async settleCost(_attempt, id, actual) {
      recorded.costs = recorded.costs.flatMap((cost): Recorded['costs'] => {
        if (cost.id !== id) return [cost];
        return actual === undefined ? [] : [{ ...actual, id, state: 'spent' }];
      });
    },
    async costsSoFar({ step }) {
      const spent = recorded.costs.filter(({ state }) => state === 'spent');
      const sum = (of: (cost: CostEntry) => number) => spent.reduce((total, cost) => total + of(cost), 0);
      const tokens = {
        promptTokens: sum(({ units }) => units?.prompt_tokens ?? 0),
        completionTokens: sum(({ units }) => units?.completion_tokens ?? 0),
        cachedTokens: sum(({ units }) => units?.cached_tokens ?? 0),
      };
      const held = recorded.costs.filter(({ state }) => state === 'held');
      const usd = sum((cost) => cost.usd);
      return {
        estimatedUsd: recorded.expectedUsd ?? null,
        actualUsd: usd,
        heldUsd: held.reduce((total, cost) => total + cost.usd, 0),
        ...tokens,
        byStep: spent.length === 0 ? [] : [{ step, usd, ...tokens }],
      };
    },
    async expectCost(_attempt, usd) {
      recorded.expectedUsd = usd;
    },
    async loadConversation(_attempt, thread) {
      return recorded.conversations.get(thread) ?? [];
    },
    async appendConversation(_attempt, messages, { thread }) {
      recorded.conversations.set(thread, [...(recorded.conversations.get(thread) ?? []), ...messages]);
    },
    workspace() {
      mkdirSync(options.workspaceDir, { recursive: true });
      return options.workspaceDir;
    },
  };
}

function answered(question: Question, answer: ScriptedAnswer): Asked {
  if (answer === 'timeout') {
    const timedOut = timeoutAnswer(question, new Date(0));
    return timedOut.ok ? { kind: 'answered', answer: timedOut.answer } : { kind: 'failed', error: timedOut.error };
  }
  const decision = answer.decision ?? usualDecision(question);
  const known = decisionsOf(question);
  if (decision === undefined || (known && !known.includes(decision))) {
    throw new Error(`the answer to ${question.key} has to be one of ${known?.join(', ')}`);
  }
  const { data = null, by = 'tester' } = answer;
  return { kind: 'answered', answer: { decision, data, by, at: new Date(0).toISOString(), timedOut: false } };
}
