// What a run waits for when it waits for a person or a time: the question, who may answer it, and what an answer says.
import type { Json } from '../base/json.ts';
import type { StoredError } from './outcome.ts';

export const askedKinds = ['approval', 'manual_edit', 'ai_fix', 'timer', 'budget'] as const;
export type AskedKind = (typeof askedKinds)[number];

export const timeoutPolicies = ['fail', 'approve', 'reject', 'continue'] as const;
export type TimeoutPolicy = (typeof timeoutPolicies)[number];

/** Who asks: the step, or the worker in its place; `fix`: the record of a repair that no person made. */
export type AskedBy = 'step' | 'exhausted' | 'error' | 'interrupted' | 'fix';

export type WaitState = 'open' | 'answered' | 'timed_out' | 'cancelled';

export interface Question {
  kind: AskedKind;
  /** Unique within the step (and item) of the run. */
  key: string;
  message: string | null;
  form: Json;
  /** The only decisions there are; null: the kind decides. */
  choices: readonly string[] | null;
  /** Names of actors; null: anybody. */
  approvers: readonly string[] | null;
  starterMayAnswer: boolean;
  /** Milliseconds; null: for ever. */
  timeoutMs: number | null;
  onTimeout: TimeoutPolicy;
}

export interface Answer {
  decision: string;
  data: Json;
  /** Null where time has answered. */
  by: string | null;
  /** ISO 8601 in UTC. */
  at: string;
  timedOut: boolean;
}

const timeoutDecisions: Readonly<Record<Exclude<TimeoutPolicy, 'fail'>, string>> = {
  approve: 'approve',
  reject: 'reject',
  continue: 'continue',
};

/** What a question that nobody answered in time comes to: an answer, or an error. */
export function timeoutAnswer(
  asked: { kind: AskedKind; key: string; onTimeout: TimeoutPolicy },
  at: Date,
): { ok: true; answer: Answer } | { ok: false; error: StoredError } {
  if (asked.onTimeout === 'fail') {
    const message = `nobody answered ${asked.key} in time`;
    return { ok: false, error: { name: 'WaitTimedOut', message, class: 'fatal' } };
  }
  const decision = timeoutDecisions[asked.onTimeout];
  return { ok: true, answer: { decision, data: null, by: null, at: at.toISOString(), timedOut: true } };
}

/** Of several the one that is shown first: what people can end before what time ends. */
export function firstShown<Wait extends { kind: AskedKind | 'children' }>(open: readonly Wait[]): Wait {
  return open.find(({ kind }) => kind !== 'timer') ?? (open[0] as Wait);
}

/** The decisions that a question takes; undefined: any. */
export function decisionsOf(asked: {
  kind: AskedKind;
  choices: readonly string[] | null;
}): readonly string[] | undefined {
  if (asked.choices !== null) return asked.choices;
  return asked.kind === 'approval' || asked.kind === 'budget' ? ['approve', 'reject'] : undefined;
}

/** What an answer without a decision means; undefined: it has to say. */
export function usualDecision(asked: { kind: AskedKind; choices: readonly string[] | null }): string | undefined {
  const decisions = decisionsOf(asked);
  if (decisions === undefined) return 'continue';
  if (decisions.length === 1) return decisions[0];
  return asked.kind === 'manual_edit' ? decisions.find((one) => one === 'manual_edit' || one === 'retry') : undefined;
}
