// Plugins in Python and shell: the examples at work, and what becomes of programs that misbehave.
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { packageRoot } from '../../src/base/package-root.ts';
import { createAbortError } from '../../src/steps/abort-reason.ts';
import { loadPlugins } from '../../src/steps/load-plugins.ts';
import { createRegistry, type RegisteredStep } from '../../src/steps/registry.ts';
import { hasPython } from '../support/has-python.ts';
import { errorOf, outputOf, runStep } from '../support/step-context.ts';
import { tempFolder } from '../support/temp-folder.ts';

async function stepsOf(folder: string): Promise<(name: string) => RegisteredStep> {
  const { plugins, problems } = await loadPlugins({ builtIn: {}, listed: [folder], baseDir: packageRoot });
  expect(problems).toEqual([]);
  const steps = createRegistry(plugins).list();
  return (name) => {
    const step = steps.find((one) => one.name === name);
    if (!step) throw new Error(`no step ${name}`);
    return step;
  };
}

const messages = (ran: { recorded: { log: { message: string }[] } }) => ran.recorded.log.map(({ message }) => message);

describe.runIf(hasPython())('the example in Python', () => {
  let step: Awaited<ReturnType<typeof stepsOf>>;
  beforeAll(async () => {
    step = await stepsOf('./examples/plugin-python');
  });

  function workspaceWith(files: Record<string, string>): string {
    const workspaceDir = tempFolder('workspace');
    for (const [name, text] of Object.entries(files)) writeFileSync(join(workspaceDir, name), text);
    return workspaceDir;
  }

  it('is described as every other plugin is', () => {
    expect(step('greet')).toMatchObject({ id: 'hello-python.greet', isolation: 'process', weight: 'heavy' });
    expect(step('greet').inputSchema).toMatchObject({ properties: { name: { default: 'world' } } });
    expect(step('count_words')).toMatchObject({ idempotency: 'natural', workspace: 'reads' });
  });

  it('gets defaults, logs and returns', async () => {
    const ran = await runStep(step('greet'), {});
    expect(outputOf(ran)).toEqual({ greeting: 'Hello, world!' });
    expect(ran.recorded.log).toMatchObject([{ level: 'info', message: 'greeting', fields: { name: 'world' } }]);
  });

  it('works in its workspace with progress, checkpoint, secret and artifact', async () => {
    const workspaceDir = workspaceWith({ 'a.txt': 'one two', 'ü.txt': 'three fóur five' });
    const files = ['a.txt', 'ü.txt'];
    const secretValues = { key: 's3cret-value' };
    const ran = await runStep(step('count_words'), { files, signed_with: 'key' }, { workspaceDir, secretValues });
    expect(outputOf(ran)).toMatchObject({ words: 5 });
    expect(ran.recorded.progress).toEqual([
      { done: 1, total: 2, message: 'counted a.txt' },
      { done: 2, total: 2, message: 'counted ü.txt' },
    ]);
    expect(ran.recorded.checkpoint).toEqual({ 'a.txt': 2, 'ü.txt': 3 });
    const [kept] = ran.recorded.artifacts;
    expect(kept?.artifact).toMatchObject({ name: 'words.json', mediaType: 'application/json' });
    expect(JSON.parse(new TextDecoder().decode(kept?.content))).toMatchObject({ words: { 'a.txt': 2, 'ü.txt': 3 } });
  });

  it('goes on from the checkpoint of an earlier attempt', async () => {
    const ran = await runStep(step('count_words'), { files: ['gone.txt'] }, { checkpoint: { 'gone.txt': 41 } });
    expect(outputOf(ran)).toMatchObject({ words: 41 });
  });

  it('fails with the class and details it gave', async () => {
    expect(errorOf(await runStep(step('count_words'), { files: ['absent.txt'] }))).toEqual({
      name: 'FileMissing',
      message: 'there is no file absent.txt yet',
      class: 'transient',
      details: { file: 'absent.txt' },
    });
    const missing = errorOf(
      await runStep(
        step('count_words'),
        { files: ['a.txt'], signed_with: 'absent' },
        { workspaceDir: workspaceWith({ 'a.txt': 'x' }) },
      ),
    );
    expect(missing).toMatchObject({ name: 'MissingSecret', class: 'fatal' });
  });

  it('is told when it has to end, tidies up and says why', async () => {
    // 100,000 characters take it a second.
    const workspaceDir = workspaceWith({ 'a.txt': 'one', 'long.txt': 'x'.repeat(3_000_000) });
    const controller = new AbortController();
    const running = runStep(
      step('count_words'),
      { files: ['a.txt', 'long.txt'] },
      { workspaceDir, signal: controller.signal, onSeen: ({ kind }) => kind === 'progress' && abort() },
    );
    const abort = () => controller.abort(createAbortError('shutdown'));
    const from = performance.now();
    const ran = await running;
    expect(performance.now() - from).toBeLessThan(5_000);
    expect(ran.result).toMatchObject({ kind: 'shutdown', abandoned: false });
    expect(ran.recorded.log).toMatchObject([
      { level: 'warn', message: 'stopped before the end', fields: { reason: 'shutdown', counted: 1 } },
    ]);
    expect(ran.recorded.checkpoint).toEqual({ 'a.txt': 1 });
  });
});

describe('the example in POSIX sh', () => {
  let step: Awaited<ReturnType<typeof stepsOf>>;
  beforeAll(async () => {
    step = await stepsOf('./examples/plugin-shell');
  });

  it('logs, prints, progresses and returns', async () => {
    const ran = await runStep(step('disk_space'), { low_below_mb: 0 });
    expect(outputOf(ran)).toEqual({ free_mb: expect.any(Number), low: false });
    expect(ran.recorded.progress.map(({ done }) => done)).toEqual([0, 1]);
    expect(messages(ran)).toContain('looking at the disk');
    expect(ran.recorded.log.find(({ stream }) => stream === 'stdout')?.message).toMatch(/Filesystem/);
  });

  it('reads its input', async () => {
    expect(outputOf(await runStep(step('disk_space'), { low_below_mb: 1_000_000_000 }))).toMatchObject({ low: true });
    const refused = errorOf(await runStep(step('disk_space'), { low_below_mb: '5' }));
    expect(refused).toMatchObject({ name: 'ValidationError', class: 'fatal' });
  });
});

describe('a program that misbehaves', () => {
  /** A plugin with one step, written in sh. */
  async function program(script: string): Promise<RegisteredStep> {
    const folder = tempFolder('program');
    mkdirSync(join(folder, 'bin'));
    writeFileSync(join(folder, 'bin/step.sh'), `#!/bin/sh\n${script}\n`);
    chmodSync(join(folder, 'bin/step.sh'), 0o755);
    writeFileSync(
      join(folder, 'plugin.yaml'),
      `name: odd
version: 1.0.0
apiVersion: 1
steps:
  go:
    command: [./bin/step.sh]
    input: {}
    output: { type: object, properties: { n: { type: integer } }, required: [n] }
`,
    );
    return (await stepsOf(folder))('go');
  }
  const say = (message: object) => `printf '%s\\n' '${JSON.stringify(message)}' >&3`;

  it('that ends without a result has failed with its exit code and its last words', async () => {
    const { error } = { error: errorOf(await runStep(await program('echo "no licence" >&2; exit 7'), {})) };
    expect(error).toMatchObject({ name: 'ProcessExited', class: 'fatal', details: { exit_code: 7 } });
    expect(JSON.stringify(error.details)).toContain('no licence');
  });

  it('that crashes may be tried again', async () => {
    const error = errorOf(await runStep(await program('kill -SEGV $$'), {}));
    expect(error).toMatchObject({ name: 'ProcessKilled', class: 'transient', details: { signal: 'SIGSEGV' } });
  });

  it.each([
    ['garbage', `echo 'no json' >&3; sleep 30`, 'a message is no JSON object: no json'],
    ['an unknown message', `${say({ type: 'complete' })}; sleep 30`, 'there is no message of type "complete"'],
    [
      'an unknown class of error',
      `${say({ type: 'failed', error: { name: 'Odd', message: 'm', class: 'temporary' } })}; sleep 30`,
      'an error has one of the classes transient, fatal, rate_limited, item; got "temporary"',
    ],
    ['a failure without an error', `${say({ type: 'failed' })}; sleep 30`, 'got none'],
    ['an unknown event', `${say({ type: 'event', event: 'Not Snake', data: 1 })}; sleep 30`, 'expected snake_case'],
  ])('that says %s is ended at once', async (_, script, message) => {
    const from = performance.now();
    const error = errorOf(await runStep(await program(script), {}));
    expect(error).toMatchObject({ name: 'ProtocolError', class: 'fatal' });
    expect(error.message).toContain(message);
    expect(performance.now() - from).toBeLessThan(5_000);
  });

  it('that returns what its schema does not allow has failed', async () => {
    const step = await program(say({ type: 'completed', output: { n: 'many' } }));
    expect(errorOf(await runStep(step, {}))).toMatchObject({ name: 'ValidationError', class: 'fatal' });
  });

  it('gets TERM, and after 2 seconds KILL, with all it started', async () => {
    const step = await program(`trap 'touch "$PWD/termed"' TERM
      sh -c 'trap "" TERM; echo $$ > child; while :; do sleep 1; done' &
      while :; do [ -s child ] && ${say({ type: 'progress', done: 0, total: 1 })}; sleep 0.2; done`);
    const workspaceDir = tempFolder('workspace');
    const controller = new AbortController();
    const abort = () => controller.abort(createAbortError('cancelled'));
    const ran = await runStep(
      step,
      {},
      {
        workspaceDir,
        signal: controller.signal,
        onSeen: ({ kind }) => kind === 'progress' && abort(),
      },
    );
    expect(ran.result).toMatchObject({ kind: 'cancelled', abandoned: false });
    expect(existsSync(join(workspaceDir, 'termed'))).toBe(true);
    const child = Number(readFileSync(join(workspaceDir, 'child'), 'utf8'));
    await expect.poll(() => existsSync(`/proc/${child}/stat`) && !isZombie(child), { timeout: 5_000 }).toBe(false);
  });

  it('sees nothing of the daemon but the environment it is given', async () => {
    const step = await program(
      `env | cut -d= -f1 | sort | tr '\\n' ' '; ${say({ type: 'completed', output: { n: 1 } })}`,
    );
    const ran = await runStep(step, {}, { env: { OWN: 'x' } });
    expect(messages(ran).join(' ').trim().split(' ')).toEqual(['HOME', 'LANG', 'OWN', 'PATH', 'PWD']);
  });

  it('whose program is not in the PATH says so', async () => {
    const step = { ...(await program('exit 0')), command: ['no-such-program', 'x'] } as RegisteredStep;
    const error = errorOf(await runStep(step, {}, { programEnv: { PATH: '/usr/bin' } }));
    expect(error).toMatchObject({ name: 'ProgramNotFound', class: 'fatal' });
    expect(error.message).toBe('there is no program no-such-program in /usr/bin');
  });
});

/** Dead, and not yet reaped by the init of a container that has none. */
function isZombie(pid: number): boolean {
  try {
    return / Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return true;
  }
}
