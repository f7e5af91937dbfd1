// The real program: what it prints, where, and its exit codes, without a daemon.
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nextOccurrences } from '../../src/foresight/next.ts';
import { builtProgram } from '../support/built-program.ts';

const root = resolve(import.meta.dirname, '../..');

interface Result {
  code: number;
  out: string;
  err: string;
}

function cronwright(args: readonly string[], options: { cwd?: string; env?: Record<string, string> } = {}) {
  return new Promise<Result>((done) => {
    const env = { PATH: process.env.PATH, HOME: process.env.HOME, ...options.env };
    execFile(process.execPath, [builtProgram, ...args], { cwd: options.cwd ?? root, env }, (error, out, err) => {
      done({ code: error === null ? 0 : Number(error.code), out, err });
    });
  });
}

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'cronwright-cli-'));
  mkdirSync(join(folder, 'config/pipelines'), { recursive: true });
  mkdirSync(join(folder, 'broken/pipelines'), { recursive: true });
  writeFileSync(
    join(folder, 'config/pipelines/nightly.yaml'),
    [
      'id: nightly',
      'schedules:',
      '  - { id: two, cron: "0 2 * * *", timezone: America/New_York, jitter: 1m }',
      '  - { id: never, cron: "0 0 31 2 *" }',
      'steps:',
      '  - { id: rest, uses: wait.sleep, with: { duration: 10ms } }',
      '---',
      'id: report',
      'inputs: { pages: { type: integer, default: 3 } }',
      'steps:',
      '  - { id: greet, uses: shell.run, with: { script: "echo hello" } }',
      '  - { id: count, uses: shell.run, with: { script: "exit $PAGES", env: { PAGES: "${{ inputs.pages }}" } }, retry: { max_retries: 0 } }',
      '',
    ].join('\n'),
  );
  writeFileSync(
    join(folder, 'broken/pipelines/odd.yaml'),
    ['id: odd', 'schedules:', '  - { id: x, cron: "0 25 * * *" }', 'steps:', '  - { id: s, uses: no.such }', ''].join(
      '\n',
    ),
  );
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the program', () => {
  it('prints its version, and help that names every command and the exit codes', async () => {
    expect((await cronwright(['--version'])).out).toMatch(/^\d+\.\d+\.\d+\n$/);
    const { code, out } = await cronwright(['--help']);
    expect(code).toBe(0);
    const commands =
      'start run check next trigger runs show logs cancel retry queue nodes pause resume schema migrate doctor plugin occurrences';
    for (const command of commands.split(' ')) expect(out).toMatch(new RegExp(`^  ${command}\\b`, 'm'));
    expect(out).toContain('0 done · 1 failed · 2 wrong usage or configuration');
  });

  it('takes a bare call and an unknown command for wrong usage', async () => {
    const bare = await cronwright([]);
    expect(bare.code).toBe(2);
    expect(bare.err).toContain('Usage: cronwright');
    const unknown = await cronwright(['nxt']);
    expect(unknown.code).toBe(2);
    expect(unknown.err).toContain('Did you mean next?');
    expect(unknown.out).toBe('');
  });

  it('answers next as the API does', async () => {
    const { code, out } = await cronwright([
      ...['next', '30 2 * * *', '-z', 'Europe/Berlin', '--from', '2026-03-28T00:00:00Z', '-n', '3', '--json'],
    ]);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual(
      nextOccurrences({ expression: '30 2 * * *', timezone: 'Europe/Berlin', from: '2026-03-28T00:00:00Z', count: 3 }),
    );
  });

  it('paints only where it is asked to', async () => {
    const plain = await cronwright(['next', '0 25 * * *']);
    expect(plain.err).not.toContain('\u001b[');
    expect((await cronwright(['next', '0 25 * * *'], { env: { FORCE_COLOR: '1' } })).err).toContain('\u001b[31m');
    const both = { FORCE_COLOR: '1', NO_COLOR: '1' };
    expect((await cronwright(['next', '0 25 * * *'], { env: both })).err).not.toContain('\u001b[');
  });

  it('ends quietly when its reader has enough', async () => {
    const line = `"${process.execPath}" "${builtProgram}" next '@every 1s' -n 1000 | head -1; echo "$PIPESTATUS"`;
    const out = await new Promise<string>((done) => {
      execFile('bash', ['-c', line], { cwd: root }, (_, stdout, stderr) => done(stdout + stderr));
    });
    expect(out).toMatch(/^@every 1s.*\n0\n$/);
  });
});

describe('commands on the configuration', () => {
  it('check says all is well, with warnings, and exits with 0', async () => {
    const { code, out, err } = await cronwright(['check'], { cwd: folder });
    expect(err).toBe('');
    expect(out).toMatch(/^warning: config\/pipelines\/nightly\.yaml:4:\d+: .*never/m);
    expect(out).toContain('0 problems, 1 warning in');
    expect(code).toBe(0);
  });

  it('check tells every problem with file, line and column, and exits with 2', async () => {
    const { code, out } = await cronwright(['check', '--config', 'broken'], { cwd: folder });
    expect(out).toMatch(/^broken\/pipelines\/odd\.yaml:3:\d+: /m);
    expect(out).toMatch(/^broken\/pipelines\/odd\.yaml:5:\d+: /m);
    expect(out).toContain('2 problems');
    expect(code).toBe(2);
  });

  it('check --json is one document', async () => {
    const { code, out } = await cronwright(['check', '--config', 'broken', '--json'], { cwd: folder });
    expect(code).toBe(2);
    expect(JSON.parse(out)).toMatchObject({ ok: false, problems: [{ line: 3 }, { line: 5 }], warnings: [] });
  });

  it('check says where it looked for a configuration that is not there', async () => {
    const { code, out } = await cronwright(['check'], { cwd: folder, env: { CRONWRIGHT_CONFIG: 'elsewhere' } });
    expect(code).toBe(2);
    expect(out).toContain(join(folder, 'elsewhere'));
  });

  it('next reads a schedule by its id, and guesses what was meant', async () => {
    const found = await cronwright(['next', 'nightly.two', '--from', '2026-07-01T00:00:00Z', '-n', '1'], {
      cwd: folder,
    });
    expect(found.out).toContain('Wed 2026-07-01 02:00:00 -04:00');
    expect(found.out).toContain('jitter');
    expect(found.code).toBe(0);
    const missing = await cronwright(['next', 'nightly.tow'], { cwd: folder });
    expect(missing.err).toContain('did you mean nightly.two?');
    expect(missing.code).toBe(2);
  });

  it('schema prints the JSON Schemas of pipelines, with step types, and of settings', async () => {
    const pipeline = JSON.parse((await cronwright(['schema'], { cwd: folder })).out);
    expect(pipeline.properties.steps).toBeDefined();
    expect(Object.keys(pipeline.definitions)).toContain('wait.sleep');
    expect(JSON.parse((await cronwright(['schema', 'settings'])).out).properties.port).toBeDefined();
    expect((await cronwright(['schema', 'cron'])).code).toBe(2);
  });

  it('doctor looks at everything and says what to do', async () => {
    const { code, out } = await cronwright(['doctor', '--json', '--port', '0'], { cwd: folder });
    const { ok, checks } = JSON.parse(out);
    expect(checks.filter((one: { status: string }) => one.status === 'fail')).toEqual([]);
    expect(ok).toBe(true);
    expect(code).toBe(0);
    const looked = checks.map((one: { check: string }) => one.check);
    expect(looked).toEqual(expect.arrayContaining(['node', 'git', 'settings', 'data directory', 'disk', 'database']));
  });

  it('doctor fails with 1 where a daemon could not start', async () => {
    const { code, out } = await cronwright(['doctor', '--host', '0.0.0.0', '--port', '0'], { cwd: folder });
    expect(out).toMatch(/^fail {2}access .*without a token/m);
    expect(code).toBe(1);
  });

  it('refuses a database URL of another kind without telling its password', async () => {
    const url = 'mysql://root:hunter2@localhost/x';
    const { code, out, err } = await cronwright(['migrate', '--database-url', url], { cwd: folder });
    expect(code).toBe(2);
    expect(out + err).not.toContain('hunter2');
    expect(err).toContain('postgres');
  });

  it('migrate makes an embedded database and then has nothing to do', async () => {
    expect((await cronwright(['migrate', '--check'], { cwd: folder })).code).toBe(1);
    const first = JSON.parse((await cronwright(['migrate', '--json'], { cwd: folder })).out);
    expect(first.applied.length).toBeGreaterThan(0);
    const { code, out } = await cronwright(['migrate', '--check'], { cwd: folder });
    expect(out).toBe('Up to date.\n');
    expect(code).toBe(0);
  });
});

describe('run without a daemon', () => {
  it('shows steps and log as they come, and exits with 0 when it completed', async () => {
    const { code, out, err } = await cronwright(['run', 'report', '-i', 'pages=0'], { cwd: folder });
    expect(err).toBe('');
    expect(out).toMatch(/^report {2}[0-9a-f-]{36}\n/);
    expect(out).toMatch(/^ {2}\d\d:\d\d:\d\d\.\d{3} greet {2}hello$/m);
    expect(out).toMatch(/^greet {2}completed {2}/m);
    expect(out).toMatch(/^completed after /m);
    expect(code).toBe(0);
  });

  it('exits with 1 when it failed, and says why', async () => {
    const { code, out } = await cronwright(['run', 'report'], { cwd: folder });
    expect(out).toMatch(/^count {2}failed .*exited with code 3/m);
    expect(out).toMatch(/^failed after /m);
    expect(code).toBe(1);
  });

  it('gives one JSON document of a dry run, which changes nothing', async () => {
    const { code, out } = await cronwright(['run', 'report', '--dry-run', '--json'], { cwd: folder });
    const { run, steps } = JSON.parse(out);
    expect(run).toMatchObject({ state: 'completed', dry_run: true, origin: 'cli', inputs: { pages: 3 } });
    expect(steps.map((step: { state: string }) => step.state)).toEqual(['completed', 'completed']);
    expect(code).toBe(0);
  });

  it('runs what asks for labels here, and says on stderr that nobody else could', async () => {
    const labelled =
      'id: labelled\nruns_on: [gpu, linux]\nsteps: [{ id: rest, uses: wait.sleep, with: { duration: 1ms } }]\n';
    mkdirSync(join(folder, 'labels/pipelines'), { recursive: true });
    writeFileSync(join(folder, 'labels/cronwright.yaml'), 'labels: [linux]\n');
    writeFileSync(join(folder, 'labels/pipelines/labelled.yaml'), labelled);
    const { code, out, err } = await cronwright(['run', 'labelled', '--config', 'labels', '--json'], { cwd: folder });
    expect(err).toBe('runs_on asks for gpu: not looked at, it runs here\n');
    expect(JSON.parse(out).run).toMatchObject({ state: 'completed' });
    expect(code).toBe(0);
  });

  it('refuses inputs of the wrong type with 2 and an unknown pipeline with 1', async () => {
    expect(await cronwright(['run', 'report', '-i', 'pages=many'], { cwd: folder })).toMatchObject({
      code: 2,
      out: '',
    });
    const unknown = await cronwright(['run', 'reprot'], { cwd: folder });
    expect(unknown.err).toContain('"reprot"');
    expect(unknown.code).toBe(1);
  });
});
