// `compensate` of a step type: what a plugin may declare, what it is given, inline and in a process of its own.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { definePlugin, defineStep, type PluginDefinition, StepError } from '../../../src/steps/api.ts';
import { createRegistry } from '../../../src/steps/registry.ts';
import { testStep } from '../../../src/steps/testing/test-step.ts';

const put = defineStep({
  input: z.strictObject({ name: z.string().default('file') }),
  output: z.object({ wrote: z.string() }),
  async run(ctx, { name }) {
    await ctx.checkpoint.save({ begun: name });
    writeFileSync(join(ctx.workspace, name), 'x');
    if (ctx.dryRun) throw new StepError('transient', 'not yet');
    return { wrote: name };
  },
  async compensate(ctx, { name }, output) {
    ctx.log.info('undone', {
      output: output?.wrote ?? null,
      begun: (await ctx.checkpoint.load()) ?? null,
      reason: ctx.compensation?.reason ?? null,
      key: ctx.idempotencyKey,
    });
    rmSync(join(ctx.workspace, name), { force: true });
  },
});
const plugin = (step: unknown): PluginDefinition =>
  definePlugin({ name: 'test', version: '1.0.0', apiVersion: 1, steps: { put: step as never } });
const registered = (step: unknown) =>
  createRegistry([{ definition: plugin(step), source: { kind: 'built-in', specifier: 'test' } }]).get('test.put');

describe('a step type that can undo what it did', () => {
  it('says so in the registry, and one that cannot says why', () => {
    expect(registered(put)).toMatchObject({ compensates: true });
    expect(registered({ ...put, compensate: undefined })?.compensates).toBe(false);
    expect(registered({ ...put, compensate: undefined, irreversible: 'the mail is gone' })).toMatchObject({
      compensates: false,
      irreversible: 'the mail is gone',
    });
  });

  it.each([
    [{ ...put, compensate: true }, 'steps.put.compensate is of type boolean, expected a function'],
    [{ ...put, compensate: undefined, irreversible: ' ' }, 'steps.put.irreversible is " ", expected a sentence'],
    [{ ...put, irreversible: 'why' }, 'steps.put has both compensate and irreversible'],
  ])('is refused where %#: its declaration is wrong', (step, says) => {
    expect(() => registered(step)).toThrow(expect.objectContaining({ message: expect.stringContaining(says) }));
  });

  it('is undone after its run, in the same workspace, with its output and a key of its own', async () => {
    const tested = await testStep(put, {
      input: { name: 'a' },
      idempotencyKey: 'key',
      compensate: { reason: 'rollback' },
      inspect: ({ workspace }) => expect(existsSync(join(workspace, 'a'))).toBe(false),
    });
    expect(tested).toMatchObject({ end: 'completed', output: { wrote: 'a' } });
    expect(tested.compensation).toMatchObject({ end: 'completed', error: undefined });
    expect(tested.logs.map((line) => line.fields)).toEqual([
      { output: 'a', begun: { begun: 'a' }, reason: 'rollback', key: 'key/compensate' },
    ]);
  });

  it('gets no output where it did not finish, and what it had saved', async () => {
    const tested = await testStep(put, { input: { name: 'a' }, dryRun: true, compensate: {} });
    expect(tested.end).toBe('failed');
    expect(tested.logs.map((line) => line.fields)).toMatchObject([
      { output: null, begun: { begun: 'a' }, reason: 'failed' },
    ]);
  });

  it('can be undone without a run before, and its errors have classes and retries', async () => {
    let tries = 0;
    const stubborn = defineStep({
      input: z.any(),
      output: z.any(),
      run: () => null,
      compensate(_ctx, _input, output) {
        tries += 1;
        if (tries < 3) throw new StepError('transient', `try ${tries} of ${JSON.stringify(output)}`);
      },
    });
    const tested = await testStep(stubborn, { compensate: { run: false, output: { n: 1 }, attempts: 5 } });
    expect(tested.attempts).toEqual([]);
    expect(tested.compensation?.attempts.map(({ error }) => error?.message)).toEqual([
      'try 1 of {"n":1}',
      'try 2 of {"n":1}',
      undefined,
    ]);
  });
});

describe('in a process of its own', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'cronwright-undo-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('compensate gets input, output, reason and the context', async () => {
    writeFileSync(
      join(folder, 'undo.ts'),
      `import { rmSync, writeFileSync } from 'node:fs';
import { definePlugin, defineStep, type StepContext } from 'cronwright/plugin';
const any = { '~standard': { version: 1 as const, vendor: 'own', validate: (value: any) => ({ value }) } };
export default definePlugin({ name: 'undo', version: '1.0.0', apiVersion: 1, steps: { put: defineStep({
  input: any, output: any,
  run(ctx: StepContext, input: any) { writeFileSync(ctx.workspace + '/made', ''); return { made: input.n }; },
  async compensate(ctx: StepContext, input: any, output: any) {
    rmSync(ctx.workspace + '/made');
    ctx.log.info('undone', { input, output: output ?? null, reason: ctx.compensation?.reason ?? null });
  },
}) } });
`,
    );
    const tested = await testStep(join(folder, 'undo.ts'), {
      input: { n: 3 },
      compensate: { reason: 'timeout' },
      inspect: ({ workspace }) => expect(existsSync(join(workspace, 'made'))).toBe(false),
    });
    expect(tested.compensation).toMatchObject({ end: 'completed' });
    expect(tested.logs.map((line) => line.fields)).toEqual([
      { input: { n: 3 }, output: { made: 3 }, reason: 'timeout' },
    ]);
  });

  it('a program of a plugin.yaml that says `compensate` is started to undo', async () => {
    writeFileSync(
      join(folder, 'plugin.yaml'),
      `name: sh
version: 1.0.0
apiVersion: 1
steps:
  put:
    command: [sh, ./put.sh]
    compensate: true
    input: { type: object }
    output: { type: object }
`,
    );
    writeFileSync(
      join(folder, 'put.sh'),
      `read -r start
case "$start" in
  *'"compensates":true,"output":{"ok":true}'*'"compensation":{"reason":"failed"}'*)
    printf '%s\\n' '{"type":"log","level":"info","message":"undone"}' >&3 ;;
esac
printf '%s\\n' '{"type":"completed","output":{"ok":true}}' >&3
`,
    );
    const tested = await testStep(join(folder, 'plugin.yaml'), { input: {}, compensate: {} });
    expect(tested.compensation).toMatchObject({ end: 'completed', error: undefined });
    expect(tested.logs.map((line) => line.message)).toEqual(['undone']);
  });
});
