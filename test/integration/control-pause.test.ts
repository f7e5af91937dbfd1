import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Database } from '../../src/db/database.ts';
import { nextStates, type RunState, runStates } from '../../src/domain/run.ts';
import { type ClaimedRun, claimRuns } from '../../src/queue/claim-runs.ts';
import { type RunRelease, releaseRuns } from '../../src/queue/release-runs.ts';
import { settlePauses } from '../../src/queue/settle-pauses.ts';
import { createTestDatabase, databaseVariants, type TestDatabase } from '../support/database.ts';
import { createWorld, type Daemon, enqueueRun, sql, startDaemon, testPipeline } from '../support/http-world.ts';

const docs = testPipeline('docs');
const narrow = testPipeline('narrow', { concurrency: { limit: 1 } });
const headers = { 'cronwright-actor': 'maria' };

interface Control {
  id: string;
  state: RunState;
  requested: string | null;
}

/** The verbs of live runs: the state that each leads to. */
const verbs = { pause: 'paused', resume: 'pending', cancel: 'cancelled' } as const;
type Verb = keyof typeof verbs;

describe.each(databaseVariants)('pausing and resuming on $name', (variant) => {
  let test: TestDatabase;
  let db: Database;
  let daemon: Daemon;

  beforeAll(async () => {
    test = await createTestDatabase(variant.kind, variant.isolation ? { isolation: variant.isolation } : {});
    db = test.db;
    daemon = await startDaemon(await createWorld(db, [docs, narrow]));
  });
  afterAll(async () => {
    await daemon.stop();
    await test.close();
  });
  beforeEach(async () => {
    for (const table of ['queue', 'runs', 'history', 'slots', 'step_runs', 'pauses']) {
      await sql(db, `delete from cronwright.${table}`);
    }
  });

  const post = <Body = Control>(id: string, verb: string, body: unknown = {}) =>
    daemon.post<Body>(`/runs/${id}/${verb}`, body, headers);

  async function rowOf(id: string): Promise<Record<string, unknown> | undefined> {
    return (await sql(db, 'select * from cronwright.queue where run_id = $1', [id]))[0];
  }

  async function historyOf(id: string): Promise<Record<string, unknown>[]> {
    const rows = await sql<{ transitions: Record<string, unknown>[] }>(
      db,
      'select transitions from cronwright.history where run_id = $1 order by seq',
      [id],
    );
    return rows.flatMap((row) => row.transitions);
  }

  /** A run in the state, as the program would have left it. */
  async function runIn(state: RunState): Promise<string> {
    const { id } = await enqueueRun(db, docs, state === 'scheduled' ? { runAt: new Date(Date.now() + 3_600_000) } : {});
    const ended: readonly RunState[] = ['completed', 'failed', 'cancelled', 'rolled_back', 'dead_letter'];
    if (ended.includes(state)) {
      await sql(db, 'delete from cronwright.queue where run_id = $1', [id]);
      await sql(db, 'update cronwright.runs set state = $2, finished_at = now() where id = $1', [id, state]);
    } else if (state === 'rolling_back') {
      await sql(db, "update cronwright.queue set state = 'running', rolls_back = true, token = 1 where run_id = $1", [
        id,
      ]);
    } else if (state === 'running') {
      await sql(db, "update cronwright.queue set state = 'running', token = 1, started_at = now() where run_id = $1", [
        id,
      ]);
    } else if (state === 'retrying') {
      await sql(
        db,
        `update cronwright.queue set state = 'retrying', run_at = now() + interval '1 hour', started_at = now(),
          attempt_started_at = now() where run_id = $1`,
        [id],
      );
    } else if (state !== 'scheduled') {
      await sql(db, 'update cronwright.queue set state = $2 where run_id = $1', [id, state]);
    }
    return id;
  }

  describe('every state by every verb', () => {
    const cases = runStates.flatMap((from) => (Object.keys(verbs) as Verb[]).map((verb) => ({ from, verb })));

    /** What the verb comes to: the table, and the three things that it does not tell. */
    function expectedOf(from: RunState, verb: Verb): { status: number; state: RunState; requested?: string } {
      if (verb === 'pause' && from === 'paused') return { status: 200, state: 'paused' };
      // Nobody asked for a pause that could be withdrawn, and only paused runs are resumed.
      if (verb === 'resume' && from !== 'paused') return { status: 409, state: from };
      // A rollback to a checkpoint ends paused; a person cannot stop one on its way.
      if (verb === 'pause' && from === 'rolling_back') return { status: 409, state: from };
      if (!nextStates(from).includes(verbs[verb])) return { status: 409, state: from };
      if (from === 'running') return { status: 202, state: 'running', requested: verb };
      return { status: 200, state: verbs[verb] };
    }

    it.each(cases)('$from: $verb', async ({ from, verb }) => {
      const id = await runIn(from);
      const expected = expectedOf(from, verb);
      const answer = await post<Control & { detail: string }>(id, verb, { reason: 'the table' });
      expect(answer.status).toBe(expected.status);
      if (answer.status === 409) {
        expect(answer.body).toMatchObject({ code: 'conflict', state: from, requested: verbs[verb] });
        expect(answer.body.detail).toContain(`is ${from} and cannot become ${verbs[verb]}`);
      } else {
        expect(answer.body).toEqual({ id, state: expected.state, requested: expected.requested ?? null });
      }
      const after = await daemon.get<{ state: RunState }>(`/runs/${id}`);
      if (from !== 'rolling_back') expect(after.body.state).toBe(expected.state);
      // A repeat after a lost answer is answered the same.
      if (answer.status !== 409 && verb !== 'cancel') {
        const again = await post(id, verb, { reason: 'the table' });
        expect({ status: again.status, body: again.body }).toEqual({ status: answer.status, body: answer.body });
      }
      if (answer.status === 200 && from !== 'paused') {
        const last = (await historyOf(id)).at(-1);
        expect(last).toMatchObject({
          from,
          to: verbs[verb],
          actor: 'maria',
          reason: 'the table',
          at: expect.any(Number),
        });
      }
    });
  });

  it('lets a run that waited for its next attempt begin it', async () => {
    const id = await runIn('retrying');
    await post(id, 'pause');
    expect(await rowOf(id)).toMatchObject({ state: 'paused', paused_from: 'retrying', run_at: null });
    await post(id, 'resume');
    expect(await rowOf(id)).toMatchObject({
      state: 'pending',
      attempt: 2,
      attempt_started_at: null,
      paused_from: null,
    });
  });

  it('goes on with the clock of the timeout where it stopped', async () => {
    const { id } = await enqueueRun(db, docs);
    await sql(
      db,
      `update cronwright.queue set state = 'paused', paused_from = 'running', started_at = now() - interval '10 minutes',
        attempt_started_at = now() - interval '10 minutes', clock_stopped_at = now() - interval '9 minutes' where run_id = $1`,
      [id],
    );
    await post(id, 'resume');
    const [row] = await sql<{ counted: number; clock_stopped_at: null }>(
      db,
      `select extract(epoch from now() - attempt_started_at)::float8 as counted, clock_stopped_at
      from cronwright.queue where run_id = $1`,
      [id],
    );
    expect(row?.clock_stopped_at).toBe(null);
    expect(row?.counted).toBeGreaterThan(59);
    expect(row?.counted).toBeLessThan(70);
  });

  it('does not start a run before its own time because it was paused and resumed', async () => {
    const id = await runIn('scheduled');
    await post(id, 'pause');
    await post(id, 'resume');
    expect(await rowOf(id)).toMatchObject({ state: 'pending', blocked_on: 'run_at', run_at: expect.any(Date) });
    // Once more, and past its time: nothing is left to wait for.
    await post(id, 'pause');
    await sql(db, "update cronwright.queue set run_at = now() - interval '1 second' where run_id = $1", [id]);
    await post(id, 'resume');
    expect(await rowOf(id)).toMatchObject({ state: 'pending', blocked_on: null, run_at: null });
  });

  it('gives the slot of a paused run that had not begun to the next, and asks for it again', async () => {
    await sql(db, "insert into cronwright.slots values ('default', 'pipeline:narrow', 1, null, false)");
    const [first, second] = [await startRun('narrow'), await startRun('narrow')];
    await expect.poll(async () => (await rowOf(first))?.blocked_on).toBe(null);
    expect((await rowOf(second))?.blocked_on).toBe('pipeline:narrow');
    await post(first, 'pause');
    expect(await rowOf(first)).toMatchObject({ state: 'paused', blocked_on: 'pipeline:narrow' });
    await expect.poll(async () => (await rowOf(second))?.blocked_on).toBe(null);
    await post(first, 'resume');
    expect(await rowOf(first)).toMatchObject({ state: 'pending', blocked_on: 'pipeline:narrow' });
  });

  it('keeps the slot of a paused run that had begun', async () => {
    await sql(db, "insert into cronwright.slots values ('default', 'pipeline:narrow', 1, null, false)");
    const [first, second] = [await startRun('narrow'), await startRun('narrow')];
    await expect.poll(async () => (await rowOf(first))?.blocked_on).toBe(null);
    await sql(db, 'update cronwright.queue set started_at = now(), attempt_started_at = now() where run_id = $1', [
      first,
    ]);
    await post(first, 'pause');
    expect((await rowOf(first))?.blocked_on).toBe(null);
    expect((await rowOf(second))?.blocked_on).toBe('pipeline:narrow');
  });

  it('withdraws a pause that the worker has not obeyed yet', async () => {
    const id = await runIn('running');
    await post(id, 'pause', { reason: 'wait' });
    expect(await rowOf(id)).toMatchObject({ request: 'pause', request_by: 'maria', request_reason: 'wait' });
    const answer = await post(id, 'resume', { reason: 'no need' });
    expect(answer).toMatchObject({ status: 200, body: { id, state: 'running', requested: null } });
    // Who withdrew it stays, for its worker to put on record.
    const withdrawn = { state: 'running', request: null, request_by: 'maria', request_reason: 'no need' };
    expect(await rowOf(id)).toMatchObject(withdrawn);
  });

  it('does not turn a cancel that is under way into a pause', async () => {
    const id = await runIn('running');
    expect((await post(id, 'cancel')).status).toBe(202);
    const answer = await post<{ detail: string }>(id, 'pause');
    expect(answer.status).toBe(409);
    expect(answer.body.detail).toContain('its cancel is under way');
    expect((await rowOf(id))?.request).toBe('cancel');
  });

  it('lets a cancel take the place of a pause', async () => {
    const id = await runIn('running');
    await post(id, 'pause');
    expect((await post(id, 'cancel')).status).toBe(202);
    expect((await rowOf(id))?.request).toBe('cancel');
  });

  it("answers 404 for another tenant's run and for none", async () => {
    const id = await runIn('pending');
    const foreign = await daemon.post(`/runs/${id}/pause`, {}, { 'cronwright-tenant': 'other' });
    expect(foreign.status).toBe(404);
    expect((await rowOf(id))?.state).toBe('pending');
    expect((await post('01900000-0000-7000-8000-000000000000', 'resume')).status).toBe(404);
  });

  describe('a worker that lets go of a run while somebody asks', () => {
    const node = randomUUID();

    async function claimed(): Promise<ClaimedRun> {
      await enqueueRun(db, docs);
      const [run] = await claimRuns(db, { routes: ['default'], weight: 'light', limit: 1, node, leaseMs: 30_000 });
      if (!run) throw new Error('nothing to claim');
      return run;
    }

    async function letGoOf(run: ClaimedRun, as: Partial<RunRelease>): Promise<void> {
      const { runId, tenant, token } = run;
      const release = { runId, tenant, token, steps: [], transitions: [], seq: 1, waitKind: null, runAt: null };
      const how = { state: 'pending', refundClaim: false, progress: 0, message: null, ...as } as const;
      await releaseRuns(db, [{ ...release, ...how }], node, new Date());
    }

    it.each([
      ['leaves', { state: 'pending', refundClaim: true }, 'paused', 'pending'],
      ['will try again later', { state: 'retrying', runAt: new Date(Date.now() + 60_000) }, 'paused', 'retrying'],
      ['obeys', { state: 'paused', stopsClock: true }, 'paused', 'running'],
      // Whoever claims it next obeys: a run that waits is not paused.
      ['waits', { state: 'waiting', waitKind: 'step_retry', runAt: new Date(Date.now() + 60_000) }, 'pending', null],
    ] as const)('%s, and a pause was asked for', async (_, as, state, pausedFrom) => {
      const run = await claimed();
      expect((await post(run.runId, 'pause')).status).toBe(202);
      await letGoOf(run, as);
      const row = await rowOf(run.runId);
      expect(row).toMatchObject({ state, paused_from: pausedFrom, request: state === 'paused' ? null : 'pause' });
      expect(row?.clock_stopped_at === null).toBe(state !== 'paused');
      // Resumed, it has no trace of it left.
      expect((await post(run.runId, 'resume')).status).toBe(200);
      const after = await rowOf(run.runId);
      expect(after).toMatchObject({ state: 'pending', request: null, paused_from: null, clock_stopped_at: null });
      expect(after?.attempt).toBe(pausedFrom === 'retrying' ? 2 : 1);
    });

    it('goes on where the pause was withdrawn before the worker had let go', async () => {
      const run = await claimed();
      await post(run.runId, 'pause');
      await post(run.runId, 'resume');
      await letGoOf(run, { state: 'paused', stopsClock: true });
      expect(await rowOf(run.runId)).toMatchObject({ state: 'pending', request: null, paused_from: null });
    });

    it('is cancelled next where a cancel took the place of the pause', async () => {
      const run = await claimed();
      await post(run.runId, 'pause');
      await post(run.runId, 'cancel');
      await letGoOf(run, { state: 'paused', stopsClock: true });
      expect(await rowOf(run.runId)).toMatchObject({ state: 'pending', request: 'cancel' });
    });
  });

  describe('a pipeline and a tenant', () => {
    const until = new Date(Date.now() + 3_600_000).toISOString();

    it('say that they are paused, since when, by whom and why, wherever people look', async () => {
      const paused = await daemon.post('/pipelines/docs/pause', { reason: 'a bad release', until }, headers);
      expect(paused.body).toEqual({
        paused: {
          tenant: 'default',
          pipeline: 'docs',
          at: expect.any(String),
          by: 'maria',
          reason: 'a bad release',
          until,
        },
        held: 0,
        asked: 0,
      });
      const shown = await daemon.get<{ paused: unknown }>('/pipelines/docs');
      expect(shown.body.paused).toEqual(paused.body.paused);
      expect((await daemon.get('/pipelines/narrow')).body.paused).toBe(null);
      expect((await daemon.get('/queue')).body.pauses).toEqual([paused.body.paused]);
      await daemon.post('/tenant/pause', {}, headers);
      expect((await daemon.get('/pipelines/narrow')).body.paused).toMatchObject({ pipeline: null, by: 'maria' });
    });

    it('paused again, say anew why and until when, and stay the same pause', async () => {
      const first = await daemon.post<{ paused: { at: string } }>('/pipelines/docs/pause', { reason: 'one' }, headers);
      const again = await daemon.post('/pipelines/docs/pause', { reason: 'two', until }, headers);
      expect(again.body.paused).toMatchObject({ at: first.body.paused.at, reason: 'two', until });
      const [row] = await sql<{ n: number }>(db, 'select count(*) as n from cronwright.pauses');
      expect(Number(row?.n)).toBe(1);
    });

    it('hold what is enqueued meanwhile, count it, and let it go', async () => {
      await daemon.post('/tenant/pause', {}, headers);
      const [one, two] = [await startRun('docs'), await startRun('narrow')];
      expect([(await rowOf(one))?.state, (await rowOf(two))?.state]).toEqual(['paused', 'paused']);
      expect((await daemon.post('/tenant/resume', {}, headers)).body).toEqual({ let_go: 2 });
      expect((await rowOf(one))?.state).toBe('pending');
      expect(await historyOf(one)).toMatchObject([
        { event: 'run.resumed', actor: 'maria', reason: 'its tenant was resumed' },
      ]);
    });

    it('answer that a run is paused from the start', async () => {
      await daemon.post('/pipelines/docs/pause', {}, headers);
      expect((await daemon.post('/pipelines/docs/runs')).body.state).toBe('paused');
      expect((await daemon.post('/pipelines/narrow/runs')).body.state).toBe('pending');
    });

    it('leave no run behind that was enqueued in the moment of the pause', async () => {
      const starts = Array.from({ length: 40 }, () => enqueueRun(db, docs));
      await Promise.all([...starts, daemon.post('/pipelines/docs/pause', {}, headers)]);
      await settlePauses(db);
      const rows = await sql<{ state: string; held: boolean; n: number }>(
        db,
        'select state, held_by is not null as held, count(*)::int4 as n from cronwright.queue group by 1, 2',
      );
      expect(rows).toEqual([{ state: 'paused', held: true, n: 40 }]);
      expect((await daemon.post('/pipelines/docs/resume', {}, headers)).body).toEqual({ let_go: 40 });
    });

    it("leave other tenants' runs alone", async () => {
      await daemon.post('/tenant/pause', {}, { ...headers, 'cronwright-tenant': 'other' });
      expect((await rowOf(await startRun('docs')))?.state).toBe('pending');
    });

    it('refuse what cannot be meant', async () => {
      expect((await daemon.post('/pipelines/nobody/pause')).status).toBe(404);
      expect((await daemon.post('/pipelines/docs/resume')).status).toBe(409);
      expect((await daemon.post('/tenant/resume')).status).toBe(409);
      const late = await daemon.post('/tenant/pause', { until: '2020-01-01T00:00:00Z' });
      expect(late).toMatchObject({ status: 400, body: { problems: [{ path: 'until', message: 'has passed' }] } });
    });

    it('do not let a run of theirs be resumed alone', async () => {
      const { id } = await enqueueRun(db, docs);
      await daemon.post('/pipelines/docs/pause', {}, headers);
      const answer = await post<{ detail: string }>(id, 'resume');
      expect(answer.status).toBe(409);
      expect(answer.body.detail).toContain('pipeline "docs" was paused by maria: resume that');
    });
  });

  describe('priority', () => {
    it.each(runStates.map((state) => ({ state })))('of a run that is $state', async ({ state }) => {
      const id = await runIn(state);
      const answer = await post<{ detail: string }>(id, 'priority', { priority: 2 });
      const isEnded = nextStates(state).length === 0;
      expect(answer.status).toBe(isEnded ? 409 : 200);
      if (isEnded) expect(answer.body.detail).toContain(`is ${state} and cannot be given a priority`);
      else expect(answer.body).toEqual({ id, state, priority: 2 });
      const shown = await daemon.get<{ priority: number }>(`/runs/${id}`);
      expect(shown.body.priority).toBe(isEnded ? 5 : 2);
    });

    it('is one of 1 to 10', async () => {
      const id = await runIn('pending');
      for (const priority of [0, 11, 2.5, '3']) expect((await post(id, 'priority', { priority })).status).toBe(400);
      expect((await rowOf(id))?.priority).toBe(5);
    });
  });

  async function startRun(pipeline: string): Promise<string> {
    return (await daemon.post<{ id: string }>(`/pipelines/${pipeline}/runs`)).body.id;
  }
});
