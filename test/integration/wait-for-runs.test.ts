// Waiting until runs have ended, over HTTP and from the command line, and starting many of them from a file.
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { HttpServer } from '../../src/http/create-http-server.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import {
  createScript,
  type EngineWorld,
  eventually,
  fatal,
  gate,
  type Script,
  startEngineWorld,
} from '../support/engine-world.ts';
import { testPipeline, testStep } from '../support/http-world.ts';
import { createWorldServer } from '../support/world-server.ts';
import { cronwright } from '../unit/cli/memory-context.ts';

const inputs = { n: { type: 'integer', default: 0, required: false } } as const;
const pipelines = [
  testPipeline('work', { version: 'work-1', inputs, steps: [testStep('a', [], { uses: 'test.do' })] }),
  testPipeline('other', { version: 'other-1', steps: [testStep('b', [], { uses: 'test.do' })] }),
];

describe('waiting for runs', () => {
  let test: TestDatabase;
  let world: EngineWorld;
  let server: HttpServer;
  let script: Script;
  let folder: string;
  /** Names of statements that were answered, in order. */
  const answered: string[] = [];

  beforeAll(async () => {
    test = await createTestDatabase('postgres', { onQuery: (name) => void answered.push(name) });
    script = createScript();
    world = await startEngineWorld({ db: test.db, script, pipelines });
    server = createWorldServer({ db: test.db, engine: world.engine, events: world.events });
    await server.start();
    folder = await mkdtemp(join(tmpdir(), 'cronwright-batch-'));
  });
  afterAll(async () => {
    await server.stop();
    await world.stop();
    await test.close();
    await rm(folder, { recursive: true, force: true });
  });
  beforeEach(() => {
    script.gates.clear();
    script.failures.clear();
  });

  const ask = async (body: unknown) => {
    const answer = await fetch(`${server.url}/api/v1/runs/wait`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  };
  const cli = (...args: string[]) => cronwright([...args, '--url', server.url]);

  it('answers once the last has ended, with how many are in which state', async () => {
    const held = gate(script, 'a');
    script.failures.set('b', [fatal()]);
    const ids = [await world.start('work'), await world.start('other')];
    await world.reached(ids[1] ?? '');
    const early = await ask({ ids, timeout: 0.05 });
    expect(early.body).toMatchObject({ done: false, total: 2, live: 1, counts: { running: 1, failed: 1 } });
    const waiting = ask({ ids, timeout: 30 });
    held.open();
    expect((await waiting).body).toMatchObject({ done: true, total: 2, live: 0, counts: { completed: 1, failed: 1 } });
  });

  it('means the runs of a filter that are live when it comes', async () => {
    const held = gate(script, 'a');
    const id = await world.start('work');
    await held.entered;
    answered.length = 0;
    const waiting = ask({ filter: { pipeline: 'work' } });
    await eventually(async () => expect(answered).toContain('list_live_ids'));
    held.open();
    expect((await waiting).body).toMatchObject({ done: true, total: 1, ids: [id] });
    expect((await ask({ filter: { pipeline: 'work' } })).body).toMatchObject({ done: true, total: 0 });
  });

  it('names a run that there is not, and refuses to wait for nothing or too long', async () => {
    const nobody = '0192f0c0-0000-7000-8000-000000000000';
    expect(await ask({ ids: [nobody] })).toMatchObject({
      status: 404,
      body: { detail: expect.stringContaining(nobody) },
    });
    expect((await ask({})).status).toBe(400);
    expect((await ask({ filter: {}, timeout: 61 })).status).toBe(400);
  });

  it('a file starts a run for each line, and the command waits for all of them', async () => {
    const file = join(folder, 'runs.jsonl');
    writeFileSync(file, '{"inputs": {"n": 1}}\n\n{"inputs": {"n": 2}, "priority": 1}\n{}\n');
    const done = await cli('trigger', 'work', '--batch', file, '--wait', '--json');
    expect([done.code, JSON.parse(done.out)]).toEqual([0, { total: 3, counts: { completed: 3 } }]);
    script.failures.set('a', [fatal()]);
    const failed = await cli('trigger', 'work', '--wait');
    expect([failed.code, failed.out]).toEqual([1, expect.stringContaining('1 failed')]);
  });

  it('says which line of the file is wrong, and starts nothing', async () => {
    const file = join(folder, 'wrong.jsonl');
    writeFileSync(file, '{"inputs": {"n": 1}}\n{"inputs"\n');
    const wrong = await cli('trigger', 'work', '--batch', file);
    expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining('wrong.jsonl:2: not a run')]);
    const beside = await cli('trigger', 'work', '--batch', file, '--priority', '1');
    expect([beside.code, beside.err]).toEqual([2, expect.stringContaining('--priority')]);
  });

  it('waits for the runs that are named, or for all live ones', async () => {
    const held = gate(script, 'a');
    const id = await world.start('work');
    const named = cli('runs', '--wait', id);
    const filtered = cli('runs', '--wait', '--pipeline', 'work', '--json');
    await held.entered;
    held.open();
    expect(await named).toMatchObject({ code: 0, out: expect.stringContaining('1 completed') });
    expect([(await filtered).code, JSON.parse((await filtered).out)]).toEqual([
      0,
      { total: expect.any(Number), counts: expect.any(Object) },
    ]);
    await eventually(async () => expect((await cli('runs', '--wait')).out).toContain('No runs to wait for.'));
    expect((await cli('runs', id)).code).toBe(2);
  });
});
