// Waits at start-up for a database that is not up yet.
import { sleepUnlessAborted } from '../base/service.ts';
import { CronwrightError } from '../domain/errors.ts';
import { type Database, statement } from './database.ts';

const firstDelayMs = 500;
const longestDelayMs = 15_000;

/**
 * Returns once the database answers. Tries again after 0.5 s, 1 s, 2 s … at most 15 s while it is unavailable; throws any
 * other error, and the last one when the signal aborts. `onAttempt` hears of each failed attempt.
 */
export async function waitForDatabase(
  db: Database,
  options: {
    signal: AbortSignal;
    onAttempt?: (attempt: { number: number; error: CronwrightError; nextInMs: number }) => void;
  },
): Promise<void> {
  for (let number = 1; ; number++) {
    try {
      await db.query(ping);
      return;
    } catch (error) {
      if (!(error instanceof CronwrightError) || error.code !== 'unavailable') throw error;
      const nextInMs = Math.min(longestDelayMs, firstDelayMs * 2 ** (number - 1));
      options.onAttempt?.({ number, error, nextInMs });
      if (!(await sleepUnlessAborted(nextInMs, options.signal))) throw error;
    }
  }
}

const ping = statement('ping', 'select 1');
