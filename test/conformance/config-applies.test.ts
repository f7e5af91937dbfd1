// Which configuration is in force: the last apply, whole, however many are applied at the same time.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { recordPipelines } from '../../src/app/apply-pipelines.ts';
import { loadInForce, newestApply } from '../../src/store/config-applies.ts';
import { createTestDatabase, databaseVariants, type TestDatabase } from '../support/database.ts';
import { sql, testPipeline } from '../support/http-world.ts';

const nodes = ['a', 'b', 'c'].map((name) => ({ id: randomUUID(), name }));

describe.each(databaseVariants)('applies on $name', ({ kind, isolation }) => {
  let test: TestDatabase;
  beforeAll(async () => {
    test = await createTestDatabase(kind, isolation === undefined ? {} : { isolation });
  });
  afterAll(() => test.close());

  const set = (hash: string, ...ids: string[]) => ({
    hash,
    pipelines: ids.map((id) => testPipeline(id, { version: hash })),
  });

  it('are numbered, say who and what changed, and what was before', async () => {
    expect(await newestApply(test.db)).toBeUndefined();
    expect(await loadInForce(test.db)).toBeUndefined();
    const [node] = nodes as [(typeof nodes)[0]];
    expect(await recordPipelines(test.db, set('h1', 'p', 'q'), node)).toEqual({ seq: 1, before: undefined });
    const second = await recordPipelines(test.db, set('h2', 'p'), node);
    expect(second).toMatchObject({ seq: 2, before: { seq: 1, hash: 'h1', nodeName: 'a' } });
    await recordPipelines(test.db, set('h2', 'p'), node);
    const rows = await sql(
      test.db,
      'select seq, node_name, hash, pipelines, changed from cronwright.config_applies order by seq',
    );
    expect(rows).toEqual([
      { seq: 1, node_name: 'a', hash: 'h1', pipelines: 2, changed: 2 },
      { seq: 2, node_name: 'a', hash: 'h2', pipelines: 1, changed: 2 },
      { seq: 3, node_name: 'a', hash: 'h2', pipelines: 1, changed: 0 },
    ]);
  });

  it('of several nodes at once come one after the other, and what is in force is the last one whole', async () => {
    for (let round = 0; round < 8; round += 1) {
      const sets = [set(`a${round}`, 'p', 'x'), set(`b${round}`, 'p', 'y', 'z'), set(`c${round}`, 'q')];
      const done = await Promise.all(
        sets.map((one, i) => recordPipelines(test.db, one, nodes[i] as (typeof nodes)[0])),
      );
      expect(new Set(done.map((one) => one.seq)).size).toBe(3);
      const last = done.findIndex((one) => one.seq === Math.max(...done.map(({ seq }) => seq)));
      const inForce = await loadInForce(test.db);
      expect(inForce?.apply).toMatchObject({ hash: sets[last]?.hash, nodeName: nodes[last]?.name });
      const versions = (inForce?.pipelines ?? []).map((one) => `${one.id} ${one.version}`).sort();
      expect(versions).toEqual(sets[last]?.pipelines.map((one) => `${one.id} ${one.version}`).sort());
    }
  });
});
