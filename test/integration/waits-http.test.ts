// Answering what runs ask, over HTTP and by the command line, with a real engine behind; and what pages show of it.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createMetricsSampler } from '../../src/app/metrics-sampler.ts';
import { systemClock } from '../../src/base/clock.ts';
import type { Pipeline } from '../../src/domain/pipeline.ts';
import { fastRetry } from '../../src/domain/retry-policy.ts';
import { createMetrics } from '../../src/observe/metrics.ts';
import type { RunDetail } from '../../src/reads/get-run.ts';
import type { WaitView } from '../../src/reads/list-waits.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import {
  createScript,
  type EngineWorld,
  eventually,
  fatal,
  type Script,
  startEngineWorld,
} from '../support/engine-world.ts';
import { type Daemon, startDaemon, testPipeline, testStep, type World } from '../support/http-world.ts';
import { cronwright } from '../unit/cli/memory-context.ts';

const retry = { ...fastRetry, initialMs: 10, maxRetries: 0 };
const confirm = { message: 'Publish 12 pages?', approvers: ['maria', 'tester'], not_by_starter: true, timeout: '1h' };
const pipelines: Pipeline[] = [
  testPipeline('publish', {
    version: 'publish-1',
    steps: [testStep('confirm', [], { uses: 'wait.approval', with: confirm })],
  }),
  testPipeline('both', {
    version: 'both-1',
    steps: ['left', 'right'].map((id) => testStep(id, [], { uses: 'wait.approval', with: { message: `${id}?` } })),
  }),
  testPipeline('edit', {
    version: 'edit-1',
    steps: [testStep('a', [], { uses: 'test.do', retry, onExhausted: 'wait_manual', with: { text: 'wrong' } })],
  }),
  testPipeline('nap', { version: 'nap-1', steps: [testStep('nap', [], { uses: 'wait.until', with: { for: '3d' } })] }),
];

describe('answers over HTTP', () => {
  let test: TestDatabase;
  let engine: EngineWorld;
  let daemon: Daemon;
  let script: Script;

  beforeAll(async () => {
    test = await createTestDatabase('postgres');
  });
  afterAll(() => test.close());
  beforeEach(async () => {
    script = createScript();
    engine = await startEngineWorld({ db: test.db, script, pipelines, timing: { leaseMs: 15_000 } });
    const woken = { workers: 0, scheduler: 0, timers: 0, requests: 0 };
    const world: World = { db: test.db, control: engine.engine.control, heard: [], served: [], woken };
    daemon = await startDaemon(world);
  });
  afterEach(async () => {
    await daemon.stop();
    await engine.stop();
  });

  const as = (actor: string, more = {}) => ({ 'cronwright-actor': actor, ...more });
  async function asked(pipeline: string): Promise<string> {
    const id = await engine.start(pipeline);
    await engine.reached(id, ['waiting']);
    return id;
  }
  const ended = async (id: string) => engine.reached(id);
  const cli = (...args: string[]) => cronwright([...args, '--url', daemon.url], { env: { USER: 'maria' } });

  it('shows what is asked, and takes the answer of whoever may give it', async () => {
    const id = await asked('publish');
    const { body } = await daemon.get<RunDetail>(`/runs/${id}`);
    expect(body.waits).toMatchObject([
      {
        step: 'confirm',
        kind: 'approval',
        message: 'Publish 12 pages?',
        choices: ['approve', 'reject'],
        approvers: ['maria', 'tester'],
        starter_may_answer: false,
        on_timeout: 'fail',
        state: 'open',
      },
    ]);
    const signal = (actor: string, answer: object) => daemon.post(`/runs/${id}/signal`, answer, as(actor));
    expect(await signal('joe', { decision: 'approve' })).toMatchObject({ status: 403, body: { code: 'forbidden' } });
    expect(await signal('tester', { decision: 'approve' })).toMatchObject({ status: 403 });
    expect(await signal('maria', { decision: 'maybe' })).toMatchObject({
      status: 400,
      body: { problems: [{ path: 'decision', expected: 'approve, reject' }] },
    });
    expect(await signal('maria', { verdict: 'yes' })).toMatchObject({ status: 400 });
    expect(await signal('maria', {})).toMatchObject({ status: 400 });
    expect(await signal('maria', { decision: 'approve', data: { comment: 'go' } })).toMatchObject({
      status: 200,
      body: { id, state: 'pending', answered: { step: 'confirm', item: null, key: 'approval/1', decision: 'approve' } },
    });
    await ended(id);
    expect(await signal('maria', { decision: 'approve' })).toMatchObject({ status: 409, body: { open: [] } });
  });

  it('says 404 for a run that is not there, and for another tenant', async () => {
    const id = await asked('publish');
    const answer = { decision: 'approve' };
    const other = { 'cronwright-tenant': 'acme', ...as('maria') };
    expect(await daemon.post(`/runs/${id}/signal`, answer, other)).toMatchObject({ status: 404 });
    expect(await daemon.post('/runs/nothing/signal', answer)).toMatchObject({ status: 404 });
  });

  it('lists the open ones where it is not clear which is meant', async () => {
    const id = await asked('both');
    const unclear = await daemon.post(`/runs/${id}/signal`, { decision: 'approve' });
    const open = ['left', 'right'].map((step) => expect.objectContaining({ step, choices: ['approve', 'reject'] }));
    expect(unclear).toMatchObject({ status: 409, body: { open: expect.arrayContaining(open) } });
    expect(await daemon.post(`/runs/${id}/signal`, { decision: 'approve', step: 'left' })).toMatchObject({
      status: 200,
    });
    await eventually(async () => {
      const { status } = await daemon.post(`/runs/${id}/signal`, { decision: 'approve', step: 'right' });
      expect([200, 409]).toContain(status);
      expect((await ended(id)).state).toBe('completed');
    });
  });

  it('answers the same key as before', async () => {
    const id = await asked('publish');
    const once = () =>
      daemon.post(`/runs/${id}/signal`, { decision: 'approve' }, as('maria', { 'idempotency-key': id }));
    const answers = await Promise.all([once(), once(), once()]);
    for (const answer of answers) expect(answer).toMatchObject({ status: 200, body: answers[0]?.body });
    await ended(id);
    expect(await once()).toMatchObject({ status: 200, body: answers[0]?.body });
  });

  it('replaces fields of the input of a step that has failed', async () => {
    script.failures.set('a', [fatal('it is wrong')]);
    const id = await asked('edit');
    expect(await daemon.post(`/runs/${id}/signal`, { with: 'text' })).toMatchObject({ status: 400 });
    expect(await daemon.post(`/runs/${id}/signal`, { with: { text: 'right' } })).toMatchObject({
      body: { answered: { decision: 'retry' } },
    });
    await ended(id);
    expect(await daemon.get(`/runs/${id}/steps`)).toMatchObject({ body: { items: [{ output: { text: 'right' } }] } });
  });

  it('lists the open questions of a tenant page by page, without timers', async () => {
    const ids = [await asked('publish'), await asked('both'), await asked('nap')];
    const seen: string[] = [];
    let cursor = '';
    do {
      const page = await daemon.get<{ items: WaitView[]; next_cursor: string | null }>(
        `/waits?limit=1${cursor === '' ? '' : `&cursor=${cursor}`}`,
      );
      expect(page.status).toBe(200);
      seen.push(
        ...page.body.items.filter((one) => ids.includes(one.run_id)).map((one) => `${one.pipeline} ${one.step}`),
      );
      cursor = page.body.next_cursor ?? '';
    } while (cursor !== '');
    expect(seen).toHaveLength(3);
    expect(seen[0]).toBe('publish confirm');
    expect(seen.slice(1).sort()).toEqual(['both left', 'both right']);
    const timers = await daemon.get<{ items: WaitView[] }>('/waits?timers=true&pipeline=nap&limit=500');
    expect(timers.body.items.map((one) => one.run_id)).toContain(ids[2]);
    expect((await daemon.get<{ items: WaitView[] }>('/waits?tenant=acme')).body.items).toEqual([]);
  });

  it('shows them on the pages, to people, as text', async () => {
    const id = await asked('publish');
    for (const path of ['/', `/runs/${id}`]) {
      await eventually(async () => {
        const page = await (await fetch(daemon.url + path)).text();
        expect(page).toContain('Publish 12 pages?');
        expect(page).toContain('maria, tester');
        expect(page).toContain(`cronwright signal ${id} --step confirm --approve | --reject`);
      });
    }
    await daemon.post(`/runs/${id}/signal`, { decision: 'approve', data: { comment: '<b>ok</b>' } }, as('maria'));
    await ended(id);
    const page = await (await fetch(`${daemon.url}/runs/${id}`)).text();
    expect(page).toContain('Answers');
    expect(page).toContain('&lt;b&gt;ok&lt;/b&gt;');
  });

  it('counts them by kind', async () => {
    const metrics = createMetrics({ events: engine.events, clock: systemClock, version: '0', processMetrics: false });
    const sampler = createMetricsSampler({ db: test.db, metrics, events: engine.events });
    const id = await asked('nap');
    await sampler.start();
    await eventually(async () => {
      expect((await metrics.render()).body).toMatch(/cronwright_waits_open\{kind="timer"\} [1-9]/);
    });
    await sampler.stop();
    const second = await asked('publish');
    await daemon.post(`/runs/${second}/signal`, { decision: 'approve' }, as('maria'));
    expect((await metrics.render()).body).toContain('cronwright_waits_ended_total{kind="approval",end="answered"} 1');
    metrics.close();
    expect(await daemon.post(`/runs/${id}/cancel`, {})).toMatchObject({ status: 200 });
  });

  it('is answered by the command line, which also shows what is asked', async () => {
    const id = await asked('publish');
    const shown = await cli('signal', id);
    expect(shown).toMatchObject({ code: 0 });
    expect(shown.out).toContain('Publish 12 pages?');
    expect(shown.out).toContain('approve | reject');
    expect((await cli('show', id)).out).toContain('Publish 12 pages?');
    expect((await cli('signal', id, '--approve', '--reject')).code).toBe(2);
    expect((await cli('signal', id, '--approve', '--data', '{')).code).toBe(2);
    expect(await cli('signal', id, '--approve', '--as', 'joe')).toMatchObject({ code: 1 });
    const answered = await cli('signal', id, '--approve', '--data', '{"comment":"fine"}', '--json');
    expect(answered.code).toBe(0);
    expect(JSON.parse(answered.out)).toMatchObject({ answered: { decision: 'approve' } });
    const run = await ended(id);
    expect(run.waits).toMatchObject([{ answered_by: 'maria', data: { comment: 'fine' } }]);
    expect((await cli('signal', id)).out).toContain('asks nothing');
    expect(await cli('signal', id, '--approve')).toMatchObject({ code: 1 });
  });
});
