// What a claim of 200 costs as the queue and the history grow: it must depend on neither.
import { uuidv7 } from 'uuidv7';
import type { Database } from '../../src/db/database.ts';
import { claimRuns } from '../../src/queue/claim-runs.ts';
import { createBenchDatabase, sql } from '../bench-database.ts';
import { type Figure, figure, percentile } from '../figure.ts';
import type { Scenario } from '../scenario.ts';

const claims = 40;

export const claimCost: Scenario = {
  name: 'claim',
  about: 'one claim of 200 from 1,000, 100,000 (and with --million 1,000,000) ready runs beside many finished ones',
  async run(bench) {
    const figures: Figure[] = [];
    const sizes = [1_000, ...(bench.quick ? [20_000] : [100_000]), ...(bench.million ? [1_000_000] : [])];
    const finished = bench.quick ? 20_000 : bench.million ? 10_000_000 : 300_000;
    const database = await createBenchDatabase(bench);
    const { db } = database;
    try {
      await addFinished(db, finished);
      let ready = 0;
      for (const size of sizes) {
        await addReady(db, size - ready);
        ready = size;
        await sql(db, 'vacuum analyze cronwright.queue');
        await sql(db, 'checkpoint');
        const rounds: number[] = [];
        for (let round = 0; round < bench.rounds; round += 1) rounds.push(await medianClaimMs(db));
        const base = figures[0]?.value;
        const more =
          base === undefined
            ? ''
            : `${Math.round((percentile(rounds, 0.5) / base - 1) * 100)} % more than from 1,000, `;
        figures.push(
          figure(`claim of 200 from ${size.toLocaleString('en-US')}`, 'ms', rounds, {
            ...(base === undefined ? {} : { target: '≤ +30 %' }),
            note: `${more}beside ${finished.toLocaleString('en-US')} finished, ${claims} claims a round, each given back`,
          }),
        );
      }
    } finally {
      await database.close();
    }
    return figures;
  },
};

async function medianClaimMs(db: Database): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < claims; i += 1) {
    const from = performance.now();
    const claimed = await claimRuns(db, {
      routes: ['default'],
      weight: 'light',
      limit: 200,
      node: uuidv7(),
      leaseMs: 30_000,
    });
    times.push(performance.now() - from);
    if (claimed.length !== 200) throw new Error(`claimed ${claimed.length} runs, expected 200`);
    await sql(
      db,
      `update cronwright.queue set state = 'pending', node = null, lease_until = null where run_id = any($1::uuid[])`,
      [claimed.map((run) => run.runId)],
    );
  }
  return percentile(times, 0.5);
}

const runColumns = `id, tenant, pipeline, pipeline_version, nominal_count, late, origin, priority, queue, dry_run, created_at`;
const runValues = `i.id, 'default', 'single', '0123456789abcdef', 1, false, 'api', 5, 'default', false, now()`;

/** Rising like UUID v7, made by the server: a million would take the client long. */
const risingIds = (count: number, prefix: string) =>
  `(select ('${prefix}' || lpad(to_hex(n), 24, '0'))::uuid as id from generate_series(1, ${count}) n) i`;

async function addFinished(db: Database, count: number): Promise<void> {
  await sql(
    db,
    `insert into cronwright.runs (${runColumns}, state, started_at, finished_at, attempt, claims, failed_items, progress)
    select ${runValues}, 'completed', now(), now(), 1, 1, 0, 100 from ${risingIds(count, '01000000')}`,
  );
  await sql(
    db,
    `insert into cronwright.history (run_id, seq, tenant, at, transitions)
    select i.id, 3, 'default', now(), '[]' from ${risingIds(count, '01000000')}`,
  );
}

async function addReady(db: Database, count: number): Promise<void> {
  const prefix = `0200${count.toString(16).padStart(8, '0').slice(-4)}`;
  await sql(db, `insert into cronwright.runs (${runColumns}) select ${runValues} from ${risingIds(count, prefix)}`);
  await sql(
    db,
    `insert into cronwright.queue (run_id, tenant, queue, pipeline, pipeline_version, priority, fair, weight, state, token,
      claims, attempt, enqueued_at)
    select i.id, 'default', 'default', 'single', '0123456789abcdef', 5, 0, 'light', 'pending', 0, 0, 1, now()
    from ${risingIds(count, prefix)}`,
  );
}
