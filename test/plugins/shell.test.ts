// shell.run with real programs.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packageRoot } from '../../src/base/package-root.ts';
import { createAbortError } from '../../src/steps/abort-reason.ts';
import { errorOf, type Overrides, outputOf, runStep } from '../support/step-context.ts';
import { tempFolder } from '../support/temp-folder.ts';

const run = (input: unknown, overrides?: Overrides) => runStep('shell.run', input, overrides);

describe('shell.run', () => {
  it('runs a program with its arguments as they are', async () => {
    const ran = await run({ argv: ['printf', '%s\n', '$HOME; rm -rf /', "it's"] });
    expect(outputOf(ran)).toEqual({ exit_code: 0, stdout: "$HOME; rm -rf /\nit's\n", stderr: '' });
    expect(ran.recorded.log.map(({ stream, message }) => [stream, message])).toEqual([
      ['stdout', '$HOME; rm -rf /'],
      ['stdout', "it's"],
    ]);
  });

  it('runs a script in the workspace and brings values in through the environment', async () => {
    const ran = await run(
      {
        script: 'echo "$NAME $OTHER $N $CRONWRIGHT_RUN_ID" > out.txt; cat; echo oops >&2',
        env: { NAME: '$(id) `id`', N: 7 },
        stdin: 'from stdin',
      },
      { env: { OTHER: 'pipeline' }, runId: 'run-1' },
    );
    expect(outputOf(ran)).toEqual({ exit_code: 0, stdout: 'from stdin', stderr: 'oops\n' });
    expect(readFileSync(join(ran.workspaceDir, 'out.txt'), 'utf8')).toBe('$(id) `id` pipeline 7 run-1\n');
  });

  it('passes the trace on, unless pipeline or step say another one', async () => {
    const traceOf = async (given: object, env: Record<string, string>) => {
      const ran = await run(
        { argv: ['sh', '-c', 'printf %s "$TRACEPARENT"'], ...given },
        { traceparent: '00-a-b-01', env },
      );
      return outputOf<{ stdout: string }>(ran).stdout;
    };
    expect(await traceOf({}, {})).toBe('00-a-b-01');
    expect(await traceOf({}, { TRACEPARENT: 'of the pipeline' })).toBe('of the pipeline');
    expect(await traceOf({ env: { TRACEPARENT: 'of the step' } }, { TRACEPARENT: 'no' })).toBe('of the step');
  });

  it('gives nothing of the daemon to the program but what every program needs', async () => {
    const { stdout } = outputOf<{ stdout: string }>(await run({ argv: ['env'] }, { traceparent: '00-a-b-01' }));
    const names = stdout
      .trim()
      .split('\n')
      .map((line) => line.split('=')[0]);
    expect(names.sort()).toEqual([
      'CRONWRIGHT_ATTEMPT',
      'CRONWRIGHT_IDEMPOTENCY_KEY',
      'CRONWRIGHT_RUN_ID',
      'CRONWRIGHT_STEP',
      'HOME',
      'LANG',
      'PATH',
      'PWD',
      'TRACEPARENT',
    ]);
  });

  it.each([
    ['sh', 'false; echo unreachable'],
    ['bash', 'false | cat; echo unreachable'],
  ])('ends a %s script at the first failure', async (shell, script) => {
    const ran = await run({ script, shell });
    expect(errorOf(ran)).toMatchObject({ name: 'ExitCodeError', class: 'fatal', details: { exit_code: 1 } });
    expect(ran.recorded.log).toEqual([]);
  });

  it('tells code, expectation and last line of a failure, and accepts other codes when told', async () => {
    const script = 'echo first >&2; echo "the reason" >&2; exit 3';
    expect(errorOf(await run({ script })).message).toBe('sh exited with code 3, expected 0: the reason');
    expect(outputOf(await run({ script, accept_exit_codes: [0, 3] }))).toMatchObject({ exit_code: 3 });
  });

  it('takes exit code 75 and signals from outside for transient', async () => {
    expect(errorOf(await run({ script: 'exit 75' }))).toMatchObject({ class: 'transient', name: 'ExitCodeError' });
    expect(errorOf(await run({ script: 'kill -KILL $$' }))).toMatchObject({
      class: 'transient',
      name: 'KilledBySignal',
    });
    expect(errorOf(await run({ script: 'kill -SEGV $$' }))).toMatchObject({ class: 'fatal', name: 'KilledBySignal' });
  });

  it('says which program is missing', async () => {
    expect(errorOf(await run({ argv: ['no-such-program-here'] }))).toMatchObject({
      name: 'ProgramNotFound',
      class: 'fatal',
      message: expect.stringContaining('program no-such-program-here was not found in PATH'),
    });
  });

  it('tells a missing program from one that ends with the same code', async () => {
    expect(errorOf(await run({ script: 'exit 127' }))).toMatchObject({ name: 'ExitCodeError' });
    expect(errorOf(await run({ script: 'no-such-program-here' }))).toMatchObject({ name: 'ExitCodeError' });
    const { workspaceDir } = await run({ script: 'echo "exit 0" > plain; chmod 644 plain' });
    const error = errorOf(await run({ argv: ['./plain'] }, { workspaceDir }));
    expect(error).toMatchObject({ name: 'ProgramNotFound', message: 'program ./plain may not be executed' });
  });

  it('ends its programs when the node is killed', async () => {
    const workspaceDir = tempFolder('shell');
    const node = spawn(process.execPath, ['--import', 'tsx', join(import.meta.dirname, '../support/run-one-step.ts')], {
      cwd: packageRoot,
      env: {
        ...process.env,
        STEP: 'shell.run',
        WORKSPACE: workspaceDir,
        INPUT: JSON.stringify({ script: 'sleep 1000 & echo $$ $! > pids.part; mv pids.part pids; wait' }),
      },
      stdio: 'inherit',
    });
    await expect.poll(() => existsSync(join(workspaceDir, 'pids')), { timeout: 20_000 }).toBe(true);
    const pids = readFileSync(join(workspaceDir, 'pids'), 'utf8').trim().split(' ').map(Number);
    expect(pids.filter(isAlive)).toHaveLength(2);
    node.kill('SIGKILL');
    await expect.poll(() => pids.filter(isAlive), { timeout: 10_000 }).toEqual([]);
  });

  it('works in a folder of the workspace and in no other', async () => {
    const { workspaceDir } = await run({ script: 'mkdir sub; ln -s / out' });
    expect(outputOf(await run({ argv: ['pwd'], cwd: 'sub' }, { workspaceDir }))).toMatchObject({
      stdout: `${join(workspaceDir, 'sub')}\n`,
    });
    for (const cwd of ['..', 'sub/../..', 'out', 'missing']) {
      expect(errorOf(await run({ argv: ['pwd'], cwd }, { workspaceDir })).message).toContain(`cwd is "${cwd}"`);
    }
  });

  it('keeps the last 64 kB of a long output, from a whole line on, and caps the log', async () => {
    const ran = await run({
      script: 'i=0; while [ $i -lt 30000 ]; do echo "line $i"; i=$((i+1)); done',
      max_output: 1_000,
    });
    const { stdout } = outputOf<{ stdout: string }>(ran);
    expect(stdout.length).toBeLessThanOrEqual(65_536);
    expect(stdout).toMatch(/^line \d+\n/);
    expect(stdout).toMatch(/line 29999\n$/);
    const log = ran.recorded.log;
    expect(log.at(-1)?.message).toContain('output cut after 1000 bytes');
    expect(log.slice(0, -1).reduce((sum, { message }) => sum + message.length + 1, 0)).toBeLessThan(1_010);
  });

  it('masks secrets that a program prints', async () => {
    const ran = await run(
      { script: 'echo "$TOKEN"; echo "$TOKEN" >&2; exit 1', env: { TOKEN: 'hunter2-hunter2' } },
      { secrets: ['hunter2-hunter2'] },
    );
    expect(JSON.stringify([ran.result, ran.recorded])).not.toContain('hunter2');
    expect(errorOf(ran).message).toContain('***');
  });

  it('kills the whole group on abort, 2 s after TERM where it must', async () => {
    const controller = new AbortController();
    const workspaceDir = tempFolder('shell');
    const running = run(
      {
        script:
          'trap "" TERM; sleep 1000 & (sleep 1001 > /dev/null 2>&1) & echo $$ $! > pids.part; mv pids.part pids; wait; wait; sleep 1002',
      },
      { signal: controller.signal, workspaceDir },
    );
    const file = join(workspaceDir, 'pids');
    await expect.poll(() => existsSync(file), { timeout: 10_000 }).toBe(true);
    const startedAt = performance.now();
    controller.abort(createAbortError('cancelled'));
    const { result } = await running;
    expect(result).toMatchObject({ kind: 'cancelled', abandoned: false });
    expect(performance.now() - startedAt).toBeLessThan(4_500);
    const pids = readFileSync(file, 'utf8').trim().split(' ').map(Number);
    expect(pids).toHaveLength(2);
    await expect.poll(() => pids.filter(isAlive), { timeout: 10_000 }).toEqual([]);
  });

  it('ends at once on abort when its program obeys', async () => {
    const startedAt = performance.now();
    const { result } = await run({ argv: ['sleep', '1000'] }, { timeoutMs: 200 });
    expect(result).toMatchObject({ kind: 'timeout', scope: 'step' });
    expect(performance.now() - startedAt).toBeLessThan(1_500);
  });

  it('does not wait for what a script left in the background, and ends it', async () => {
    const startedAt = performance.now();
    const ran = await run({ script: 'sleep 1000 & echo $! > pid; echo done' });
    expect(outputOf(ran)).toMatchObject({ stdout: 'done\n' });
    expect(performance.now() - startedAt).toBeLessThan(3_000);
    const pid = Number(readFileSync(join(ran.workspaceDir, 'pid'), 'utf8'));
    await expect.poll(() => isAlive(pid), { timeout: 10_000 }).toBe(false);
  });

  it('says in a dry run what it would do, and does nothing', async () => {
    const ran = await run({ script: 'touch made' }, { dryRun: true });
    expect(outputOf(ran)).toEqual({ exit_code: 0, stdout: '', stderr: '' });
    expect(ran.recorded.log[0]?.message).toContain('dry run');
    expect(existsSync(join(ran.workspaceDir, 'made'))).toBe(false);
  });

  it.each([
    [{}, 'give either argv or script'],
    [{ argv: ['a'], script: 'b' }, 'give either argv or script'],
    [{ argv: ['a'], env: { 'BAD NAME': 'x' } }, 'env'],
    [{ argv: ['a'], comand: 'x' }, 'comand'],
  ])('refuses %j', async (input, says) => {
    expect(errorOf(await run(input))).toMatchObject({
      name: 'ValidationError',
      message: expect.stringContaining(says),
    });
  });

  it('marks its script as no place for expressions', async () => {
    const { default: plugin } = await import('../../plugins/shell/index.ts');
    const { stepOf } = await import('../support/step-context.ts');
    expect(stepOf(plugin, 'run').inputSchema).toMatchObject({
      properties: { script: { 'x-cronwright-no-expressions': true } },
    });
  });
});

function isAlive(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}
