import { describe, expect, it } from 'vitest';
import { createEnqueueBatcher } from '../../../src/control/enqueue-batcher.ts';
import { CronwrightError } from '../../../src/domain/errors.ts';
import { createNewRun, type NewRun } from '../../../src/domain/new-run.ts';
import { testPipeline } from '../../support/http-world.ts';

const newRun = () => createNewRun(testPipeline('plain'), 'light', { origin: 'api' });
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** A write that ends when told. */
function heldWrites() {
  const batches: { runs: readonly NewRun[]; end(): void; fail(error: unknown): void }[] = [];
  const write = (runs: readonly NewRun[]) =>
    new Promise<void>((resolve, reject) => {
      batches.push({ runs, end: resolve, fail: reject });
    });
  return { batches, write };
}

describe('the enqueue batcher', () => {
  it('writes what one turn of the event loop brings at once', async () => {
    const { batches, write } = heldWrites();
    const batcher = createEnqueueBatcher(write);
    const runs = [newRun(), newRun(), newRun()];
    const done = Promise.all(runs.map((run) => batcher.enqueue(run)));
    await turn();
    expect(batches.map((batch) => batch.runs)).toEqual([runs]);
    batches[0]?.end();
    await done;
  });

  it('has one write under way, and collects meanwhile', async () => {
    const { batches, write } = heldWrites();
    const batcher = createEnqueueBatcher(write);
    const done: Promise<void>[] = [];
    for (let i = 0; i < 10; i += 1) {
      done.push(batcher.enqueue(newRun()));
      await turn();
    }
    expect(batches.map((batch) => batch.runs.length)).toEqual([1]);
    batches[0]?.end();
    await turn();
    await turn();
    expect(batches.map((batch) => batch.runs.length)).toEqual([1, 9]);
    for (const batch of batches) batch.end();
    await Promise.all(done);
  });

  it('cuts what is too much for one write', async () => {
    const { batches, write } = heldWrites();
    const batcher = createEnqueueBatcher(write);
    const done = Array.from({ length: 700 }, () => batcher.enqueue(newRun()));
    await turn();
    batches[0]?.end();
    await turn();
    await turn();
    expect(batches.map((batch) => batch.runs.length)).toEqual([500, 200]);
    batches[1]?.end();
    await Promise.all(done);
  });

  it('fails only the run that is at fault', async () => {
    const bad = newRun();
    const written: NewRun[] = [];
    const batcher = createEnqueueBatcher(async (runs) => {
      if (runs.includes(bad)) throw new Error('refused');
      written.push(...runs);
    });
    const good = [newRun(), newRun()];
    const results = await Promise.allSettled([good[0], bad, good[1]].map((run) => batcher.enqueue(run ?? bad)));
    expect(results.map((result) => result.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(written).toEqual(good);
  });

  it('does not ask a database that is gone once for each run', async () => {
    let asked = 0;
    const batcher = createEnqueueBatcher(async () => {
      asked += 1;
      throw new CronwrightError('unavailable', 'gone');
    });
    const results = await Promise.allSettled([1, 2, 3].map(() => batcher.enqueue(newRun())));
    expect(results.every((result) => result.status === 'rejected')).toBe(true);
    expect(asked).toBe(1);
  });
});
