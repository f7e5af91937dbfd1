// `cronwright/testing`: a step under test meets what it meets in a run.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { packageRoot } from '../../../src/base/package-root.ts';
import { definePlugin, defineStep, type StepContext, StepError } from '../../../src/steps/api.ts';
import { testStep } from '../../../src/steps/testing/test-step.ts';

/** A step that does what a test says. */
function step(run: (ctx: StepContext, input: { n: number }) => unknown) {
  return defineStep({ input: z.strictObject({ n: z.int().default(1) }), output: z.json(), run: run as () => never });
}

describe('testStep', () => {
  it('gives a step all that a run gives it, and tells what it did', async () => {
    const everything = step(async (ctx, input) => {
      ctx.log.warn('the key is s3cret-value', { n: input.n });
      ctx.output('stdout', 'printed\n');
      ctx.progress({ done: 1, total: 2 });
      ctx.event('page_written', { n: input.n });
      await ctx.checkpoint.save({ at: 1 });
      const artifact = await ctx.artifacts.put({ name: 'a.txt', mediaType: 'text/plain', content: 'text' });
      const got = await ctx.artifacts.get(artifact.id);
      writeFileSync(join(ctx.workspace, 'file'), 'x');
      const sql = await ctx.sql('orders', { readOnly: true });
      const { rows } = await sql.query('select 1');
      const { env, item, dryRun, tenant, attempt, token, host, idempotencyKey } = ctx;
      const { allowPrivateHosts } = host;
      const secret = await ctx.secrets.get('key');
      return {
        input,
        env,
        item,
        dryRun,
        tenant,
        attempt,
        token,
        allowPrivateHosts,
        idempotencyKey,
        rows,
        secret,
        size: got.content.length,
      };
    });
    let workspace = '';
    const tested = await testStep(everything, {
      input: { n: 5 },
      secrets: { key: 's3cret-value' },
      env: { REGION: 'eu' },
      item: 3,
      dryRun: true,
      tenant: 'acme',
      idempotencyKey: 'key-1',
      allowPrivateHosts: ['127.0.0.1'],
      sql: { orders: { query: async () => ({ rows: [{ n: 1 }], rowCount: 1 }) } },
      inspect: (at) => {
        workspace = at.workspace;
        expect(readFileSync(join(workspace, 'file'), 'utf8')).toBe('x');
      },
    });
    expect(tested).toMatchObject({ end: 'completed', error: undefined, aborted: undefined });
    expect(tested.output).toEqual({
      input: { n: 5 },
      env: { REGION: 'eu' },
      item: 3,
      dryRun: true,
      tenant: 'acme',
      attempt: 1,
      token: 1,
      allowPrivateHosts: ['127.0.0.1'],
      idempotencyKey: 'key-1',
      rows: [{ n: 1 }],
      secret: '***',
      size: 4,
    });
    expect(tested.logs).toMatchObject([
      { level: 'warn', stream: 'log', message: 'the key is s3cret-value', fields: { n: 5 } },
      { stream: 'stdout', message: 'printed' },
    ]);
    expect(tested.progress).toEqual([{ done: 1, total: 2 }]);
    expect(tested.events).toEqual([{ type: 'page_written', data: { n: 5 } }]);
    expect(tested.checkpoint).toEqual({ at: 1 });
    const sha256 = '982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1';
    expect(tested.artifacts).toMatchObject([{ name: 'a.txt', mediaType: 'text/plain', size: 4, sha256, text: 'text' }]);
    expect(existsSync(workspace)).toBe(false);
  });

  it('checks input and output as a run does', async () => {
    const refused = await testStep(
      step(() => expect.unreachable()),
      { input: { n: 'x' } },
    );
    expect(refused.error).toMatchObject({ name: 'ValidationError', class: 'fatal' });
    expect(refused.error?.message).toContain('input does not fit its schema: n: ');
    const output = await testStep(step(() => ({ when: new Date(0) })));
    expect(output.error?.message).toContain('output does not fit its schema');
    expect((await testStep(step((_ctx, input) => input))).output).toEqual({ n: 1 });
  });

  it('masks secrets in what the step logs after it asked for them', async () => {
    const { logs, error } = await testStep(
      step(async (ctx) => {
        ctx.log.info(`using ${await ctx.secrets.get('key')}`);
        throw new StepError('fatal', `refused: ${await ctx.secrets.get('key')}`);
      }),
      { secrets: { key: 's3cret-value' } },
    );
    expect(logs[0]?.message).toBe('using ***');
    expect(error?.message).toBe('refused: ***');
  });

  it('tells a missing secret and a missing connection by name', async () => {
    const { error } = await testStep(step((ctx) => ctx.secrets.get('absent')));
    expect(error).toMatchObject({ name: 'MissingSecret', message: 'there is no secret named absent' });
    const sql = await testStep(step((ctx) => ctx.sql('orders')));
    expect(sql.error?.message).toContain('there is no connection orders');
  });

  it('runs attempts in a row as the retry policy decides, with one key, one checkpoint and one workspace', async () => {
    const keys = new Set<string>();
    const flaky = step(async (ctx) => {
      keys.add(ctx.idempotencyKey);
      const seen = ((await ctx.checkpoint.load()) as string[] | undefined) ?? [];
      await ctx.checkpoint.save([...seen, `attempt ${ctx.attempt}`]);
      if (ctx.attempt === 2) throw new StepError('rate_limited', 'slow down', { retryAfterMs: 90_000 });
      if (ctx.attempt < 4) throw new StepError('transient', 'not yet');
      return seen;
    });
    const { output, attempts, checkpoint } = await testStep(flaky, { attempts: 10 });
    expect(attempts.map(({ attempt, end, next }) => [attempt, end, next])).toEqual([
      [1, 'failed', { kind: 'retry', delayMs: 1_000 }],
      [2, 'failed', { kind: 'retry', delayMs: 90_000 }],
      [3, 'failed', { kind: 'retry', delayMs: 2_000 }],
      [4, 'completed', undefined],
    ]);
    expect(output).toEqual(['attempt 1', 'attempt 2', 'attempt 3']);
    expect(checkpoint).toHaveLength(4);
    expect(keys.size).toBe(1);
  });

  it('ends where the policy gives up, and where the test wants no more attempts', async () => {
    const never = step(() => {
      throw new StepError('transient', 'never');
    });
    const all = await testStep(never, { attempts: 10, retry: { maxRetries: 2 } });
    expect(all.attempts.map(({ next }) => next?.kind)).toEqual(['retry', 'retry', 'give_up']);
    expect((await testStep(never)).attempts).toMatchObject([{ next: { kind: 'retry', delayMs: 1_000 } }]);
    const fatal = step(() => {
      throw new TypeError('a mistake');
    });
    expect((await testStep(fatal, { attempts: 10 })).attempts).toMatchObject([{ next: { kind: 'give_up' } }]);
  });

  it('aborts while the step runs, for every reason there is', async () => {
    const waits = step(async (ctx) => {
      ctx.progress({ done: 0, total: 1 });
      await new Promise((_resolve, reject) => ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason)));
    });
    for (const reason of ['cancelled', 'lease_lost', 'shutdown', 'timeout'] as const) {
      const { aborted, end, error } = await testStep(waits, { watch: (_seen, abort) => abort(reason) });
      expect([aborted, end]).toEqual([reason, reason]);
      expect(error?.message).not.toBe('');
    }
    expect((await testStep(waits, { timeoutMs: 20 })).error).toMatchObject({
      name: 'TimeoutError',
      class: 'transient',
    });
    expect((await testStep(waits, { signal: AbortSignal.timeout(20) })).aborted).toBe('cancelled');
    expect((await testStep(waits, { signal: AbortSignal.abort() })).aborted).toBe('cancelled');
  });

  it('lets a step go on after a shutdown, which is not counted as an attempt', async () => {
    const tokens: number[] = [];
    const resumes = step(async (ctx) => {
      tokens.push(ctx.token);
      if ((await ctx.checkpoint.load()) !== undefined) return { attempt: ctx.attempt };
      await ctx.checkpoint.save('half');
      ctx.signal.throwIfAborted();
      return 'not aborted';
    });
    const { output, attempts } = await testStep(resumes, {
      attempts: 2,
      watch: (seen, abort) => seen.kind === 'checkpoint' && abort('shutdown'),
    });
    expect(attempts.map(({ end }) => end)).toEqual(['shutdown', 'completed']);
    expect(output).toEqual({ attempt: 1 });
    expect(tokens).toEqual([1, 2]);
  });

  it('keeps what the step puts into the outbox, once for all attempts, and makes the call from there', async () => {
    const later = step(async (ctx, input) => {
      if (ctx.delivery) return `delivered what was put at ${ctx.delivery.putAt}`;
      const { id } = await ctx.outbox.put();
      if (ctx.attempt === 1) throw new StepError('transient', 'after the put');
      return { id, input };
    });
    const { outbox } = await testStep(later, { input: { n: 7 }, idempotencyKey: 'key-1', attempts: 2 });
    expect(outbox).toEqual([{ id: 'key-1', input: { n: 7 } }]);
    const delivered = await testStep(later, { delivery: { putAt: '2026-01-01T00:00:00Z' } });
    expect(delivered.output).toBe('delivered what was put at 2026-01-01T00:00:00Z');
  });

  it('puts files before an attempt', async () => {
    const reads = step((ctx) => readFileSync(join(ctx.workspace, 'a.txt'), 'utf8'));
    const beforeAttempt = ({ workspace, attempt }: { workspace: string; attempt: number }) =>
      writeFileSync(join(workspace, 'a.txt'), `for ${attempt}`);
    expect((await testStep(reads, { beforeAttempt, attempt: 7 })).output).toBe('for 7');
  });

  it('says which step it wants to know', async () => {
    const plugin = definePlugin({
      name: 'two',
      version: '1.0.0',
      apiVersion: 1,
      steps: { one: step(() => 1), other: step(() => 2) },
    });
    expect((await testStep(plugin, { step: 'other' })).output).toBe(2);
    await expect(testStep(plugin)).rejects.toThrow('which step? The plugin has one, other');
    await expect(testStep(plugin, { step: 'third' })).rejects.toThrow('no step third, only one, other');
    await expect(testStep(plugin, { step: 'one', isolation: 'process' })).rejects.toThrow('given as a file');
    await expect(testStep({ ...plugin, name: 'Two' }, { step: 'one' })).rejects.toThrow('name is "Two"');
    await expect(testStep('/nowhere/plugin.yaml')).rejects.toThrow('there is no file /nowhere/plugin.yaml');
  });

  it('runs a plugin in a file as a daemon would: in a process of its own', async () => {
    const file = pathToFileURL(join(packageRoot, 'examples/plugin-shell/plugin.yaml'));
    const { output } = await testStep<{ low: boolean }>(file, { input: { low_below_mb: 0 } });
    expect(output?.low).toBe(false);
    await expect(testStep(file, { isolation: 'inline' })).rejects.toThrow('runs in a process only');
    const hello = join(packageRoot, 'examples/plugin-hello/index.ts');
    for (const options of [{}, { isolation: 'inline' as const }]) {
      const tested = await testStep<{ greeting: string }>(hello, { ...options, input: { name: 'there' } });
      expect(tested.output?.greeting).toBe('Hello, there!');
    }
  });
});
