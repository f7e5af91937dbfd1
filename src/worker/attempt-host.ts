// The services behind every step's context on this node: log, progress, artifacts, secrets, connections, workspace.
import { cpSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import type { Json } from '../base/json.ts';
import type { Database } from '../db/database.ts';
import type { Budgets } from '../domain/budget.ts';
import { CronwrightError } from '../domain/errors.ts';
import type { EventBus } from '../observe/events.ts';
import { putOutbox } from '../queue/put-outbox.ts';
import type { HostSettings, SqlConnection } from '../steps/api.ts';
import type { Attempt, AttemptServices } from '../steps/attempt-services.ts';
import type { ArtifactFiles } from '../store/artifact-files.ts';
import { getArtifact, putArtifact } from '../store/artifacts.ts';
import type { Secrets } from '../store/secrets.ts';
import { loadStepCheckpoint, saveStepCheckpoint } from '../store/step-checkpoints.ts';
import { type AskLlmDeps, createAskLlm } from './ask-llm.ts';
import { askQuestion } from './ask-question.ts';
import type { ChildDeps } from './child-runs.ts';
import { type LiveRun, noteTransition } from './live-run.ts';
import type { RunLogs } from './run-logs.ts';
import { reportItem, reportProgress } from './run-progress.ts';
import { createSpending } from './spend.ts';
import { startChildRun } from './start-child-run.ts';
import { whileOurs } from './while-ours.ts';

type Progress = Parameters<AttemptServices['progress']>[1];

export interface AttemptHostOptions {
  db: Database;
  /** Where artifacts that are too large for the database go; undefined: nowhere. */
  artifactFiles: ArtifactFiles | undefined;
  clock: Clock;
  events: EventBus;
  logs: RunLogs;
  secrets: Secrets;
  host: HostSettings;
  /** The run in memory; undefined once it is no longer this node's. */
  run: (runId: string) => LiveRun | undefined;
  /** The run has files of its own on this node. */
  onWorkspace: (runId: string) => void;
  /** A call was put into the outbox. */
  onOutbox: () => void;
  children: ChildDeps;
  /** What may be spent, as the settings say now. */
  budgets: () => Budgets;
  /** The language models that steps may ask, and the quiet that they asked for. */
  llm: Pick<AskLlmDeps, 'settings' | 'rateLimits' | 'random'>;
  /** A named connection of the configuration. */
  connection: (name: string, readOnly: boolean) => Promise<SqlConnection>;
}

export function createAttemptHost(options: AttemptHostOptions): AttemptServices {
  const { db, clock, logs } = options;
  const artifactStore = { db, files: options.artifactFiles };
  const about = (attempt: Attempt) => ({
    step: attempt.step,
    ...(attempt.item === undefined ? {} : { item: attempt.item }),
    attempt: attempt.attempt,
  });
  const stepKey = (attempt: Attempt) => ({ ...attempt, item: attempt.item ?? -1 });
  const spending = createSpending(options);
  /** What attempts have last said of themselves. */
  const said = new WeakMap<Attempt, string>();

  function show(attempt: Attempt, { message, ...share }: Progress): void {
    const run = options.run(attempt.runId);
    const step = run?.compiled.byId.get(attempt.step);
    // Undoing a step says nothing of how far the run is.
    if (!run || !step || attempt.compensation) return;
    if (attempt.item === undefined)
      reportProgress(run, step, message === undefined ? share : { ...share, message }, clock);
    else if (message !== undefined) reportItem(run, step, message, clock);
  }

  /** How far an answer is stands beside what the step says: that its step is nearly done, it does not know. */
  function showAnswer(attempt: Attempt, progress: Progress): void {
    const own = said.get(attempt);
    show(attempt, own === undefined ? progress : { done: 0, total: 1, message: `${own} (${progress.message})` });
  }

  const services: AttemptServices = {
    host: options.host,
    log(attempt, line) {
      const { message, ...rest } = line;
      logs.append(attempt, { at: Math.round(clock.now()), ...rest, text: message, ...about(attempt) });
    },
    progress(attempt, progress) {
      if (progress.message !== undefined) said.set(attempt, progress.message);
      show(attempt, progress);
    },
    event(attempt, type, data) {
      const run = options.run(attempt.runId);
      if (run) noteTransition(run, { event: `step.event.${type}`, ...about(attempt), data }, clock);
    },
    async loadCheckpoint(attempt) {
      return loadStepCheckpoint(db, stepKey(attempt));
    },
    async saveCheckpoint(attempt, state: Json) {
      if (await saveStepCheckpoint(db, stepKey(attempt), state)) return;
      throw new CronwrightError('conflict', `the run ${attempt.runId} now belongs to another worker`);
    },
    async putArtifact(attempt, artifact) {
      return putArtifact(artifactStore, {
        ...artifact,
        ...about(attempt),
        item: attempt.item,
        tenant: attempt.tenant,
        runId: attempt.runId,
      });
    },
    async getArtifact(attempt, id) {
      const found = await getArtifact(artifactStore, attempt.tenant, id);
      if (!found) throw new CronwrightError('not_found', `there is no artifact ${id}`);
      return found;
    },
    async putOutbox(attempt, input) {
      const stepType = options.run(attempt.runId)?.compiled.byId.get(attempt.step)?.definition.uses;
      const id =
        stepType === undefined
          ? undefined
          : await putOutbox(db, { ...attempt, stepType, input: JSON.stringify(input) });
      if (id === undefined) {
        throw new CronwrightError('conflict', `the run ${attempt.runId} now belongs to another worker`);
      }
      options.onOutbox();
      return { id };
    },
    secret: (_attempt, name) => options.secrets.get(name),
    sql: (_attempt, name, { readOnly }) => options.connection(name, readOnly),
    startRun(attempt, request) {
      const run = options.run(attempt.runId);
      return startChildRun(run, attempt, request, run ? whileOurs(run, options) : options);
    },
    ask(attempt, question) {
      const run = options.run(attempt.runId);
      return askQuestion(run, attempt, question, run ? whileOurs(run, options) : options);
    },
    askLlm: (...asked) => askLlm(...asked),
    addCost: spending.add,
    reserveCost: (attempt, entry, ask) => spending.reserve(attempt, entry, ask),
    settleCost: spending.settle,
    costsSoFar: spending.soFar,
    expectCost: spending.expect,
    loadConversation: spending.loadConversation,
    appendConversation: spending.appendConversation,
    workspace(attempt) {
      const directory = workspacePath(options.host.dataDir, attempt.runId);
      if (!existsSync(directory)) makeWorkspace(options, attempt, directory);
      options.onWorkspace(attempt.runId);
      return directory;
    },
  };
  const { log } = services;
  const askLlm = createAskLlm({ ...options, ...options.llm, spending, progress: showAnswer, log });
  return services;
}

/** Where a run keeps its files on this node. */
export function workspacePath(dataDir: string, runId: string): string {
  return join(dataDir, 'workspaces', runId);
}

/** A run that goes on from another's checkpoints begins with a copy of that run's files. */
function makeWorkspace(options: AttemptHostOptions, attempt: Attempt, directory: string): void {
  const run = options.run(attempt.runId);
  // What is rebuilt begins empty: its files elsewhere were newer than these.
  const goesOn = run?.rebuiltFrom === undefined && !run?.record.child;
  const parentId = goesOn ? run?.record.parentId : undefined;
  const parent = parentId ? workspacePath(options.host.dataDir, parentId) : undefined;
  mkdirSync(join(options.host.dataDir, 'workspaces'), { recursive: true });
  if (parent && existsSync(parent)) copyWorkspace(parent, directory);
  else mkdirSync(directory, { recursive: true });
}

/** Whole or not at all: half of the files would be taken for all of them after a crash. */
export function copyWorkspace(from: string, to: string): void {
  const partial = `${to}.partial`;
  rmSync(partial, { recursive: true, force: true });
  try {
    cpSync(from, partial, { recursive: true, verbatimSymlinks: true });
    renameSync(partial, to);
  } catch (error) {
    rmSync(partial, { recursive: true, force: true });
    throw error;
  }
}
