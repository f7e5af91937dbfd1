// Finds the attempt that an error belongs to which nobody waited for: a promise that an inline step forgot, a timer that threw.
import { AsyncLocalStorage } from 'node:async_hooks';

interface Owner {
  /** Undefined once the attempt has ended. */
  fail: ((error: unknown) => void) | undefined;
}

const owners = new AsyncLocalStorage<Owner>();

/**
 * Runs `start`, and rejects also with what its asynchronous parts throw where nobody catches it; for that the process has to
 * hand its uncaught errors to `claimStray`.
 */
export function ownStrays<Value>(start: () => Value): Value | Promise<Awaited<Value>> {
  const owner: Owner = { fail: undefined };
  const stray = new Promise<never>((_, reject) => {
    owner.fail = reject;
  });
  const started = owners.run(owner, start);
  if (!isThenable(started)) {
    owner.fail = undefined;
    return started;
  }
  const ended = Promise.race([started, stray]);
  const forget = () => {
    owner.fail = undefined;
  };
  ended.then(forget, forget);
  return ended as Promise<Awaited<Value>>;
}

/** True where the error is an attempt's that still runs: it has failed by it, and nobody else need care. */
export function claimStray(error: unknown): boolean {
  const owner = owners.getStore();
  if (!owner?.fail) return false;
  owner.fail(error);
  return true;
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}
