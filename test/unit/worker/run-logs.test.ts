// The log of runs on its way to the database: nothing is lost while it is away, nothing is mixed between claims.
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import type { Queryable } from '../../../src/db/database.ts';
import { createRunLogs } from '../../../src/worker/run-logs.ts';

/** A database that refuses as long as it is told to, and remembers what it took. */
function takingDatabase() {
  const taken: { runId: string; token: number; seq: number; texts: string[] }[] = [];
  const state = { error: undefined as Error | undefined, taken };
  const db: Queryable = {
    async query(_statement, params = []) {
      if (state.error) throw state.error;
      const [runs, tokens, seqs, , lines] = params as [string[], number[], number[], string[], string[]];
      for (const [i, runId] of runs.entries()) {
        const texts = (JSON.parse(lines[i] ?? '[]') as { text: string }[]).map((line) => line.text);
        taken.push({ runId, token: tokens[i] ?? 0, seq: seqs[i] ?? 0, texts });
      }
      return { rows: [], count: runs.length };
    },
  };
  return { db, state };
}

const owner = (token: number) => ({ runId: 'run', tenant: 'default', token });

describe('the logs of runs', () => {
  it('keep lines that the database could not take, in order', async () => {
    const { db, state } = takingDatabase();
    const errors: unknown[] = [];
    const logs = createRunLogs({ db, clock: systemClock, maxPerRun: 10_000, onError: (error) => errors.push(error) });
    state.error = new Error('the database is away');
    logs.say(owner(1), 'info', 'one');
    await logs.flush(owner(1));
    logs.say(owner(1), 'info', 'two');
    expect([errors.length, state.taken]).toEqual([1, []]);
    state.error = undefined;
    await logs.flush(owner(1));
    expect(state.taken.map(({ seq, texts }) => [seq, texts])).toEqual([
      [1, ['one']],
      [2, ['two']],
    ]);
    await logs.stop();
    expect(state.taken).toHaveLength(2);
  });

  it('keep two claims of a run apart, also where the older one still speaks', async () => {
    const { db, state } = takingDatabase();
    const logs = createRunLogs({ db, clock: systemClock, maxPerRun: 10_000, onError: () => {} });
    logs.say(owner(1), 'info', 'old');
    logs.say(owner(3), 'info', 'new');
    logs.say(owner(1), 'info', 'old again');
    logs.forget(owner(1));
    logs.say(owner(3), 'info', 'new again');
    await logs.stop();
    expect(state.taken).toEqual([
      { runId: 'run', token: 1, seq: 1, texts: ['old', 'old again'] },
      { runId: 'run', token: 3, seq: 1, texts: ['new', 'new again'] },
    ]);
  });
});
