// How long the outbox waits before it tries a call again.
import type { StoredError } from './outcome.ts';

const seconds = 1_000;
const minutes = 60 * seconds;
const hours = 60 * minutes;

/** Waits after the first, second, … failed attempt, in milliseconds: the schedule that Standard Webhooks recommends, and a day more. */
const waits = [
  ...[5 * seconds, 5 * minutes, 30 * minutes],
  ...[2 * hours, 5 * hours, 10 * hours, 14 * hours, 20 * hours, 24 * hours],
];

/** Attempts in all; about three days and four hours. */
export const mostDeliveryAttempts = waits.length + 1;

/** The longest wait that a peer may ask for, in milliseconds. */
const longestWaitMs = 24 * hours;
/** Share of a wait that is added at random, so that what failed together does not come back together. */
const jitter = 0.1;

export type DeliveryDecision = { kind: 'retry'; delayMs: number } | { kind: 'give_up' };

/** `attempts` that were made, the failed one included; `random` 0…1. What a peer asks for (Retry-After) is waited for. */
export function decideDelivery(attempts: number, error: StoredError, random: number): DeliveryDecision {
  if (error.class === 'fatal' || error.class === 'item') return { kind: 'give_up' };
  const wait = waits[attempts - 1];
  if (wait === undefined) return { kind: 'give_up' };
  const asked = Math.min(error.retryAfterMs ?? 0, longestWaitMs);
  return { kind: 'retry', delayMs: Math.round(Math.max(wait, asked) * (1 + jitter * random)) };
}
