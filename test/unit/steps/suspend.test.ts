// `ctx.suspend` as plugins meet it: inline, in a process of its own, in a program of another language, and in their tests.
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { packageRoot } from '../../../src/base/package-root.ts';
import { defineStep, type Json, type StepContext, type Suspension } from '../../../src/steps/api.ts';
import { testStep } from '../../../src/steps/testing/test-step.ts';

function step(run: (ctx: StepContext, input: Json) => unknown) {
  return defineStep({ input: z.json(), output: z.json(), run: run as () => never });
}

const asks = step(async (ctx) => (await ctx.suspend({ kind: 'approval', message: 'go?' })) as unknown as Json);

describe('ctx.suspend', () => {
  it('ends the attempt as a wait where nobody answers, without a try of it', async () => {
    const tested = await testStep(asks, { attempts: 3 });
    expect(tested).toMatchObject({ end: 'wait', output: undefined, aborted: undefined });
    expect(tested.attempts).toMatchObject([{ attempt: 1, end: 'wait', next: undefined }]);
    expect(tested.waits).toMatchObject([{ kind: 'approval', key: 'approval/1', message: 'go?', timeoutMs: null }]);
  });

  it('runs the step again from its start with the answer', async () => {
    let begun = 0;
    const counts = step(async (ctx) => {
      begun += 1;
      return [begun, await ctx.suspend({ kind: 'approval' })] as unknown as Json;
    });
    const tested = await testStep(counts, { answers: { 'approval/1': { decision: 'reject', data: { why: 'no' } } } });
    const answer = { decision: 'reject', data: { why: 'no' }, by: 'tester', at: expect.any(String), timedOut: false };
    expect(tested.output).toEqual([2, answer]);
    expect(tested.attempts.map(({ attempt, end }) => [attempt, end])).toEqual([
      [1, 'wait'],
      [1, 'completed'],
    ]);
  });

  it('numbers questions without a key by kind, the same in every attempt', async () => {
    const many = step(async (ctx) => {
      const first = await ctx.suspend({ kind: 'manual_edit' });
      const second = await ctx.suspend({ kind: 'approval' });
      const third = await ctx.suspend({ kind: 'manual_edit' });
      return [first.data, second.decision, third.data];
    });
    const answers = {
      'manual_edit/1': { data: 1 },
      'approval/1': { decision: 'approve' },
      'manual_edit/2': { data: 3 },
    };
    expect((await testStep(many, { answers })).output).toEqual([1, 'approve', 3]);
  });

  it.each([
    ['approve', { decision: 'approve', by: null, timedOut: true }],
    ['continue', { decision: 'continue', timedOut: true }],
  ] as const)('is answered by time with %s', async (onTimeout, answer) => {
    const timed = step(
      async (ctx) => (await ctx.suspend({ kind: 'approval', timeoutMs: 5, onTimeout })) as unknown as Json,
    );
    expect((await testStep(timed, { answers: { 'approval/1': 'timeout' } })).output).toMatchObject(answer);
  });

  it('throws where time fails it, as a fatal error', async () => {
    const tested = await testStep(asks, { answers: { 'approval/1': 'timeout' } });
    expect(tested.error).toMatchObject({ name: 'WaitTimedOut', class: 'fatal' });
  });

  it('is a wait also where the step catches what it throws and completes, or fails otherwise', async () => {
    const catches = step(async (ctx) => ctx.suspend({ kind: 'approval' }).catch(() => 'went on') as unknown as Json);
    expect((await testStep(catches)).end).toBe('wait');
    const fails = step(async (ctx) => {
      await ctx.suspend({ kind: 'approval' }).catch(() => {});
      throw new Error('other');
    });
    expect((await testStep(fails)).end).toBe('wait');
  });

  it('masks secrets in what is asked', async () => {
    const tells = step(async (ctx) => {
      const key = await ctx.secrets.get('key');
      return (await ctx.suspend({ kind: 'approval', message: `use ${key}?`, form: { key } })) as unknown as Json;
    });
    const { waits } = await testStep(tells, { secrets: { key: 's3cret-value' } });
    expect(waits).toHaveLength(1);
    expect(JSON.stringify(waits)).not.toContain('s3cret-value');
  });

  it.each<[string, unknown]>([
    ['kind', { kind: 'children' }],
    ['timeoutMs', { kind: 'timer' }],
    ['timeoutMs', { kind: 'approval', timeoutMs: -1 }],
    ['timeoutMs', { kind: 'approval', timeoutMs: Number.NaN }],
    ['onTimeout', { kind: 'approval', onTimeout: 'explode' }],
    ['key', { kind: 'approval', key: 'two words' }],
    ['choices', { kind: 'approval', choices: [] }],
    ['approvers', { kind: 'approval', approvers: 'maria' }],
    ['message', { kind: 'approval', message: 5 }],
    ['startedByMayAnswer', { kind: 'approval', startedByMayAnswer: 'no' }],
  ])('refuses a wrong %s', async (field, question) => {
    const asked = step(async (ctx) => (await ctx.suspend(question as Suspension)) as unknown as Json);
    const tested = await testStep(asked);
    expect(tested.error).toMatchObject({ name: 'InvalidSuspension', class: 'fatal' });
    expect(tested.error?.message).toContain(`suspend: ${field} is `);
  });

  it('is refused in a call from the outbox, and in a compensation', async () => {
    const delivered = await testStep(asks, { delivery: { putAt: '2026-01-01T00:00:00.000Z' } });
    expect(delivered.error).toMatchObject({ name: 'NoSuspension', class: 'fatal' });
    const undoes = { ...asks, compensate: async (ctx: StepContext) => void (await ctx.suspend({ kind: 'approval' })) };
    const undone = await testStep(undoes, { compensate: { run: false } });
    expect(undone.compensation?.error).toMatchObject({ name: 'NoSuspension' });
  });
});

describe('ctx.suspend in a process of its own', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(packageRoot, 'node_modules', '.cronwright-suspend-'));
    const any = `{ '~standard': { version: 1 as const, vendor: 'own', validate: (value: any) => ({ value }) } }`;
    writeFileSync(
      join(folder, 'asking.ts'),
      `import { definePlugin, defineStep } from 'cronwright/plugin';
const any = ${any};
export default definePlugin({ name: 'asking', version: '1.0.0', apiVersion: 1, steps: {
  ask: defineStep({ input: any, output: any, run: async (ctx) => ctx.suspend({ kind: 'approval', message: 'go?', timeoutMs: 1000 }) }),
  catches: defineStep({ input: any, output: any, run: async (ctx) => ctx.suspend({ kind: 'approval' }).catch((error) => error.name) }),
} });
`,
    );
    const program = join(folder, 'ask.sh');
    writeFileSync(
      program,
      `#!/bin/sh
read -r start
printf '%s\\n' '{"type":"call","id":1,"method":"suspend","params":{"kind":"approval","message":"from sh"}}' >&3
read -r answer
case "$answer" in
  *'"decision":"approve"'*) printf '%s\\n' '{"type":"completed","output":{"approved":true}}' >&3 ;;
  *) printf '%s\\n' '{"type":"failed","error":{"name":"Suspended","message":"waits","class":"fatal"}}' >&3 ;;
esac
`,
    );
    chmodSync(program, 0o755);
    writeFileSync(
      join(folder, 'plugin.yaml'),
      `name: asking-sh
version: 1.0.0
apiVersion: 1
steps:
  ask:
    command: [./ask.sh]
    input: { type: object }
    output: { type: object }
`,
    );
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('asks, and is told the answer when it runs again', async () => {
    const file = join(folder, 'asking.ts');
    const open = await testStep(file, { step: 'ask' });
    expect(open).toMatchObject({ end: 'wait', waits: [{ key: 'approval/1', timeoutMs: 1000 }] });
    const answered = await testStep(file, {
      step: 'ask',
      answers: { 'approval/1': { decision: 'approve', data: [1] } },
    });
    expect(answered.output).toMatchObject({ decision: 'approve', data: [1] });
  }, 60_000);

  it('throws there too where time fails it', async () => {
    const file = join(folder, 'asking.ts');
    const late = await testStep(file, { step: 'ask', answers: { 'approval/1': 'timeout' } });
    expect(late.error).toMatchObject({ name: 'WaitTimedOut', class: 'fatal' });
  }, 60_000);

  it('is a wait also where it catches what is thrown', async () => {
    expect(await testStep(join(folder, 'asking.ts'), { step: 'catches' })).toMatchObject({ end: 'wait' });
  });

  it('can be asked by a program that speaks the protocol', async () => {
    const file = join(folder, 'plugin.yaml');
    expect(await testStep(file)).toMatchObject({ end: 'wait', waits: [{ message: 'from sh' }] });
    const answers = { 'approval/1': { decision: 'approve' } };
    expect((await testStep(file, { answers })).output).toEqual({ approved: true });
  });
});
