// The group commit of a node's writers: one run's bad data is its own matter.
import { describe, expect, it } from 'vitest';
import type { Queryable } from '../../../src/db/database.ts';
import type { FencedWrite } from '../../../src/queue/fenced-write.ts';
import { createCheckpointWriter } from '../../../src/worker/checkpoint-writer.ts';

function write(runId: string): FencedWrite {
  return { runId, tenant: 'default', token: 1, steps: [], transitions: [], seq: 2 };
}

function writerOn(refuse: (runs: readonly string[]) => Error | undefined) {
  const batches: string[][] = [];
  const db: Queryable = {
    async query<Row>(_statement: unknown, params: readonly unknown[] = []) {
      const runs = params[0] as string[];
      batches.push(runs);
      const error = refuse(runs);
      if (error) throw error;
      return { rows: runs.map((run_id) => ({ run_id })) as Row[], count: runs.length };
    },
  };
  const writer = createCheckpointWriter({ connections: [db], node: 'node', now: () => 0, ...silent });
  return { writer, batches };
}

const silent = { onFreed: () => {}, onWritten: () => {} };

describe('the checkpoint writer', () => {
  it('stores the others where the database refuses the data of one', async () => {
    const refused = Object.assign(new Error('invalid input syntax for type timestamp'), { code: '22007' });
    const { writer } = writerOn((runs) => (runs.includes('bad') ? refused : undefined));
    const answers = await Promise.allSettled(['a', 'bad', 'c'].map((run) => writer.checkpoint(write(run))));
    expect(answers).toEqual([
      { status: 'fulfilled', value: true },
      { status: 'rejected', reason: refused },
      { status: 'fulfilled', value: true },
    ]);
  });

  it('does not ask again for each where the database is away', async () => {
    const { writer, batches } = writerOn(() => new Error('Connection terminated'));
    const answers = await Promise.allSettled(['a', 'b'].map((run) => writer.checkpoint(write(run))));
    expect(answers.map((answer) => answer.status)).toEqual(['rejected', 'rejected']);
    expect(batches).toEqual([['a', 'b']]);
  });

  it('lets no line wait for ever behind a longer one', async () => {
    const db: Queryable = {
      async query<Row>(_statement: unknown, params: readonly unknown[] = []) {
        await new Promise((resolve) => setImmediate(resolve));
        const runs = params[0] as string[];
        return { rows: runs.map((run_id) => ({ run_id })) as Row[], count: runs.length };
      },
    };
    const writer = createCheckpointWriter({ connections: [db, db], node: 'node', now: () => 0, ...silent });
    let isOver = false;
    let flushed = 0;
    const busy = Array.from({ length: 50 }, async (_, index) => {
      while (!isOver && flushed < 20_000) {
        await writer.checkpoint(write(`run ${index}`));
        flushed += 1;
        // The others of the batch are asked again first, so that a line is there at all times.
        if (index % 2 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
    });
    while (flushed < 500) await new Promise((resolve) => setImmediate(resolve));
    const released = { state: 'pending', waitKind: null, runAt: null, refundClaim: true, progress: 0, message: null };
    await writer.release({ ...write('released'), ...released, state: 'pending' });
    isOver = true;
    await Promise.all(busy);
    expect(flushed).toBeLessThan(2_000);
  });
});
