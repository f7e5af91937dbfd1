// What children see of their parent is loaded once for a batch, however many parents its children have.
import { expect, it } from 'vitest';
import type { Queryable } from '../../../src/db/database.ts';
import type { ClaimedRun, RunRecord } from '../../../src/queue/claim-runs.ts';
import type { CompiledPipeline, CompiledStep } from '../../../src/worker/compiled-pipeline.ts';
import { createParentScopes } from '../../../src/worker/parent-scope.ts';

it('each parent is read once a batch, also where the children of many take turns', async () => {
  const read: unknown[] = [];
  const db: Queryable = {
    async query(_statement, params = []) {
      read.push(params[0]);
      return { rows: [], count: 0 };
    },
  };
  const scopes = createParentScopes({ db, apiUrl: () => undefined }).forBatch();
  const step = { definition: { id: 'part' } } as CompiledStep;
  for (let i = 0; i < 200; i += 1) {
    const record = { parentId: `parent-${i % 40}`, child: { generation: 0 } } as RunRecord;
    await scopes.of({} as ClaimedRun, record, {} as CompiledPipeline, step);
  }
  expect(read).toHaveLength(40);
});
