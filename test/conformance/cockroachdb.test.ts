// What only a real CockroachDB can show. Where COCKROACH_URL names one, every suite of this folder runs on it as well.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cockroachUrl, createTestDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/http-world.ts';

if (!cockroachUrl) {
  console.warn(
    'SKIPPED: nothing runs on a real CockroachDB, expected COCKROACH_URL=postgresql://root@127.0.0.1:26257/defaultdb',
  );
}

describe.skipIf(!cockroachUrl)('a connection to CockroachDB', () => {
  let test: TestDatabase;
  beforeAll(async () => {
    test = await createTestDatabase('cockroachdb');
  });
  afterAll(() => test.close());

  it('is told apart, keeps the isolation of its server, and gets none of the settings that it lacks', async () => {
    expect(test.db.kind).toBe('cockroachdb');
    expect(test.db.hints).toBeUndefined();
    expect(await sql(test.db, 'show timezone')).toEqual([{ timezone: 'UTC' }]);
    expect(await sql(test.db, 'show transaction_isolation')).toEqual([{ transaction_isolation: 'serializable' }]);
  });
});
