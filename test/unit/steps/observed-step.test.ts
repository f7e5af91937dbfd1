// One attempt inline: validation, classification, deadlines, abort, masking, events.
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createEventBus } from '../../../src/observe/events.ts';
import { createAbortError } from '../../../src/steps/abort-reason.ts';
import { definePlugin, defineStep, type StepContext, StepError } from '../../../src/steps/api.ts';
import { errorOf, outputOf, runStep, stepOf } from '../../support/step-context.ts';

/** A step type whose body is the test's. */
function scripted(run: (ctx: StepContext, input: { n: number }) => unknown, output: z.ZodType = z.unknown()) {
  const step = defineStep({ input: z.object({ n: z.number().default(1) }), output, run });
  return stepOf(definePlugin({ name: 'scripted', version: '1.0.0', apiVersion: 1, steps: { go: step } }), 'go');
}

describe('observed step', () => {
  it('completes with the output that the schema lets through, and its text', async () => {
    const step = scripted((_ctx, { n }) => ({ twice: n * 2, extra: true }), z.object({ twice: z.number() }));
    const { result } = await runStep(step, { n: 4 });
    expect(result).toEqual({ kind: 'completed', output: { twice: 8 }, outputJson: '{"twice":8}' });
  });

  it('applies the defaults of the input schema', async () => {
    expect(
      outputOf(
        await runStep(
          scripted((_ctx, { n }) => n),
          {},
        ),
      ),
    ).toBe(1);
  });

  it('refuses an input that does not fit before the step begins', async () => {
    let began = false;
    const step = scripted(() => {
      began = true;
    });
    const error = errorOf(await runStep(step, { n: 'four' }));
    expect(error).toMatchObject({ name: 'ValidationError', class: 'fatal' });
    expect(error.message).toMatch(/^input .*n: /);
    expect(began).toBe(false);
  });

  it.each(['text/html\r\nx: y', 'text', 7, undefined])('puts no artifact with the media type %j', async (mediaType) => {
    const step = scripted((ctx) => ctx.artifacts.put({ name: 'a', mediaType: mediaType as string, content: '' }));
    const { result, recorded } = await runStep(step, {});
    expect(result).toMatchObject({
      error: {
        name: 'InvalidMediaType',
        class: 'fatal',
        message: `the media type of artifact a is ${JSON.stringify(mediaType)}, expected type/subtype, with parameters or without, in visible ASCII`,
      },
    });
    expect(recorded.artifacts).toEqual([]);
  });

  it('fails a step whose output does not fit its schema', async () => {
    const error = errorOf(
      await runStep(
        scripted(() => ({ twice: 'x' }), z.object({ twice: z.number() })),
        {},
      ),
    );
    expect(error).toMatchObject({ name: 'ValidationError', class: 'fatal' });
    expect(error.message).toContain('twice');
  });

  it.each([
    ['a function', () => ({ f: () => 1 }), 'output.f is a function'],
    ['a date', () => [new Date(0)], 'output[0] is a Date'],
    ['NaN', () => ({ deep: { x: Number.NaN } }), 'output.deep.x is NaN'],
    ['a bigint', () => 1n, 'output is a bigint'],
    ['a cycle', cycle, 'cycle'],
  ])('refuses an output that holds %s and says where', async (_what, make, says) => {
    const error = errorOf(await runStep(scripted(make), {}));
    expect(error).toMatchObject({ name: 'InvalidOutput', class: 'fatal' });
    expect(error.message).toContain(says);
  });

  it('refuses an output above 1 MB, counted in bytes', async () => {
    const fits = await runStep(
      scripted(() => 'x'.repeat(1_048_574)),
      {},
    );
    expect(fits.result.kind).toBe('completed');
    const wide = await runStep(
      scripted(() => 'é'.repeat(524_288)),
      {},
    );
    expect(errorOf(wide)).toMatchObject({ name: 'OutputTooLarge', class: 'fatal' });
  });

  it('makes outputs storable: no undefined, no NUL, no lone surrogates', async () => {
    const ran = await runStep(
      scripted(() => ({ a: undefined, b: 'x\0y', c: '\ud800', d: 'a\\u0000' })),
      {},
    );
    expect(ran.result).toMatchObject({ kind: 'completed', output: { b: 'x\uFFFDy', c: '\uFFFD', d: 'a\\u0000' } });
    expect(Object.keys(outputOf(ran))).toEqual(['b', 'c', 'd']);
  });

  it('keeps the class, retry-after and details of a StepError', async () => {
    const step = scripted(() => {
      throw new StepError('rate_limited', 'slow down', { name: 'TooMany', retryAfterMs: 7_000, details: { limit: 3 } });
    });
    expect(errorOf(await runStep(step, {}))).toEqual({
      name: 'TooMany',
      message: 'slow down',
      class: 'rate_limited',
      retryAfterMs: 7_000,
      details: { limit: 3 },
    });
  });

  it('ends a step at its timeout as transient TimeoutError', async () => {
    const step = scripted((ctx) => untilAborted(ctx.signal));
    const { result } = await runStep(step, {}, { timeoutMs: 20 });
    expect(result).toMatchObject({
      kind: 'timeout',
      scope: 'step',
      abandoned: false,
      error: { name: 'TimeoutError', class: 'transient', message: 'the step took longer than 20 ms' },
    });
  });

  it.each([
    'cancelled',
    'timeout',
    'lease_lost',
    'shutdown',
  ] as const)('passes the reason %s to the step', async (reason) => {
    const controller = new AbortController();
    let seen: unknown;
    const step = scripted((ctx) => {
      queueMicrotask(() => controller.abort(createAbortError(reason)));
      return untilAborted(ctx.signal).catch((error: Error) => {
        seen = error.name;
        throw error;
      });
    });
    const { result } = await runStep(step, {}, { signal: controller.signal });
    expect(seen).toBe(reason);
    expect(result).toMatchObject({
      kind: reason,
      ...(reason === 'timeout' ? { scope: 'run', error: { class: 'fatal' } } : {}),
    });
  });

  it('does not begin a step whose signal has aborted already', async () => {
    let began = false;
    const step = scripted(() => {
      began = true;
    });
    const { result } = await runStep(step, {}, { signal: AbortSignal.abort(createAbortError('shutdown')) });
    expect(result.kind).toBe('shutdown');
    expect(began).toBe(false);
  });

  it('notices an abort in the synchronous part of a step', async () => {
    const controller = new AbortController();
    const step = scripted((ctx) => {
      controller.abort(createAbortError('cancelled'));
      return untilAborted(ctx.signal);
    });
    expect((await runStep(step, {}, { signal: controller.signal })).result.kind).toBe('cancelled');
  });

  it('counts a step as completed that returns in spite of its signal', async () => {
    const controller = new AbortController();
    const step = scripted(async (ctx) => {
      controller.abort(createAbortError('cancelled'));
      await untilAborted(ctx.signal).catch(() => undefined);
      return 'done';
    });
    expect(outputOf(await runStep(step, {}, { signal: controller.signal }))).toBe('done');
  });

  it('leaves a step behind that ignores its signal, says so, and lets nothing of it through afterwards', async () => {
    let release = () => {};
    let late: Promise<unknown> | undefined;
    const step = scripted(async (ctx) => {
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      ctx.log.info('too late');
      ctx.output('stdout', 'too late\n');
      ctx.progress({ done: 1, total: 1 });
      late = ctx.checkpoint.save('too late').catch((error: Error) => error.name);
    });
    const { result, recorded } = await runStep(step, {}, { timeoutMs: 10, host: { abandonAfterMs: 20 } });
    expect(result).toMatchObject({ kind: 'timeout', abandoned: true });
    expect(recorded.log.map(({ message }) => message).join()).toContain('did not end after its signal said timeout');
    release();
    await expect.poll(() => late).toBeDefined();
    expect(await late).toBe('AttemptEnded');
    expect(recorded).toMatchObject({ progress: [], checkpoint: undefined });
    expect(recorded.log).toHaveLength(1);
  });

  it('masks secrets in log, output, error, progress, events and checkpoint', async () => {
    const key = '-----BEGIN KEY-----\nabcdefghijkl\nmnopqrstuvwx\n-----END KEY-----';
    const step = scripted(async (ctx) => {
      const token = await ctx.secrets.get('token');
      await ctx.secrets.get('key');
      ctx.log.info(`uses ${token}`, { header: `Bearer ${token}`, encoded: Buffer.from(token).toString('base64') });
      ctx.output('stdout', `one ${token.slice(0, 4)}`);
      ctx.output('stdout', `${token.slice(4)} two\n${key}\n`);
      ctx.progress({ done: 1, total: 2, message: token });
      ctx.event('seen', { [token]: [token] });
      await ctx.checkpoint.save({ token });
      if (ctx.attempt === 2)
        throw new StepError('fatal', `bad ${token}`, { details: { token }, cause: new Error(token) });
      return { token, from_template: 'tem"plate' };
    });
    const options = { secretValues: { token: 's3cr3t-/value', key }, secrets: ['tem"plate'] };
    const first = await runStep(step, {}, options);
    const second = await runStep(step, {}, { ...options, attempt: 2 });
    expect(outputOf(first)).toEqual({ token: '***', from_template: '***' });
    expect(errorOf(second)).toMatchObject({ message: 'bad ***', details: { token: '***' } });
    expect(first.recorded.events).toEqual([{ type: 'seen', data: { '***': ['***'] } }]);
    const everything = JSON.stringify([first, second].map(({ result, recorded }) => ({ result, recorded })));
    for (const part of ['s3cr3t', 'value', 'abcdefghijkl', 'mnopqrst', 'em\\"plate'])
      expect(everything).not.toContain(part);
  });

  it('masks a secret that lies across the place where a long line is cut', async () => {
    const step = scripted((ctx) => {
      ctx.output('stdout', `${'x'.repeat(16_380)}s3cret-value and more\n`);
    });
    const { recorded } = await runStep(step, {}, { secrets: ['s3cret-value'] });
    expect(recorded.log[0]?.message).toMatch(/^x{16380}\*\*\*\s+…/);
  });

  it('names a missing secret in a fatal error', async () => {
    const error = errorOf(
      await runStep(
        scripted((ctx) => ctx.secrets.get('absent')),
        {},
      ),
    );
    expect(error).toMatchObject({ name: 'MissingSecret', class: 'fatal', message: 'there is no secret named absent' });
  });

  it('emits one begin and one end with the result word', async () => {
    const seen: unknown[] = [];
    const events = createEventBus();
    events.on('step.started', (payload) => seen.push(payload));
    events.on('step.finished', (payload) => seen.push(payload));
    await runStep(
      scripted(() => 1),
      {},
      { events, runId: 'r1', step: 'a', item: 3 },
    );
    await runStep(
      scripted(() => Promise.reject(new Error('no'))),
      {},
      { events },
    );
    expect(seen).toMatchObject([
      { runId: 'r1', step: 'a', stepType: 'scripted.go', item: 3, attempt: 1 },
      { runId: 'r1', step: 'a', item: 3, result: 'success', durationMs: expect.any(Number) },
      { stepType: 'scripted.go' },
      { result: 'failure', error: 'Error: no' },
    ]);
  });

  it('works for a step that takes its context apart', async () => {
    const step = scripted(async ({ log, output, progress, checkpoint, event, signal }) => {
      log.info('a');
      output('stderr', 'b');
      progress({ done: 1, total: 1 });
      event('c', null);
      await checkpoint.save([1]);
      return { state: await checkpoint.load(), aborted: signal.aborted };
    });
    const ran = await runStep(step, {});
    expect(outputOf(ran)).toEqual({ state: [1], aborted: false });
    expect(ran.recorded.log.map(({ stream, message }) => `${stream}:${message}`)).toEqual(['log:a', 'stderr:b']);
  });

  it('cuts a log that is too long, once, and lines that are too long', async () => {
    const step = scripted((ctx) => {
      ctx.output('stdout', `${'x'.repeat(20_000)}\r\nshort\n`);
      for (let index = 0; index < 6_000; index++) ctx.output('stdout', `${'y'.repeat(1_000)}\n`);
      ctx.log.error('unheard');
    });
    const { recorded } = await runStep(step, {});
    expect(recorded.log[0]?.message).toMatch(/^x{16384} … \(361[67] more characters\)$/);
    expect(recorded.log[1]?.message).toBe('short');
    expect(recorded.log.at(-1)?.message).toMatch(/^log cut: more than \d+ bytes/);
    expect(recorded.log.filter(({ message }) => message.startsWith('log cut'))).toHaveLength(1);
    expect(recorded.log.length).toBeLessThan(4_300);
  });
});

function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

function cycle(): unknown {
  const loop: Record<string, unknown> = {};
  loop.self = loop;
  return loop;
}
