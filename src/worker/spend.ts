// What attempts spend: ledger, budgets and kept answers behind `ctx.cost` and `ctx.llm`; what they say: the threads of the run.
import { uuidv7 } from 'uuidv7';
import type { Clock } from '../base/clock.ts';
import type { Database } from '../db/database.ts';
import type { Budgets } from '../domain/budget.ts';
import type { EventBus } from '../observe/events.ts';
import { type CostEntry, type CostsSoFar, type LlmMessage, StepError } from '../steps/api.ts';
import type { AskPeople, Attempt } from '../steps/attempt-services.ts';
import { appendConversation, type Exchange, loadConversation } from '../store/conversations.ts';
import type { CostPlace, Spent, SpentOnModel } from '../store/cost-place.ts';
import { expectCost } from '../store/cost-totals.ts';
import { addCost, loseCost, monthOf, settleCost } from '../store/costs.ts';
import { findLlmResponse, type LlmResponse } from '../store/llm-responses.ts';
import { readRunCosts, readStepCosts } from '../store/run-costs.ts';
import { settleLlmCall } from '../store/settle-llm-call.ts';
import type { ChildDeps } from './child-runs.ts';
import type { LiveRun } from './live-run.ts';
import { readCostEntry } from './read-cost-entry.ts';
import { reserveWithin } from './reserve-within.ts';
import { tellBudgets, tellSpent } from './tell-budgets.ts';
import { RunLostError, whileOurs } from './while-ours.ts';

export interface SpendingDeps {
  db: Database;
  clock: Clock;
  events: EventBus;
  children: ChildDeps;
  budgets: () => Budgets;
  /** The run in memory; undefined once it is no longer this node's. */
  run: (runId: string) => LiveRun | undefined;
}

/** What a call of a model came to. */
export interface EndedCall {
  /** From `reserve`; absent: nothing was held. */
  reservationId?: string;
  /** What it really cost; absent: nothing. */
  cost?: CostEntry & { llm: SpentOnModel };
  /** What equal requests of the tenant are answered with from now on. */
  response?: { hash: string; response: LlmResponse; ttlMs: number };
  /** What is said in a thread of the run. */
  exchange?: Exchange;
}

/** The money and the words of attempts; everything is durable when it returns. */
export interface Spending {
  add(attempt: Attempt, entry: CostEntry): Promise<void>;
  /** Throws a fatal `BudgetExceeded`, or waits for people by `ask`. `llm` says of what model the money is held for. */
  reserve(attempt: Attempt, entry: CostEntry, ask: AskPeople, llm?: ModelOf): Promise<{ id: string }>;
  /** Undefined: nothing was spent. */
  settle(attempt: Attempt, id: string, actual: CostEntry | undefined): Promise<void>;
  soFar(attempt: Attempt): Promise<CostsSoFar>;
  /** US dollars that the whole run is expected to cost. */
  expect(attempt: Attempt, usd: number): Promise<void>;
  /** Nobody knows whether what was held was spent (the answer broke off): it counts at its estimate, as `unknown`. */
  lose(attempt: Attempt, id: string): Promise<void>;
  /** What an equal request of the tenant was answered. */
  findResponse(attempt: Attempt, hash: string): Promise<LlmResponse | undefined>;
  /** Ledger, kept answer and thread in one transaction. Rejects where the run is somebody else's: the money is noted then, the words are not. */
  settleCall(attempt: Attempt, call: EndedCall): Promise<void>;
  loadConversation(attempt: Attempt, thread: string): Promise<LlmMessage[]>;
  appendConversation(
    attempt: Attempt,
    messages: readonly LlmMessage[],
    to: { thread: string; key: string },
  ): Promise<void>;
}

export type ModelOf = Pick<SpentOnModel, 'provider' | 'model' | 'promptHash'>;

export function createSpending(deps: SpendingDeps): Spending {
  /** Whose part the run carries out is known while it is in memory; money may be spent for longer. */
  const places = new WeakMap<Attempt, CostPlace>();
  const run = (attempt: Attempt) => deps.run(attempt.runId);
  const db = (attempt: Attempt): Database => {
    const live = run(attempt);
    return live ? whileOurs(live, deps).db : deps.db;
  };
  const month = () => monthOf(deps.clock.now());
  const placeOf = (attempt: Attempt): CostPlace => {
    const live = run(attempt);
    if (live) live.usesLedger = true;
    const known = places.get(attempt) ?? placeOfAttempt(attempt, live);
    places.set(attempt, known);
    return known;
  };

  return {
    async add(attempt, entry) {
      const spent = readCostEntry(entry);
      const sums = await addCost(db(attempt), uuidv7(), placeOf(attempt), spent, month());
      if (sums.length === 0) return;
      tellSpent(attempt, spent, deps);
      await tellBudgets(run(attempt), attempt, sums, deps);
    },
    reserve(attempt, entry, ask, llm) {
      const spent: Spent = { ...readCostEntry(entry), llm: llm && { ...llm, ...noTokens } };
      const asked = { attempt, by: placeOf(attempt), spent, month: month(), ask };
      return reserveWithin(run(attempt), asked, { ...deps, db: db(attempt) });
    },
    async settle(attempt, id, actual) {
      const spent = actual && readCostEntry(actual);
      const sums = await settleCost(db(attempt), attempt.tenant, checkedId(id), spent);
      if (spent === undefined || sums.length === 0) return;
      tellSpent(attempt, spent, deps);
      await tellBudgets(run(attempt), attempt, sums, deps);
    },
    async soFar(attempt) {
      const { tenant, wholeId } = placeOf(attempt);
      const [{ usd, ...run }, steps] = await Promise.all([
        readRunCosts(db(attempt), tenant, wholeId),
        readStepCosts(db(attempt), tenant, wholeId),
      ]);
      return { ...run, actualUsd: usd, byStep: steps.map(({ entries: _entries, ...step }) => step) };
    },
    async expect(attempt, usd) {
      const expected = readCostEntry({ what: 'the run', usd }).usd;
      await expectCost(db(attempt), attempt.tenant, placeOf(attempt).wholeId, expected);
    },
    async lose(attempt, id) {
      await loseCost(db(attempt), attempt.tenant, checkedId(id));
    },
    findResponse: (attempt, hash) => findLlmResponse(db(attempt), attempt.tenant, hash),
    async settleCall(attempt, { cost, ...call }) {
      const spent = cost && { ...readCostEntry(cost), llm: cost.llm };
      const ended = { ...call, cost: spent, by: placeOf(attempt), month: month() };
      const { isOurs, sums } = await settleLlmCall(db(attempt), ended);
      if (spent !== undefined && sums.length > 0) {
        tellSpent(attempt, spent, deps);
        await tellBudgets(run(attempt), attempt, sums, deps);
      }
      if (!isOurs) throw new RunLostError(attempt.runId);
    },
    async loadConversation(attempt, thread) {
      return loadConversation(db(attempt), placeOf(attempt), readThread(thread));
    },
    async appendConversation(attempt, messages, { thread, key }) {
      const exchange = { thread: readThread(thread), key, messages: readMessages(messages) };
      if (exchange.messages.length === 0) return;
      const isOurs = await appendConversation(db(attempt), placeOf(attempt), exchange);
      if (!isOurs) throw new RunLostError(attempt.runId);
    },
  };
}

const noTokens = { promptTokens: 0, completionTokens: 0, cachedTokens: 0 };

function placeOfAttempt(attempt: Attempt, run: LiveRun | undefined): CostPlace {
  const { tenant, pipeline, runId, step, item = -1, attempt: n, token, idempotencyKey } = attempt;
  const wholeId = run?.part?.parentId ?? runId;
  return { tenant, pipeline, runId, wholeId, step, item, attempt: n, token, idempotencyKey };
}

function checkedId(id: string): string {
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)) return id;
  throw new StepError('fatal', `cost.settle: id is ${JSON.stringify(id)}, expected what cost.reserve has returned`, {
    name: 'InvalidCost',
  });
}

function readThread(thread: string): string {
  if (typeof thread === 'string' && thread.length > 0 && thread.length <= 200) return thread;
  const text = `conversation: thread is ${JSON.stringify(thread)?.slice(0, 200)}, expected 1 to 200 characters`;
  throw new StepError('fatal', text, { name: 'InvalidConversation' });
}

function readMessages(messages: readonly LlmMessage[]): readonly LlmMessage[] {
  const isMessage = (one: LlmMessage | undefined) =>
    ['system', 'user', 'assistant'].includes(one?.role as string) && typeof one?.content === 'string';
  if (Array.isArray(messages) && messages.every(isMessage)) return messages;
  const got = JSON.stringify(messages)?.slice(0, 200);
  const text = `conversation: messages is ${got}, expected a list of {role: system | user | assistant, content: text}`;
  throw new StepError('fatal', text, { name: 'InvalidConversation' });
}
