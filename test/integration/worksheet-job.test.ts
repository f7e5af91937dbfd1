// A run of a pipeline worksheet in the words of the older service: every status and step, and its fields.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { StepState } from '../../src/domain/run.ts';
import { getWorksheetJob } from '../../src/reads/worksheet-job.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createWorld, enqueueRun, sql, testPipeline, testStep } from '../support/http-world.ts';

const worksheet = testPipeline('worksheet', {
  inputs: { prompt: { type: 'string', required: true }, user_id: { type: 'string', required: false, default: '' } },
  steps: [
    testStep('prompt', [], { uses: 'latex.validate_prompt' }),
    testStep('design', ['prompt'], { uses: 'latex.design' }),
    testStep('latex', ['design'], { uses: 'latex.generate' }),
    testStep('compile', ['latex'], {
      uses: 'latex.compile',
      onError: { CompileError: { choose: ['manual_edit', 'ai_fix'], aiFix: { uses: 'latex.fix', with: {}, max: 3 } } },
    }),
  ],
});
const stepIds = ['prompt', 'design', 'latex', 'compile'] as const;

let test: TestDatabase;
beforeAll(async () => {
  test = await createTestDatabase('pglite');
  await createWorld(test.db, [worksheet]);
});
afterAll(() => test.close());

/** A run whose first `done` steps are completed, as if a worker had brought it there. */
async function runAfter(done: number, queue: string | null, ended?: string): Promise<string> {
  const inputs = { prompt: 'Create a math worksheet', user_id: 'u-1' };
  const { id } = await enqueueRun(test.db, worksheet, { inputs });
  for (const step of stepIds.slice(0, done)) await stepRun(id, step, 'completed', outputs[step]);
  if (queue !== null) await sql(test.db, `update cronwright.queue set ${queue} where run_id = $1`, [id]);
  if (ended !== undefined) {
    await sql(test.db, 'delete from cronwright.queue where run_id = $1', [id]);
    await sql(
      test.db,
      `update cronwright.runs set state = $2, failure = nullif($2, 'completed'), started_at = now(), finished_at = now()
      where id = $1`,
      [id, ended],
    );
  }
  return id;
}

const outputs: Record<(typeof stepIds)[number], object> = {
  prompt: { prompt: 'Create a math worksheet' },
  design: { design: { title: 'Sums' } },
  latex: { source: 'the source' },
  compile: { source: 'the source', url: '/api/v1/runs/r/artifacts/a' },
};

async function stepRun(id: string, step: string, state: StepState, output: object | null, error: object | null = null) {
  await sql(
    test.db,
    `insert into cronwright.step_runs (run_id, step, item, tenant, state, attempts, retries, token, rate_limited_ms, output, error)
    values ($1, $2, -1, 'default', $3, 1, 0, 1, 0, $4::jsonb, $5::jsonb)`,
    [id, step, state, output && JSON.stringify(output), error && JSON.stringify(error)],
  );
}

async function wait(id: string, key: string, kind: string, askedBy: string, decision: string | null, form: object) {
  await sql(
    test.db,
    `insert into cronwright.waits (run_id, step, item, key, tenant, kind, asked_by, attempt, message, form, starter_may_answer,
      asked_at, on_timeout, state, decision, told)
    values ($1, 'compile', -1, $2, 'default', $3, $4, 1, $8, $5::jsonb, true, now(), 'fail', $6, $7, true)`,
    [id, key, kind, askedBy, JSON.stringify(form), decision === null ? 'open' : 'answered', decision, 'line 3: oops'],
  );
}

const job = (id: string) => getWorksheetJob(test.db, 'default', id);
const question = { error: { message: 'oops', details: { log: 'the log' } }, input: { source: 'broken' } };

describe('a worksheet in older words', () => {
  it.each([
    ['pending', 'prompt', 0, null, undefined],
    ['pending', 'prompt', 0, "state = 'paused'", undefined],
    ['running', 'design', 1, "state = 'running'", undefined],
    ['running', 'latex', 2, "state = 'running'", undefined],
    ['error', 'latex', 2, "state = 'waiting', wait_kind = 'step_retry'", undefined],
    ['error', 'latex', 2, "state = 'retrying'", undefined],
    ['error', 'design', 1, null, 'failed'],
    ['aborted', 'compile', 3, null, 'cancelled'],
    ['completed', 'done', 4, null, 'completed'],
  ])('is %s at %s after %i steps: %s, ended: %s', async (status, currentStep, done, queue, ended) => {
    expect(await job(await runAfter(done, queue, ended))).toMatchObject({ status, current_step: currentStep });
  });

  it('is waiting_manual while people are asked, and waiting_ai_fix from their choice until it compiles', async () => {
    const id = await runAfter(3, "state = 'waiting', wait_kind = 'manual_edit'");
    await wait(id, 'error/1', 'manual_edit', 'error', null, question);
    expect(await job(id)).toMatchObject({
      ...{ status: 'waiting_manual', current_step: 'compile', latex: 'broken', retry_count: 0, max_retries: 3 },
      ...{ error_message: 'line 3: oops', error_log: 'the log', pdf_url: '' },
    });
    await sql(test.db, "update cronwright.waits set state = 'answered', decision = 'ai_fix' where run_id = $1", [id]);
    await sql(test.db, "update cronwright.queue set state = 'running', wait_kind = null where run_id = $1", [id]);
    expect(await job(id)).toMatchObject({ status: 'waiting_ai_fix', current_step: 'compile' });
    await wait(id, 'ai_fix/1', 'ai_fix', 'fix', 'fixed', {});
    await stepRun(id, 'compile', 'completed', outputs.compile);
    expect(await job(id)).toMatchObject({ status: 'running', current_step: 'done', retry_count: 1 });
  });

  it('has owner, prompt, plan, source, PDF, conversation, error and times', async () => {
    const id = await runAfter(4, null, 'completed');
    const done = await job(id);
    expect(done).toMatchObject({
      ...{ id, user_id: 'u-1', prompt: 'Create a math worksheet', design: '{"title":"Sums"}', latex: 'the source' },
      ...{ pdf_url: '/api/v1/runs/r/artifacts/a', conversation_id: id, error_message: '', error_log: '' },
    });
    for (const at of [done.created_at, done.updated_at, done.completed_at]) expect(at).not.toBe(null);
    const failed = await runAfter(2, null, 'failed');
    await stepRun(failed, 'latex', 'failed', null, {
      name: 'X',
      message: 'no answer',
      details: { log: 'what it said' },
    });
    expect(await job(failed)).toMatchObject({
      ...{ status: 'error', current_step: 'latex', error_message: 'no answer', error_log: 'what it said' },
      completed_at: null,
    });
    const mute = await runAfter(1, null, 'failed');
    await stepRun(mute, 'design', 'failed', null, { name: 'LlmRefused', class: 'fatal', message: 'no key' });
    const { error_message, error_log } = await job(mute);
    expect(error_message).toBe('no key');
    expect(JSON.parse(error_log)).toMatchObject({ name: 'LlmRefused', class: 'fatal' });
  });
});
