// The error of an attempt as a value: expected failure is kept and shown, not thrown.
import type { Json } from '../base/json.ts';
import type { ErrorClass } from './retry-policy.ts';

/** An error as it is stored and shown; no stack, no secrets. */
export interface StoredError {
  name: string;
  message: string;
  class: ErrorClass;
  /** For `rate_limited`: what the peer asked for. */
  retryAfterMs?: number;
  /** For `rate_limited`: what else is limited with it. */
  key?: string;
  /** No item of a fan-out can do better: all of them end with this one. */
  scope?: 'run';
  /** Further facts for people: exit code, line, log excerpt. */
  details?: Json;
}
