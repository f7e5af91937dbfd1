// Slots of a queue, order keys, ageing and quiet peers, on every driver and isolation level.
import { uuidv7 } from 'uuidv7';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Database } from '../../src/db/database.ts';
import { migrate } from '../../src/db/migrate.ts';
import { admitRuns, findBlockedKeys } from '../../src/queue/admit-runs.ts';
import { ageRuns } from '../../src/queue/age-runs.ts';
import { claimRuns } from '../../src/queue/claim-runs.ts';
import { enqueueRuns } from '../../src/queue/enqueue-runs.ts';
import {
  firstIdOf,
  forgetFairTags,
  noteFairTags,
  readFairTags,
  readUnnotedFairTags,
} from '../../src/queue/fair-tags.ts';
import { closeRateLimit, readRateLimit } from '../../src/queue/rate-limits.ts';
import { setLimits } from '../../src/queue/set-limits.ts';
import { createTestDatabase, databaseVariants, optionsOf, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/http-world.ts';
import { newRunOf } from '../support/new-run.ts';

const node = uuidv7();

describe.each(databaseVariants)('limits on $name', (variant) => {
  let test: TestDatabase;
  let db: Database;

  beforeAll(async () => {
    test = await createTestDatabase(variant.kind, optionsOf(variant));
    db = test.db;
    await migrate(db);
  });
  afterAll(() => test.close());
  beforeEach(async () => {
    for (const table of ['queue', 'runs', 'slots', 'fair_tags', 'rate_limits'])
      await sql(db, `delete from cronwright.${table}`);
  });

  it('the slots of a queue are one line for all tenants, best first, while many admit at once', async () => {
    await setLimits(db, [{ tenant: '*', key: 'queue:narrow', limit: 2 }]);
    const tenants = ['a', 'b', 'c'];
    const runs = Array.from({ length: 30 }, (_, i) =>
      newRunOf('narrow', { tenant: tenants[i % 3] as string, limits: ['queue:narrow'], priority: i === 29 ? 1 : 5 }),
    );
    await enqueueRuns(db, runs);
    const started: string[] = [];
    let most = 0;
    const deadline = Date.now() + 30_000;
    while (started.length < runs.length && Date.now() < deadline) {
      await Promise.all(Array.from({ length: 4 }, async () => admitRuns(db, await findBlockedKeys(db))));
      const claimed = await claimRuns(db, { routes: ['narrow'], weight: 'light', limit: 10, node, leaseMs: 30_000 });
      most = Math.max(most, claimed.length);
      started.push(...claimed.map((run) => run.runId));
      const ids = claimed.map((run) => run.runId);
      await sql(db, 'update cronwright.slots set run_id = null where run_id = any($1::uuid[])', [ids]);
      await sql(db, 'delete from cronwright.queue where run_id = any($1::uuid[])', [ids]);
    }
    expect(most).toBe(2);
    expect(started[0]).toBe(runs[29]?.id);
    expect([...started.slice(1)].sort()).toEqual(
      runs
        .slice(0, 29)
        .map((run) => run.id)
        .sort(),
    );
  });

  it('a run that needs slots of its tenant and its queue takes both or waits for the one that lacks', async () => {
    await setLimits(db, [
      { tenant: 'a', key: 'tenant:a', limit: 1 },
      { tenant: '*', key: 'queue:narrow', limit: 1 },
    ]);
    const limits = ['tenant:a', 'queue:narrow'];
    const [other, both] = [
      newRunOf('narrow', { tenant: 'b', limits: ['queue:narrow'] }),
      newRunOf('narrow', { tenant: 'a', limits }),
    ];
    await enqueueRuns(db, [other]);
    expect(await admitRuns(db, await findBlockedKeys(db))).toEqual([other.id]);
    await enqueueRuns(db, [both]);
    expect(await admitRuns(db, await findBlockedKeys(db))).toEqual([]);
    const blocked = await sql<{ blocked_on: string }>(db, 'select blocked_on from cronwright.queue where run_id = $1', [
      both.id,
    ]);
    expect(blocked[0]?.blocked_on).toBe('queue:narrow');
    expect(await sql(db, 'select 1 from cronwright.slots where run_id = $1', [both.id])).toEqual([]);
    await sql(db, 'update cronwright.slots set run_id = null where run_id = $1', [other.id]);
    // As a finish names it: the slot's own row.
    expect(await admitRuns(db, [{ tenant: '*', key: 'queue:narrow' }])).toEqual([both.id]);
    expect(await sql(db, 'select 1 from cronwright.slots where run_id = $1', [both.id])).toHaveLength(2);
  });

  it('order keys that nodes give out at the same time add up, and the virtual time only rises', async () => {
    const note = { tenant: 'a', queue: 'default', priority: 5, tag: 3_000, added: 3_000 };
    const time = { tenant: '', queue: 'default', priority: 5, added: 0 };
    await Promise.all([
      noteFairTags(db, [note, { ...time, tag: 500 }]),
      noteFairTags(db, [note, { ...time, tag: 400 }]),
    ]);
    const tags = await readFairTags(db, 60_000);
    expect(tags).toHaveLength(2);
    expect(tags).toContainEqual({ tenant: 'a', queue: 'default', priority: 5, tag: 6_000 });
    expect(tags).toContainEqual({ tenant: '', queue: 'default', priority: 5, tag: 500 });
    expect(await readFairTags(db, -1_000)).toEqual([]);
  });

  it('what was given out after the last note is read from the queue, by ids in order of time', async () => {
    expect(await readUnnotedFairTags(db)).toEqual([]);
    await noteFairTags(db, [{ tenant: 'a', queue: 'default', priority: 5, tag: 1_000, added: 1_000 }]);
    const old = newRunOf('default', { id: firstIdOf(Date.now() - 3_600_000), tenant: 'a' });
    const [first, last] = [newRunOf('default', { tenant: 'a' }), newRunOf('default', { tenant: 'a', runsOn: ['gpu'] })];
    await enqueueRuns(db, [
      { ...old, fair: 9_000 },
      { ...first, fair: 2_000 },
      { ...last, fair: 3_000 },
    ]);
    expect(await readUnnotedFairTags(db)).toEqual([{ tenant: 'a', queue: 'default', priority: 5, tag: 3_000 }]);
  });

  it('forgets tenants that have nothing before the virtual time, an hour later', async () => {
    await noteFairTags(db, [
      { tenant: '', queue: 'default', priority: 5, tag: 5_000, added: 0 },
      { tenant: 'past', queue: 'default', priority: 5, tag: 4_000, added: 1_000 },
      { tenant: 'ahead', queue: 'default', priority: 5, tag: 9_000, added: 1_000 },
    ]);
    await forgetFairTags(db);
    expect(await readFairTags(db, 60_000)).toHaveLength(3);
    await sql(db, "update cronwright.fair_tags set updated_at = now() - interval '2 hours'");
    await forgetFairTags(db);
    const left = await readFairTags(db, 86_400_000);
    expect(left.map((one) => one.tenant).sort()).toEqual(['', 'ahead']);
  });

  it('a run that ages goes to its new line at the time of that line, and never twice for one wait', async () => {
    await noteFairTags(db, [{ tenant: '', queue: 'default', priority: 4, tag: 700, added: 0 }]);
    const runs = [
      newRunOf('default', { fair: 90_000 }),
      newRunOf('default', { fair: 500 }),
      newRunOf('default', { fair: 1 }),
    ];
    await enqueueRuns(db, runs);
    await sql(db, "update cronwright.queue set enqueued_at = now() - interval '10 min' where run_id <> $1", [
      runs[2]?.id,
    ]);
    const aging = { queues: ['default'], isOthers: false, agingMs: 300_000 };
    const aged = await Promise.all([ageRuns(db, aging, { limit: 10 }), ageRuns(db, aging, { limit: 10 })]);
    expect(aged[0] + aged[1]).toBe(2);
    const rows = await sql<{ run_id: string; priority: number; fair: number }>(
      db,
      'select run_id, priority, fair from cronwright.queue order by run_id',
    );
    expect(rows).toEqual([
      { run_id: runs[0]?.id, priority: 4, fair: 700 },
      { run_id: runs[1]?.id, priority: 4, fair: 500 },
      { run_id: runs[2]?.id, priority: 5, fair: 1 },
    ]);
    expect(await ageRuns(db, aging, { limit: 10 })).toBe(0);
  });

  it('of two ends of a quiet the later holds, and each tenant has its own', async () => {
    const limit = {
      tenant: 'a',
      key: 'http:peer',
      since: new Date(1_000),
      until: new Date(9_000),
      reason: 'r',
      runId: uuidv7(),
    };
    await Promise.all([
      closeRateLimit(db, limit, node),
      closeRateLimit(db, { ...limit, since: new Date(2_000), until: new Date(5_000) }, node),
    ]);
    expect(await readRateLimit(db, 'a', 'http:peer')).toMatchObject({ until: new Date(9_000) });
    expect(await readRateLimit(db, 'b', 'http:peer')).toBeUndefined();
    const day = 86_400_000;
    await closeRateLimit(db, { ...limit, key: 'other', since: new Date(2 * day), until: new Date(2 * day + 1) }, node);
    expect(await readRateLimit(db, 'a', 'http:peer')).toBeUndefined();
  });
});
