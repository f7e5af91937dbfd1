// Turns a query beside an open transaction into an error, where it would wait for that transaction for ever.
import { AsyncLocalStorage } from 'node:async_hooks';

export interface ReentryGuard {
  /** Runs the work of a transaction so that `check` knows it. */
  enter<T>(work: () => Promise<T>): Promise<T>;
  /** Throws inside the asynchronous context of a transaction that is still open. */
  check(operation: string): void;
}

export function createReentryGuard(): ReentryGuard {
  const context = new AsyncLocalStorage<{ open: boolean }>();
  return {
    async enter(work) {
      const state = { open: true };
      try {
        return await context.run(state, work);
      } finally {
        // What the work started and left behind may query freely once the transaction is over.
        state.open = false;
      }
    },
    check(operation) {
      if (context.getStore()?.open) {
        throw new Error(
          `${operation} was sent to the database inside an open transaction, expected it on the transaction (tx.query): ` +
            'beside it, it would wait for the transaction that waits for it',
        );
      }
    },
  };
}

/** Guards nothing; tracking asynchronous contexts makes every promise slower before Node 24. */
export const noReentryGuard: ReentryGuard = { enter: (work) => work(), check: () => {} };
