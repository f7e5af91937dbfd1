// wait.approval and wait.until through the host that authors of plugins test with.
import { describe, expect, it } from 'vitest';
import plugin from '../../plugins/wait/index.ts';
import { testStep } from '../../src/steps/testing/test-step.ts';

const approval = (input: object, answer?: object | 'timeout', options = {}) =>
  testStep<Record<string, unknown>>(plugin, {
    step: 'approval',
    input: { message: 'Publish?', ...input },
    ...(answer === undefined ? {} : { answers: { 'approval/1': answer } }),
    ...options,
  });

describe('wait.approval', () => {
  it('asks, with all that was said of who and how long', async () => {
    const form = { diff: '+3 -1' };
    const { end, waits } = await approval({ form, approvers: ['maria'], not_by_starter: true, timeout: '2d' });
    expect(end).toBe('wait');
    expect(waits).toMatchObject([
      { message: 'Publish?', form, approvers: ['maria'], starterMayAnswer: false, timeoutMs: 172_800_000 },
    ]);
  });

  it('goes on when it is approved, with the comment', async () => {
    const data = { comment: 'well done', extra: 1 };
    const { output } = await approval({}, { decision: 'approve', data, by: 'maria' });
    expect(output).toMatchObject({ approved: true, by: 'maria', comment: 'well done', data });
  });

  it('fails when it is rejected, for good, and says why', async () => {
    const { error } = await approval({}, { decision: 'reject', data: { comment: 'too early' }, by: 'joe' });
    expect(error).toEqual({ name: 'Rejected', class: 'fatal', message: 'rejected by joe: too early' });
  });

  it('goes on after a rejection where it is told to', async () => {
    const { output } = await approval({ on_reject: 'continue' }, { decision: 'reject' });
    expect(output).toMatchObject({ approved: false, comment: null });
  });

  it('does what it says when nobody answers in time', async () => {
    expect((await approval({ timeout: '1m' }, 'timeout')).error?.name).toBe('WaitTimedOut');
    expect((await approval({ timeout: '1m', on_timeout: 'approve' }, 'timeout')).output).toMatchObject({
      approved: true,
      by: null,
    });
    expect((await approval({ timeout: '1m', on_timeout: 'reject' }, 'timeout')).error).toMatchObject({
      name: 'Rejected',
      message: 'nobody approved in time',
    });
  });

  it('asks nobody in a dry run', async () => {
    expect(await approval({}, undefined, { dryRun: true })).toMatchObject({ output: { approved: true }, waits: [] });
  });

  it.each([{ message: '' }, { timeout: 'soon' }, { approvers: [] }, { colour: 'red' }])('refuses %j', async (input) => {
    expect((await approval(input)).error?.name).toBe('ValidationError');
  });
});

describe('wait.until', () => {
  const until = (input: object, options = {}) =>
    testStep<{ until: string }>(plugin, { step: 'until', input, ...options });

  it('sleeps long without a place, as a timer', async () => {
    const open = await until({ for: '3d' });
    expect(open).toMatchObject({ end: 'wait', waits: [{ kind: 'timer', key: 'timer/1', timeoutMs: 259_200_000 }] });
    expect((await until({ for: '3d' }, { answers: { 'timer/1': 'timeout' } })).end).toBe('completed');
  });

  it('holds its place for a moment, and is over at once for what is past', async () => {
    const startedAt = performance.now();
    expect(await until({ for: '40ms' })).toMatchObject({ end: 'completed', waits: [] });
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(38);
    expect(await until({ at: '2020-01-01T00:00:00Z' })).toMatchObject({
      output: { until: '2020-01-01T00:00:00.000Z' },
    });
  });

  it('counts an instant from now', async () => {
    const { waits } = await until({ at: new Date(Date.now() + 3_600_000).toISOString() });
    expect(waits[0]?.timeoutMs).toBeGreaterThan(3_590_000);
    expect(waits[0]?.timeoutMs).toBeLessThanOrEqual(3_600_000);
  });

  it.each([
    {},
    { for: '1h', at: '2030-01-01T00:00:00Z' },
    { for: '-1s' },
    { for: 1e15 },
    { at: 'tomorrow' },
  ])('refuses %j', async (input) => {
    expect((await until(input)).error?.name).toBe('ValidationError');
  });
});
