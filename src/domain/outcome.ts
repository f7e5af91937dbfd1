// What an attempt of a step came to, as a value: expected failure is returned, not thrown.
import type { Json } from '../base/json.ts';
import type { ErrorClass } from './retry-policy.ts';
import type { WaitKind } from './run.ts';

/** An error as it is stored and shown; no stack, no secrets. */
export interface StoredError {
  name: string;
  message: string;
  class: ErrorClass;
  /** For `rate_limited`: what the peer asked for. */
  retryAfterMs?: number;
  /** Further facts for people: exit code, line, log excerpt. */
  details?: Json;
}

export type Outcome =
  | { kind: 'complete'; output: Json }
  | { kind: 'retry'; error: StoredError; delayMs: number; countsAsRetry: boolean }
  | { kind: 'wait'; waitKind: WaitKind; untilMs?: number; form?: Json }
  | { kind: 'fail'; error: StoredError }
  | { kind: 'cancel'; reason: string };
