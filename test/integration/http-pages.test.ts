import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isTerminal, type RunState, runStates } from '../../src/domain/run.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import {
  createWorld,
  type Daemon,
  enqueueRun,
  sql,
  startDaemon,
  testPipeline,
  testSchedule,
} from '../support/http-world.ts';

const nightly = testSchedule('docs', 'nightly', { timezone: 'America/New_York' });
const docs = testPipeline('docs', { inputs: { note: { type: 'string', required: false } }, schedules: [nightly] });
const evil = '<script>alert("x")</script>';

describe('the pages', () => {
  let test: TestDatabase;
  let daemon: Daemon;
  let running: string;
  let failed: string;

  beforeAll(async () => {
    test = await createTestDatabase('postgres');
    const { db } = test;
    daemon = await startDaemon(await createWorld(db, [docs]));
    running = (await enqueueRun(db, docs, { inputs: { note: evil } })).id;
    await sql(
      db,
      "update cronwright.queue set state = 'running', started_at = now() - interval '1 minute', progress = 40, step = 'build', message = $2 where run_id = $1",
      [running, evil],
    );
    failed = (await enqueueRun(db, docs)).id;
    await sql(db, 'delete from cronwright.queue where run_id = $1', [failed]);
    const error = JSON.stringify({ name: 'GitError', class: 'fatal', message: `no such remote ${evil}` });
    await sql(
      db,
      "update cronwright.runs set state = 'failed', failure = 'failed', finished_at = now(), started_at = now(), error = $2::jsonb where id = $1",
      [failed, error],
    );
    await sql(db, "insert into cronwright.logs values ($1, 1, 1, 'default', $2::jsonb, now())", [
      running,
      JSON.stringify([{ at: 1, level: 'warn', step: 'build', text: evil }]),
    ]);
    await sql(
      db,
      `insert into cronwright.schedules (tenant, id, pipeline, definition, enabled, cursor_at, next_at, version, created_at, updated_at)
      values ('default', $1, 'docs', $2::jsonb, true, '2099-01-09T12:00:00Z', '2099-01-10T07:00:00Z', 1, now(), now())`,
      [nightly.id, JSON.stringify(nightly)],
    );
  });
  afterAll(async () => {
    await daemon.stop();
    await test.close();
  });

  async function page(path: string, headers: Record<string, string> = {}) {
    const response = await fetch(daemon.url + path, { headers });
    return { status: response.status, headers: response.headers, text: await response.text() };
  }

  it('show on one look what runs, what failed and why, and what fires next in both clocks', async () => {
    const { status, text } = await page('/');
    expect(status).toBe(200);
    expect(text).toContain(`href="/runs/${running}"`);
    expect(text).toMatch(/<progress max="100" value="40"/);
    expect(text).toContain('GitError');
    expect(text).toContain(`href="/runs/${failed}"`);
    expect(text).toContain('10 Jan 02:00:00 −05:00');
    expect(text).toContain('2099-01-10 07:00:00');
    expect(text).toMatch(/Look at this:.*no node is live.*1 run failed/s);
  });

  it('show a schedule that is paused or broken with who, why and until when', async () => {
    await sql(
      test.db,
      "update cronwright.schedules set paused_at = now(), paused_by = 'maria', paused_reason = 'moving house'",
    );
    const text = async () => (await page('/')).text;
    // What the page shows is shared for a second.
    await expect
      .poll(text, { timeout: 5_000 })
      .toMatch(/Not firing as usual.*docs\.nightly.*paused.*moving house.*maria/s);
    expect((await page('/schedules')).text).toContain('moving house');
    await sql(test.db, "update cronwright.schedules set paused_at = null, error = 'input missing'");
    await expect.poll(text, { timeout: 5_000 }).toMatch(/1 schedule broken.*input missing/s);
  });

  it('show what is paused, by whom and why, and how to resume it', async () => {
    const who = { 'cronwright-actor': 'maria' };
    const { id } = await enqueueRun(test.db, docs);
    await daemon.post(`/runs/${id}/pause`, { reason: `a look ${evil}` }, who);
    const text = (await page(`/runs/${id}`)).text;
    expect(text).toMatch(/by maria: a look &lt;script&gt;/);
    expect(text).toContain(`cronwright resume ${id}`);
    await daemon.post('/pipelines/docs/pause', { reason: `a bad release ${evil}` }, who);
    await daemon.post('/tenant/pause', {}, { ...who, 'cronwright-tenant': 'other' });
    await expect
      .poll(async () => (await page('/')).text, { timeout: 5_000 })
      .toMatch(/Paused.*docs.*maria: a bad release &lt;script&gt;.*cronwright resume --pipeline docs/s);
    expect((await page('/')).text).toMatch(/everything of other.*cronwright resume --all --tenant other/s);
    await daemon.post('/pipelines/docs/resume', {}, who);
    await daemon.post(`/runs/${id}/cancel`);
  });

  it('tell what was to be sent and has not arrived', async () => {
    await sql(
      test.db,
      `insert into cronwright.outbox (id, tenant, run_id, pipeline, step, step_type, input, state, attempts, next_at, token, error, created_at)
      values (gen_random_uuid(), 'default', $1, 'docs', 'on_failure', 'notify.webhook', '{}', 'pending', 2, now() + interval '5 minutes', 2, $2::jsonb, now()),
        (gen_random_uuid(), 'default', null, 'quiet', 'on_failure', 'notify.email', '{}', 'pending', 0, now(), 0, null, now())`,
      [failed, JSON.stringify({ name: 'HttpError', class: 'transient', message: `the receiver said ${evil}` })],
    );
    const text = async () => (await page('/')).text;
    await expect
      .poll(text, { timeout: 5_000 })
      .toMatch(/1 notification not delivered.*Not delivered.*notify\.webhook.*pending.*HttpError.*in [45] min/s);
    expect(await text()).not.toContain('notify.email');
  });

  it('show one run with steps, log, events and what to do', async () => {
    const { text } = await page(`/runs/${running}`);
    expect(text).toMatch(/fetch.*build.*publish/s);
    expect(text).toContain('run.enqueued');
    expect(text).toContain(`cronwright cancel ${running}`);
    expect((await page(`/runs/${failed}`)).text).toContain(`cronwright retry ${failed}`);
  });

  describe('tell what can be done', () => {
    /** Of the page: the command's words. */
    async function commandOf(id: string): Promise<string[]> {
      const text = (await page(`/runs/${id}`)).text;
      return (/<dt>what to do<\/dt><dd><code>cronwright ([^<]*)<\/code>/.exec(text)?.[1] ?? '').split(' ');
    }

    async function runIn(state: RunState): Promise<string> {
      const { id } = await enqueueRun(test.db, docs);
      if (isTerminal(state)) {
        await sql(test.db, 'delete from cronwright.queue where run_id = $1', [id]);
        await sql(
          test.db,
          "update cronwright.runs set state = $2, failure = nullif($2, 'completed'), finished_at = now() where id = $1",
          [id, state],
        );
        return id;
      }
      const [row, rollsBack] = state === 'rolling_back' ? ['running', true] : [state, state === 'rollback_failed'];
      await sql(test.db, 'update cronwright.queue set state = $2, rolls_back = $3 where run_id = $1', [
        id,
        row,
        rollsBack,
      ]);
      return id;
    }

    it.each(runStates)('of a run that is %s: a command that is not refused', async (state) => {
      const id = await runIn(state);
      const [verb = '', target] = await commandOf(id);
      const usual = isTerminal(state) ? 'retry' : 'cancel';
      const expected: Partial<Record<RunState, string>> = {
        completed: '',
        paused: 'resume',
        rolling_back: 'explain',
        rollback_failed: 'rollback',
      };
      expect(verb).toBe(expected[state] ?? usual);
      if (verb === '') return;
      expect(target).toBe(id);
      const path = `/runs/${id}/${verb}`;
      const answer = verb === 'explain' ? await daemon.get(path) : await daemon.post(path, {});
      expect([verb, answer.status]).toEqual([verb, expect.toSatisfy((status: number) => status < 300)]);
      // Once retried, it leads to the retry.
      if (verb === 'retry') expect(await commandOf(id)).toEqual(['show', (answer.body as { id: string }).id]);
    });

    it.each([
      ['/pipelines/docs', ['resume', '--pipeline', 'docs']],
      ['/tenant', ['resume', '--all']],
    ])('of a run that the pause of %s holds', async (scope, expected) => {
      const id = await runIn('pending');
      await daemon.post(`${scope}/pause`, {});
      expect(await commandOf(id)).toEqual(expected);
      expect((await daemon.post(`/runs/${id}/resume`, {})).status).toBe(409);
      expect((await daemon.post(`${scope}/resume`, {})).status).toBe(200);
      expect(await commandOf(id)).toEqual(['cancel', id]);
    });

    it('and which steps could not be undone, and why', async () => {
      const id = await runIn('rollback_failed');
      await sql(
        test.db,
        `insert into cronwright.step_runs (run_id, step, item, tenant, state, attempts, retries, token, rate_limited_ms, started_at)
        select $1, s, -1, 'default', 'completed', 1, 0, 1, 0, now() from unnest(array['fetch', 'build']) as s`,
        [id],
      );
      await sql(
        test.db,
        `insert into cronwright.compensations (run_id, step, item, tenant, state, was, attempts, retries, times, error)
        values ($1, 'fetch', -1, 'default', 'irreversible', 'completed', 0, 0, 0, null), ($1, 'build', -1, 'default', 'failed', 'completed', 1, 0, 0, $2::jsonb)`,
        [id, JSON.stringify({ name: 'GitError', class: 'fatal', message: `locked ${evil}` })],
      );
      const { text } = await page(`/runs/${id}`);
      expect(text).toMatch(/not undone: <span class="name">GitError<\/span> locked &lt;script&gt;/);
      expect(text).toContain('cannot be undone');
    });
  });

  it('never let what a run says become markup', async () => {
    for (const path of ['/', '/runs', `/runs/${running}`, `/runs/${failed}`, '/runs?pipeline=%3Cscript%3Ealert(1)']) {
      const { text } = await page(path);
      expect(text, path).not.toContain('<script>alert');
    }
    expect((await page(`/runs/${running}`)).text).toContain('&lt;script&gt;alert');
  });

  it('allow no script but their own, by a nonce that is new each time', async () => {
    const nonceOf = (policy: string | null) => /script-src 'nonce-([^']+)'/.exec(policy ?? '')?.[1];
    const [first, second] = [await page('/'), await page('/')];
    const nonce = nonceOf(first.headers.get('content-security-policy'));
    expect(first.text).toContain(`<script nonce="${nonce}">`);
    expect(first.text.match(/<script/g)).toHaveLength(1);
    expect(nonceOf(second.headers.get('content-security-policy'))).not.toBe(nonce);
    expect(first.text).not.toMatch(/ style="| onclick=/);
    expect(first.headers.get('x-content-type-options')).toBe('nosniff');
  });

  it('renew themselves by their content alone, and without JavaScript by a reload', async () => {
    const { text } = await page('/', { 'cronwright-fragment': '1' });
    expect(text).not.toContain('<html');
    expect(text).toContain('Running now');
    expect((await page('/')).text).toMatch(/<noscript><meta http-equiv="refresh"/);
  });

  it('have their style sheet from this daemon', async () => {
    const href = /href="(\/assets\/[^"]+)"/.exec((await page('/')).text)?.[1] ?? '';
    const style = await page(href);
    expect(style.status).toBe(200);
    expect(style.headers.get('content-type')).toContain('text/css');
    expect(style.text).toContain('prefers-color-scheme: dark');
  });

  it('list runs by state', async () => {
    const { text } = await page('/runs?state=failed');
    expect(text).toContain(failed);
    expect(text).not.toContain(running);
    expect((await page('/runs?state=nonsense')).status).toBe(400);
    expect((await page('/runs/none')).status).toBe(404);
    expect((await page('/runs/none')).text).toContain('there is no run');
  });
});
