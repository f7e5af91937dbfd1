// Steps in a process of their own: the same as inline, and what happens when they misbehave.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packageRoot } from '../../../src/base/package-root.ts';
import { createAbortError } from '../../../src/steps/abort-reason.ts';
import { StepError } from '../../../src/steps/api.ts';
import { loadPlugins } from '../../../src/steps/load-plugins.ts';
import { createRegistry, type Registry } from '../../../src/steps/registry.ts';
import { errorOf, type Overrides, outputOf, type Ran, runStep } from '../../support/step-context.ts';

/** A plugin outside the package, as a user would write it. */
const pluginText = `
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { definePlugin, defineStep, StepError, type StepContext } from 'cronwright/plugin';
const any = { '~standard': { version: 1 as const, vendor: 'own', validate: (value: any) => ({ value }) } };
const step = (run: (ctx: StepContext, input: any) => any) => defineStep({ input: any, output: any, run });
const forever = () => new Promise<never>(() => {});
export default definePlugin({ name: 'wild', version: '1.0.0', apiVersion: 1, steps: {
  everything: step(async (ctx, input) => {
    ctx.log.info('said', { big: 1n });
    ctx.output('stderr', 'half ');
    ctx.output('stderr', 'line\\n');
    console.log('printed');
    ctx.progress({ done: 1, total: 2, message: 'half' });
    ctx.event('happened', { a: [1] });
    const before = await ctx.checkpoint.load();
    await ctx.checkpoint.save({ at: 7 });
    const put = await ctx.artifacts.put({ name: 'a.bin', mediaType: 'application/octet-stream', content: new Uint8Array(3_000_000).fill(7) });
    const got = await ctx.artifacts.get(put.id);
    const sql = await ctx.sql('db', { readOnly: true });
    const { rows } = await sql.query('select $1', [5]);
    const secret = await ctx.secrets.get('token');
    const missing = await ctx.secrets.get('absent').catch((error: StepError) => [error.name, error.class, error instanceof StepError]);
    console.log(secret);
    const { tenant, runId, pipeline, attempt, token, idempotencyKey, item, dryRun, env, traceparent, host } = ctx;
    return { input, before, after: await ctx.checkpoint.load(), artifact: [put.size, got.content.length, got.content[2_999_999]], rows, secret, missing,
      ctx: { tenant, runId, pipeline, attempt, token, idempotencyKey, item, dryRun, env, traceparent, host },
      cwd: process.cwd() === ctx.workspace, environment: Object.keys(process.env).sort() };
  }),
  fails: step(() => { throw new StepError('rate_limited', 'later', { name: 'Busy', retryAfterMs: 5, details: { a: 1 } }); }),
  asks: step(async (ctx) => (await ctx.llm.ask({ system: 's', messages: [{ role: 'user', content: 'c' }], template: 't' })).text),
  network: step(() => { throw Object.assign(new Error('gone'), { code: 'ECONNRESET' }); }),
  rejects: step(() => { void Promise.reject(new Error('nobody waits for this')); return forever(); }),
  throws_later: step(() => { setTimeout(() => { throw new Error('out of the blue'); }, 1); return forever(); }),
  exits: step(() => process.exit(3)),
  crashes: step(() => { process.kill(process.pid, 'SIGSEGV'); return forever(); }),
  eats: step(() => { const all: unknown[] = []; for (;;) all.push(new Array(1_000).fill(Math.random())); }),
  eats_buffers: step(() => { const all: Buffer[] = []; for (;;) all.push(Buffer.alloc(10_000_000, 1)); }),
  not_json: step(() => ({ when: new Date(0) })),
  floods: step(async () => {
    process.stdout.write('z'.repeat(10_000_000));
    for (let n = 0; n < 3_000; n++) process.stdout.write(('y'.repeat(999) + '\\n').repeat(10));
    return 'done';
  }),
  floods_log: step((ctx) => { for (let n = 0; n < 20_000; n++) ctx.log.info('x'.repeat(1_000)); return 'done'; }),
  long_message: step((ctx) => { ctx.log.info('x'.repeat(30_000_000)); return 'done'; }),
  fakes: step((_ctx) => { console.log('{"type":"completed","output":"faked"}'); return 'real'; }),
  spins: step((ctx) => { writeFileSync(ctx.workspace + '/ready', String(process.pid)); for (;;) {} }),
  polite: step((ctx) => new Promise((_resolve, reject) => {
    ctx.signal.addEventListener('abort', () => { ctx.log.info('bye ' + ctx.signal.reason.name); reject(ctx.signal.reason); });
    writeFileSync(ctx.workspace + '/ready', '');
  })),
  breeds: step(async (ctx, { file }) => {
    const inner = 'trap "" TERM; sleep 1000';
    const pids = [
      spawn('sh', ['-c', inner], { stdio: 'inherit' }).pid,
      spawn('sh', ['-c', 'sh -c "' + "trap '' TERM; sleep 1001" + '" & wait'], { stdio: 'ignore' }).pid,
      spawn('sh', ['-c', inner], { stdio: 'ignore', detached: true }).pid,
    ];
    writeFileSync(file, JSON.stringify([process.pid, ...pids]));
    process.on('SIGTERM', () => {});
    return ctx.dryRun ? 'done' : forever();
  }),
} });
`;

let folder: string;
let registry: Registry;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cronwright-wild-'));
  writeFileSync(join(folder, 'wild.ts'), pluginText);
  const { plugins, problems } = await loadPlugins({ builtIn: {}, listed: ['./wild.ts'], baseDir: folder });
  expect(problems).toEqual([]);
  registry = createRegistry(plugins);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function run(name: string, input: unknown = {}, overrides: Overrides = {}): Promise<Ran> {
  const step = registry.get(`wild.${name}`);
  if (!step) throw new Error(`no step ${name}`);
  expect(step.isolation).toBe('process');
  return runStep(step, input, overrides);
}

/** Aborts a step that has begun, which it says by a file. */
async function abortOnceReady(name: string): Promise<Ran & { afterMs: number }> {
  const workspaceDir = mkdtempSync(join(folder, 'workspace-'));
  const controller = new AbortController();
  const running = run(name, {}, { signal: controller.signal, workspaceDir });
  await expect.poll(() => existsSync(join(workspaceDir, 'ready')), { timeout: 15_000 }).toBe(true);
  const abortedAt = performance.now();
  controller.abort(createAbortError('cancelled'));
  return { ...(await running), afterMs: performance.now() - abortedAt };
}

describe('a step in a process of its own', () => {
  it('is given everything that an inline step is given', async () => {
    const ran = await run(
      'everything',
      { deep: [1, { a: null }] },
      {
        env: { OWN: 'x' },
        item: 4,
        attempt: 2,
        token: 9,
        idempotencyKey: 'key',
        traceparent: '00-aa-bb-01',
        secretValues: { token: 's3cret-value' },
        checkpoint: { at: 1 },
        sql: async (name, { readOnly }) => ({
          query: async (text, params) => ({
            rows: [{ name, text, readOnly, param: params?.[0] ?? null }],
            rowCount: 1,
          }),
        }),
      },
    );
    const output = outputOf<Record<string, unknown>>(ran);
    expect(output).toMatchObject({
      input: { deep: [1, { a: null }] },
      before: { at: 1 },
      after: { at: 7 },
      artifact: [3_000_000, 3_000_000, 7],
      rows: [{ name: 'db', text: 'select $1', readOnly: true, param: 5 }],
      secret: '***',
      missing: ['MissingSecret', 'fatal', true],
      ctx: {
        tenant: 'default',
        pipeline: 'test-pipeline',
        attempt: 2,
        token: 9,
        idempotencyKey: 'key',
        item: 4,
        dryRun: false,
        env: { OWN: 'x' },
        traceparent: '00-aa-bb-01',
      },
      cwd: true,
    });
    // PWD, OLDPWD and SHLVL are the shell's that sets the limits.
    const environment = (output.environment as string[]).filter(
      (name) => !['PWD', 'OLDPWD', 'SHLVL', '_'].includes(name),
    );
    expect(environment).toEqual(['HOME', 'LANG', 'OWN', 'PATH']);
    expect(ran.recorded.log.map(({ stream, message }) => `${stream}:${message}`).sort()).toEqual([
      'log:said',
      'stderr:half line',
      'stdout:***',
      'stdout:printed',
    ]);
    expect(ran.recorded).toMatchObject({
      progress: [{ done: 1, total: 2, message: 'half' }],
      events: [{ type: 'happened', data: { a: [1] } }],
    });
  });

  it.each([
    ['fails', { name: 'Busy', message: 'later', class: 'rate_limited', retryAfterMs: 5, details: { a: 1 } }],
    ['network', { name: 'Error', message: 'gone', class: 'transient' }],
    ['rejects', { message: 'nobody waits for this', class: 'fatal' }],
    ['throws_later', { message: 'out of the blue', class: 'fatal' }],
    [
      'exits',
      { name: 'ProcessExited', class: 'fatal', message: 'wild.exits ended its process with code 3 before it returned' },
    ],
    ['crashes', { name: 'ProcessKilled', class: 'transient', message: expect.stringContaining('SIGSEGV') }],
    ['not_json', { name: 'InvalidOutput', class: 'fatal', message: 'output.when is a Date, expected JSON' }],
  ])('that %s fails clearly, and the node lives', async (name, error) => {
    expect(errorOf(await run(name))).toMatchObject(error);
  });

  it('that asks a model gets its answer', async () => {
    expect(outputOf<unknown>(await run('asks'))).toBe('t');
  });

  it('that asks a model is told of an error that ends all items', async () => {
    const refused = new StepError('fatal', 'no key', { name: 'MissingApiKey', scope: 'run' });
    const failing = await run('asks', {}, { llm: () => Promise.reject(refused) });
    expect(errorOf(failing)).toMatchObject({ name: 'MissingApiKey', class: 'fatal', scope: 'run' });
  });

  it.each(['eats', 'eats_buffers'])('that %s more memory than it may is told so', async (name) => {
    const error = errorOf(await run(name, {}, { host: { process: { memoryMb: 64 } } }));
    expect(error).toMatchObject({ class: 'fatal' });
    expect(`${error.name} ${error.message}`).toMatch(/^MemoryLimit .*\(limits\.memory of the step\)/);
  });

  it('cannot end its attempt by printing', async () => {
    const ran = await run('fakes');
    expect(outputOf(ran)).toBe('real');
    expect(ran.recorded.log[0]?.message).toBe('{"type":"completed","output":"faked"}');
  });

  it.each(['floods', 'floods_log', 'long_message'])('that %s leaves the memory of the node as it was', async (name) => {
    const before = process.memoryUsage().rss;
    let most = before;
    const timer = setInterval(() => {
      most = Math.max(most, process.memoryUsage().rss);
    }, 5);
    const ran = await run(name);
    clearInterval(timer);
    if (name === 'long_message') expect(errorOf(ran)).toMatchObject({ name: 'ProtocolError', class: 'fatal' });
    else expect(outputOf(ran)).toBe('done');
    expect((most - before) / 1_048_576).toBeLessThan(64);
    expect(JSON.stringify(ran.recorded.log).length).toBeLessThan(6_000_000);
  });

  it('ends by itself when its signal aborts, and its last words are heard', async () => {
    const { result, recorded } = await abortOnceReady('polite');
    expect(result).toMatchObject({ kind: 'cancelled', abandoned: false });
    expect(recorded.log.map(({ message }) => message)).toEqual(['bye cancelled']);
  });

  it('that spins is killed within 2 s of its signal, not before it had time to end', async () => {
    const { result, afterMs } = await abortOnceReady('spins');
    expect(result).toMatchObject({ kind: 'cancelled', abandoned: false });
    expect(afterMs).toBeGreaterThan(1_400);
    expect(afterMs).toBeLessThan(4_500);
  });

  it.each([
    ['is aborted', false],
    ['completes', true],
  ])('takes its descendants along when it %s', async (_how, completes) => {
    const file = join(folder, `pids-${completes}.json`);
    const controller = new AbortController();
    const running = run('breeds', { file }, { signal: controller.signal, dryRun: completes });
    await expect
      .poll(() => existsSync(file) && readFileSync(file, 'utf8').endsWith(']'), { timeout: 15_000 })
      .toBe(true);
    const pids = JSON.parse(readFileSync(file, 'utf8')) as number[];
    expect(pids).toHaveLength(4);
    if (!completes) controller.abort(createAbortError('cancelled'));
    const { result } = await running;
    expect(result.kind).toBe(completes ? 'completed' : 'cancelled');
    await expect.poll(() => pids.filter(isAlive), { timeout: 5_000 }).toEqual([]);
  });

  it('ends with its node, also when the node is killed', async () => {
    const file = join(folder, 'guarded');
    const node = spawn(process.execPath, ['--import', 'tsx', join(packageRoot, 'test/support/run-one-step.ts')], {
      cwd: packageRoot,
      env: {
        ...process.env,
        STEP: 'shell.run',
        ISOLATION: 'process',
        WORKSPACE: folder,
        INPUT: JSON.stringify({ script: 'echo $PPID $$ > guarded.part; mv guarded.part guarded; sleep 1000' }),
      },
      stdio: 'inherit',
    });
    await expect.poll(() => existsSync(file), { timeout: 15_000 }).toBe(true);
    const pids = readFileSync(file, 'utf8').trim().split(' ').map(Number);
    expect(pids.filter(isAlive)).toHaveLength(2);
    node.kill('SIGKILL');
    await expect.poll(() => pids.filter(isAlive), { timeout: 5_000 }).toEqual([]);
  });

  it('ends with its node although it spins', async () => {
    const workspaceDir = mkdtempSync(join(folder, 'workspace-'));
    const node = spawn(process.execPath, ['--import', 'tsx', join(packageRoot, 'test/support/run-one-step.ts')], {
      cwd: packageRoot,
      env: { ...process.env, PLUGIN: join(folder, 'wild.ts'), STEP: 'wild.spins', WORKSPACE: workspaceDir },
      stdio: 'inherit',
    });
    const pid = () =>
      Number(existsSync(join(workspaceDir, 'ready')) && readFileSync(join(workspaceDir, 'ready'), 'utf8'));
    await expect.poll(pid, { timeout: 15_000 }).toBeGreaterThan(0);
    node.kill('SIGKILL');
    await expect.poll(() => isAlive(pid()), { timeout: 5_000 }).toBe(false);
  });

  it('leaves no folder behind in which its artifacts went to and fro', async () => {
    const count = async () =>
      (await import('node:fs')).readdirSync(tmpdir()).filter((name) => name.startsWith('cronwright-step-')).length;
    const before = await count();
    await run('fails');
    expect(await count()).toBeLessThanOrEqual(before);
  });
});

function isAlive(pid: number): boolean {
  try {
    // A zombie is dead: only its parent has not noticed.
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}
