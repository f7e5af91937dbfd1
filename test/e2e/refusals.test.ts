// What a daemon without a token refuses over HTTP: wrong bodies, foreign pages, what is too large or not there.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { builtProgram } from '../support/built-program.ts';
import {
  type Answer,
  createDaemonFolder,
  type Daemon,
  type DaemonFolder,
  startDaemon,
} from '../support/daemon-process.ts';

let folder: DaemonFolder;
let daemon: Daemon;

beforeAll(async () => {
  folder = await createDaemonFolder();
  const configDir = join(folder.path, 'config');
  await mkdir(join(configDir, 'pipelines'), { recursive: true });
  await writeFile(
    join(configDir, 'pipelines/quiet.yaml'),
    'id: quiet\nsteps:\n  - { id: rest, uses: wait.sleep, with: { duration: 1ms } }\n',
  );
  daemon = await startDaemon({ dataDir: await folder.dataDir('refusals'), configDir });
});

afterAll(async () => {
  await daemon?.kill();
  await folder?.remove();
});

const start = '/api/v1/pipelines/quiet/runs';
const json = { 'content-type': 'application/json' };

function expectProblem(answer: Answer, status: number, detail: RegExp): void {
  expect(answer.text).toMatch(detail);
  expect(answer.status).toBe(status);
  expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
  expect(answer.body).toMatchObject({ status, title: expect.any(String), type: expect.any(String) });
}

async function numberOfRuns(): Promise<number> {
  return (await daemon.get<{ items: unknown[] }>('/runs')).items.length;
}

describe('a daemon without a token', () => {
  it('refuses a body that is no JSON with its place, and starts nothing', async () => {
    const answer = await daemon.ask(start, { method: 'POST', headers: json, text: '{"priority": 3,\n oops}' });
    expectProblem(answer, 400, /not JSON at line 2, column 2/);
    expectProblem(await daemon.ask(start, { method: 'POST', headers: json, text: '[]' }), 400, /body/);
    expectProblem(await daemon.ask(start, { method: 'POST', json: { priority: 11 } }), 400, /priority/);
    expect(await numberOfRuns()).toBe(0);
  });

  it('takes nothing but application/json', async () => {
    const headers = { 'content-type': 'text/plain' };
    expectProblem(await daemon.ask(start, { method: 'POST', headers, text: '{}' }), 415, /text\/plain/);
    expectProblem(await daemon.ask(start, { method: 'POST', text: '{}' }), 415, /missing/);
    expect(await numberOfRuns()).toBe(0);
  });

  it('refuses an unknown zone by its name', async () => {
    const asked = { expression: '0 2 * * *', timezone: 'Mars/Olympus' };
    expectProblem(await daemon.ask('/api/v1/cron/next', { method: 'POST', json: asked }), 400, /Mars\/Olympus/);
  });

  it('refuses 100 kB of cron expression within 50 ms, and does not repeat it', async () => {
    const expression = `${'1,'.repeat(50_000)}1 * * * *`;
    const answers: Answer[] = [];
    for (let i = 0; i < 7; i++) {
      answers.push(await daemon.ask('/api/v1/cron/next', { method: 'POST', json: { expression } }));
    }
    for (const answer of answers) {
      expectProblem(answer, 400, /256/);
      expect(answer.text.length).toBeLessThan(2_000);
    }
    // Of seven, the fastest: a busy machine slows some, a slow parser slows all. With the way there and back.
    expect(Math.min(...answers.map(({ ms }) => ms))).toBeLessThan(50);
  });

  it('refuses 100 kB of cron expression on the command line too', async () => {
    const expression = `${'1,'.repeat(50_000)}1 * * * *`;
    const child = spawn(process.execPath, [builtProgram, 'next', expression], {
      cwd: folder.path,
      env: { PATH: process.env.PATH },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const said: string[] = [];
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => said.push(String(chunk)));
    const [code] = await once(child, 'close');
    expect(said.join('')).toMatch(/256 characters/);
    expect(said.join('').length).toBeLessThan(3_000);
    expect(code).toBe(2);
  });

  it('refuses a page of another site, and a name that is not its own', async () => {
    const evil = { ...json, origin: 'https://evil.example' };
    expectProblem(await daemon.ask(start, { method: 'POST', headers: evil, text: '{}' }), 403, /evil\.example/);
    expectProblem(
      await daemon.ask(start, { method: 'POST', headers: { ...json, origin: 'null' }, text: '{}' }),
      403,
      /./,
    );
    const port = new URL(daemon.url).port;
    for (const host of [`evil.example:${port}`, `127.0.0.1.evil.example:${port}`, `localhost.evil.example`]) {
      expectProblem(await daemon.ask('/api/v1/runs', { headers: { host } }), 403, /loopback/);
      expectProblem(await daemon.ask('/', { headers: { host } }), 403, /loopback/);
    }
    expect((await daemon.ask('/api/v1/runs', { headers: { host: `localhost:${port}` } })).status).toBe(200);
    const own = { origin: daemon.url };
    expect((await daemon.ask(start, { method: 'POST', headers: own, json: {} })).status).toBe(202);
  });

  it('refuses a body that is too large, announced or not, and goes on answering', async () => {
    const text = JSON.stringify({ inputs: { a: 'x'.repeat(40_000_000) } });
    expectProblem(await daemon.ask(start, { method: 'POST', headers: json, text }), 413, /larger than \d+ bytes/);
    const chunked = { ...json, 'transfer-encoding': 'chunked' };
    expectProblem(await daemon.ask(start, { method: 'POST', headers: chunked, text }), 413, /larger than \d+ bytes/);
    expect((await daemon.ask('/readyz')).status).toBe(200);
  });

  it('answers what is not there with problem details', async () => {
    expectProblem(await daemon.ask('/api/v1/nothing'), 404, /\/api\/v1\/nothing/);
    expectProblem(await daemon.ask('/api/v1/runs/00000000-0000-7000-8000-000000000000'), 404, /no run/);
    expectProblem(await daemon.ask('/api/v1/pipelines/nobody/runs', { method: 'POST', json: {} }), 404, /nobody/);
    expectProblem(await daemon.ask('/api/v1/runs?state=sleepy'), 400, /sleepy/);
    expectProblem(await daemon.ask('/api/v1/runs', { method: 'POST', json: {} }), 405, /GET/);
  });
});
