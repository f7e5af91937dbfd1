// How a step fails: an error that says what the host does about it.
import type { Json } from './api.ts';

/** `transient` is retried, `fatal` is not, `rate_limited` waits without using up a retry, `item` fails one item of a fan-out. */
export type ErrorClass = 'transient' | 'fatal' | 'rate_limited' | 'item';

/** Marks a StepError of whichever copy of this file: a plugin may bring its own. */
const stepErrorBrand: unique symbol = Symbol.for('cronwright.StepError');

/** A failure whose class the plugin knows. Anything else thrown is classified by the host (network and IO: transient; else fatal). */
export class StepError extends Error {
  readonly class: ErrorClass;
  /** Milliseconds; only for `rate_limited`. */
  readonly retryAfterMs: number | undefined;
  /** Only for `rate_limited`: what the peer limits. Steps with the same key wait together; default: the key of the step. */
  readonly key: string | undefined;
  /** Facts for people (exit code, line, excerpt of a log). Never secrets. */
  readonly details: Json | undefined;
  /** `run`: no item of a fan-out can do better, so the step fails at once, whatever its `on_item_error` says. */
  readonly scope: 'run' | undefined;

  constructor(
    errorClass: ErrorClass,
    message: string,
    options: {
      name?: string;
      cause?: unknown;
      retryAfterMs?: number;
      key?: string;
      details?: Json;
      scope?: 'run' | undefined;
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = options.name ?? 'StepError';
    this.class = errorClass;
    this.retryAfterMs = options.retryAfterMs;
    this.key = options.key;
    this.details = options.details;
    this.scope = options.scope;
  }

  get [stepErrorBrand](): true {
    return true;
  }

  /** `instanceof StepError` holds for another copy's errors too; for classes derived from it the usual rule does. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    // biome-ignore lint/complexity/noThisInStatic: `this` is the derived class where one is asked
    if (this !== StepError) return Function.prototype[Symbol.hasInstance].call(this, value);
    return typeof value === 'object' && value !== null && stepErrorBrand in value;
  }
}
