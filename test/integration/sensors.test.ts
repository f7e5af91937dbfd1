// Sensors on PostgreSQL: each new thing starts one run, whoever looks, whatever dies, whatever fails in between.

import { existsSync, mkdirSync, mkdtempSync, rmSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { uuidv7 } from 'uuidv7';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { checkSensor } from '../../src/control/check-sensor.ts';
import { pauseSensor } from '../../src/control/pause-sensor.ts';
import { resumeSensor } from '../../src/control/resume-sensor.ts';
import { createPostgres } from '../../src/db/postgres.ts';
import { createNewRun } from '../../src/domain/new-run.ts';
import type { Pipeline } from '../../src/domain/pipeline.ts';
import type { SensorDefinition } from '../../src/domain/sensor.ts';
import type { Events } from '../../src/observe/events.ts';
import { claimSensor, commitLook, type HeldLook } from '../../src/queue/commit-look.ts';
import { type DueSensor, findDueSensors } from '../../src/queue/find-due-sensors.ts';
import { getSensor } from '../../src/reads/list-sensors.ts';
import { definePlugin, defineSensor, type Json, type SensorResult, StepError } from '../../src/steps/api.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createScript, type EngineWorld, eventually, startEngineWorld } from '../support/engine-world.ts';
import { sql, testPipeline, testStep } from '../support/http-world.ts';

/** A world outside: a list of things, and what happens when somebody looks at it. */
interface Outside {
  things: string[];
  looks: { cursor: Json | undefined; input: unknown }[];
  failures: Error[];
  onLook?: (() => Promise<void>) | undefined;
}

function outsidePlugin(outside: Outside) {
  return definePlugin({
    name: 'outside',
    version: '1.0.0',
    apiVersion: 1,
    steps: {},
    sensors: {
      list: defineSensor({
        input: z.strictObject({ password: z.string().optional() }),
        event: z.object({ thing: z.string() }),
        async check(ctx, input, cursor, { maxEvents }): Promise<SensorResult<{ thing: string }>> {
          outside.looks.push({ cursor, input });
          const aborted = new Promise((resolve) => ctx.signal.addEventListener('abort', resolve));
          if (outside.onLook) await Promise.race([outside.onLook(), aborted]);
          ctx.signal.throwIfAborted();
          const failure = outside.failures.shift();
          if (failure) throw failure;
          const seen = (cursor as number | undefined) ?? 0;
          const found = outside.things.slice(seen, seen + maxEvents);
          return {
            cursor: seen + found.length,
            events: found.map((thing) => ({ key: thing, data: { thing } })),
            more: seen + found.length < outside.things.length,
          };
        },
      }),
    },
  });
}

function sensorPipeline(id: string, overrides: Partial<SensorDefinition> = {}): Pipeline {
  return testPipeline(id, {
    inputs: { thing: { type: 'string', required: true } },
    steps: [testStep('a', [], { uses: 'test.do', with: { thing: '${' + '{ inputs.thing }}' } })],
    sensors: [
      {
        id: `${id}.watch`,
        name: 'watch',
        tenant: 'default',
        pipeline: id,
        enabled: true,
        uses: 'outside.list',
        with: {},
        everyMs: 100,
        timeoutMs: 5_000,
        first: 'run',
        maxRunsPerCheck: 100,
        inputs: { thing: '${' + '{ sensor.data.thing }}' },
        ...overrides,
      },
    ],
  });
}

/** A run of a thing that nobody has seen. */
function newRunOf(pipeline: Pipeline) {
  return createNewRun(pipeline, 'light', { origin: 'sensor', inputs: { thing: 'x' } });
}

interface RunRow {
  id: string;
  inputs: { thing: string };
  origin: string;
  actor: string;
  pipeline: string;
}

describe('sensors', () => {
  let test: TestDatabase;
  const worlds: EngineWorld[] = [];
  beforeAll(async () => {
    test = await createTestDatabase('postgres');
  });
  afterAll(() => test.close());

  const outsideOf = (): Outside => ({ things: [], looks: [], failures: [] });

  async function startWorld(
    outside: Outside,
    pipelines: Pipeline[],
    options: { db?: TestDatabase['db']; dataDir?: string } = {},
  ) {
    const world = await startEngineWorld({
      db: options.db ?? test.db,
      script: createScript(),
      pipelines,
      hash: JSON.stringify(pipelines.map(({ id, sensors }) => [id, sensors])),
      plugins: [outsidePlugin(outside)],
      random: () => 0,
      ...(options.dataDir === undefined ? {} : { dataDir: options.dataDir }),
    });
    worlds.push(world);
    return world;
  }

  const runsOf = (pipeline: string) =>
    sql<RunRow>(
      test.db,
      `select id, inputs, origin, actor, pipeline from cronwright.runs where pipeline = '${pipeline}' order by id`,
    );
  const thingsOf = async (pipeline: string) => (await runsOf(pipeline)).map(({ inputs }) => inputs.thing);
  const rowOf = async (pipeline: string) =>
    (
      await sql<{ cursor: string | null; error: string | null; failures: number; found: number }>(
        test.db,
        `select cursor, error, failures, found from cronwright.sensors where pipeline = '${pipeline}'`,
      )
    )[0];

  it('start one run for each new thing, on whichever of two nodes', async () => {
    const outside = outsideOf();
    outside.things.push('first');
    const other = createPostgres({ url: test.url ?? '' });
    const pipelines = [sensorPipeline('shared')];
    const one = await startWorld(outside, pipelines);
    const two = await startWorld(outside, pipelines, { db: other });
    for (let number = 1; number <= 8; number += 1) {
      outside.things.push(`thing ${number}`);
      await eventually(async () => expect(await thingsOf('shared')).toContain(`thing ${number}`));
    }
    const runs = await runsOf('shared');
    expect(runs.map(({ inputs }) => inputs.thing)).toEqual(outside.things);
    expect(runs[0]).toMatchObject({ origin: 'sensor', actor: 'sensor:shared.watch' });
    expect(await rowOf('shared')).toMatchObject({ cursor: '9', found: 9, failures: 0 });
    await one.reached(runs[8]?.id ?? '');
    await one.stop();
    await two.stop();
    await other.close();
  });

  it('leave nothing behind where their node dies between the look and the commit, and then start one run', async () => {
    const outside = outsideOf();
    const pipelines = [sensorPipeline('dying', { timeoutMs: 100 })];
    const world = await startWorld(outside, pipelines);
    await eventually(async () => expect(await rowOf('dying')).toMatchObject({ cursor: '0' }));
    // Another node claims the look, sees the thing, and is never heard of again.
    await world.stop();
    outside.things.push('seen twice');
    const [due] = await eventually(async () => {
      const found = await findDueSensors(test.db, { types: ['outside.list'], limit: 10 });
      expect(found.map(({ id }) => id)).toContain('dying.watch');
      return found.filter(({ id }) => id === 'dying.watch');
    });
    const dead = await claimSensor(test.db, due as DueSensor, { id: uuidv7(), leaseMs: 500 });
    expect(dead).toBeDefined();
    const dataDir = mkdtempSync(join(tmpdir(), 'cronwright-sensors-'));
    const left = ['left', 'fresh'].map((name) => join(dataDir, 'sensors', name));
    for (const folder of left) mkdirSync(folder, { recursive: true });
    utimesSync(left[0] ?? '', 0, 0);
    const next = await startWorld(outside, pipelines, { dataDir });
    expect(left.map((folder) => existsSync(folder))).toEqual([false, true]);
    await eventually(async () => expect(await thingsOf('dying')).toEqual(['seen twice']));
    // What was dead comes back, with what it had seen: it is too late, and nothing happens.
    const late = await commitLook(test.db, dead as HeldLook, {
      cursor: 1,
      events: [{ key: 'seen twice', data: null, run: newRunOf(pipelines[0] as Pipeline) }],
      nextMs: 100,
    });
    expect(late).toBeUndefined();
    expect(await thingsOf('dying')).toEqual(['seen twice']);
    await next.stop();
    rmSync(dataDir, { recursive: true });
  });

  it('start nothing twice where the answer to the commit is lost and it is sent again', async () => {
    const outside = outsideOf();
    const pipeline = sensorPipeline('ambiguous', { everyMs: 3_600_000 });
    const world = await startWorld(outside, [pipeline]);
    await eventually(async () => expect(await rowOf('ambiguous')).toMatchObject({ cursor: '0' }));
    await world.stop();
    await sql(test.db, "update cronwright.sensors set due_at = now() where pipeline = 'ambiguous'");
    const [due] = await findDueSensors(test.db, { types: ['outside.list'], limit: 10 });
    const look = (await claimSensor(test.db, due as DueSensor, { id: uuidv7(), leaseMs: 60_000 })) as HeldLook;
    const found = { cursor: 1, events: [{ key: 'x', data: { thing: 'x' }, run: newRunOf(pipeline) }], nextMs: 60_000 };
    const first = await commitLook(test.db, look, found);
    const again = await commitLook(test.db, look, found);
    expect(first?.map(({ id }) => id)).toEqual(again?.map(({ id }) => id));
    expect(await thingsOf('ambiguous')).toEqual(['x']);
    expect(await rowOf('ambiguous')).toMatchObject({ found: 1, cursor: '1' });
    // The same thing from a later look is known, too.
    await sql(test.db, "update cronwright.sensors set due_at = now() where pipeline = 'ambiguous'");
    const [later] = await findDueSensors(test.db, { types: ['outside.list'], limit: 10 });
    const second = (await claimSensor(test.db, later as DueSensor, { id: uuidv7(), leaseMs: 60_000 })) as HeldLook;
    const told = { ...found, events: [{ key: 'x', data: null, run: newRunOf(pipeline) }] };
    expect(await commitLook(test.db, second, told)).toEqual([]);
    expect(await thingsOf('ambiguous')).toEqual(['x']);
  });

  it('remember what is there at the first look, or start runs of it, as they are told', async () => {
    const outside = outsideOf();
    outside.things.push('old', 'older');
    const world = await startWorld(outside, [
      sensorPipeline('runs', { first: 'run' }),
      sensorPipeline('skips', { first: 'skip', maxRunsPerCheck: 1 }),
    ]);
    await eventually(async () => expect((await rowOf('skips'))?.cursor).toBe('2'));
    outside.things.push('new');
    await eventually(async () => {
      expect(await thingsOf('runs')).toEqual(['old', 'older', 'new']);
      expect(await thingsOf('skips')).toEqual(['new']);
    });
    await world.stop();
  });

  it('take no more than they may at once, and the rest in the looks after it', async () => {
    const outside = outsideOf();
    outside.things.push(...Array.from({ length: 25 }, (_, index) => `thing ${index}`));
    const world = await startWorld(outside, [sensorPipeline('many', { maxRunsPerCheck: 10, everyMs: 3_600_000 })]);
    await eventually(async () => expect(await thingsOf('many')).toEqual(outside.things));
    expect(outside.looks.map(({ cursor }) => cursor)).toEqual([undefined, 10, 20]);
    await world.stop();
  });

  it('do not look while they are paused, and find afterwards what has happened meanwhile', async () => {
    const outside = outsideOf();
    const pipeline = sensorPipeline('paused');
    const world = await startWorld(outside, [pipeline]);
    const { control } = world.engine;
    const who = { tenant: 'default', id: 'paused.watch', actor: 'ann' };
    await eventually(async () => expect(await rowOf('paused')).toMatchObject({ cursor: '0' }));
    // A look that is under way does not come through either.
    let openLook = () => {};
    const entered = new Promise<void>((resolve) => {
      outside.onLook = () => {
        resolve();
        return new Promise((open) => {
          openLook = open;
        });
      };
    });
    await entered;
    outside.things.push('meanwhile');
    const ended = new Promise<Events['sensor.checked']>((resolve) => world.events.on('sensor.checked', resolve));
    await pauseSensor(control, { ...who, reason: 'too loud' });
    outside.onLook = undefined;
    openLook();
    expect(await ended).toMatchObject({ result: 'lost', runs: 0 });
    expect(await getSensor(test.db, 'default', who.id)).toMatchObject({
      state: 'paused',
      paused: { by: 'ann', reason: 'too loud' },
      due_at: null,
      cursor: 0,
    });
    await expect(checkSensor(control, who)).rejects.toThrow('is paused');
    expect(await thingsOf('paused')).toEqual([]);
    await resumeSensor(control, who);
    await eventually(async () => expect(await thingsOf('paused')).toEqual(['meanwhile']));
    await expect(resumeSensor(control, who)).rejects.toThrow('is not paused');
    await expect(checkSensor(control, { ...who, id: 'paused.other' })).rejects.toThrow('there is no sensor');
    const detail = await getSensor(test.db, 'default', who.id);
    expect(detail.events).toMatchObject([{ key: 'meanwhile', data: { thing: 'meanwhile' } }]);
    const run = await world.reached(detail.events[0]?.run_id ?? '');
    expect(run).toMatchObject({ sensor: { id: 'paused.watch', key: 'meanwhile' }, origin: 'sensor' });
    await world.stop();
  });

  it('go on by themselves when the time of a pause is over, and look at once when they are asked to', async () => {
    const outside = outsideOf();
    const world = await startWorld(outside, [sensorPipeline('asked', { everyMs: 3_600_000 })]);
    const { control } = world.engine;
    const who = { tenant: 'default', id: 'asked.watch', actor: 'ann' };
    await eventually(async () => expect(await rowOf('asked')).toMatchObject({ cursor: '0' }));
    outside.things.push('now');
    await checkSensor(control, who);
    await eventually(async () => expect(await thingsOf('asked')).toEqual(['now']));
    await pauseSensor(control, { ...who, until: new Date(control.clock.now() + 300) });
    outside.things.push('then');
    await eventually(async () => expect(await thingsOf('asked')).toEqual(['now', 'then']));
    expect((await getSensor(test.db, 'default', who.id)).state).toBe('active');
    await world.stop();
  });

  it('say what is wrong, stop no other sensor, and lose nothing', async () => {
    const outside = outsideOf();
    const fine = outsideOf();
    fine.things.push('fine');
    outside.things.push('kept');
    outside.failures.push(new StepError('transient', 'the wire to hunter2 is cut'));
    const failing = sensorPipeline('failing', { with: { password: '${' + '{ secrets.WORD }}' } });
    const world = await startEngineWorld({
      db: test.db,
      script: createScript(),
      pipelines: [failing, sensorPipeline('fine', { uses: 'fine.list' })],
      hash: 'failing',
      plugins: [outsidePlugin(outside), { ...outsidePlugin(fine), name: 'fine' }],
      random: () => 0,
      env: { CRONWRIGHT_SECRET_WORD: 'hunter2' },
    });
    const failed = new Promise<Events['sensor.failed']>((resolve) => world.events.on('sensor.failed', resolve));
    expect(await failed).toMatchObject({ sensor: 'failing.watch', failures: 1, delayMs: 1_000 });
    expect(await failed).toMatchObject({ error: 'StepError: the wire to *** is cut' });
    expect(await getSensor(test.db, 'default', 'failing.watch')).toMatchObject({ state: 'failing', cursor: null });
    await eventually(async () => expect(await thingsOf('fine')).toEqual(['fine']));
    await eventually(async () => expect(await thingsOf('failing')).toEqual(['kept']));
    expect(await rowOf('failing')).toMatchObject({ failures: 0, error: null });
    expect(outside.looks[0]?.input).toEqual({ password: 'hunter2' });
    await world.stop();
  });

  it('end at their time, and where the queue is full wait until there is room', async () => {
    const outside = outsideOf();
    const slow = sensorPipeline('slow', { timeoutMs: 200 });
    outside.things.push('one', 'two');
    let isStuck = true;
    outside.onLook = () => (isStuck ? new Promise(() => {}) : Promise.resolve());
    const world = await startEngineWorld({
      db: test.db,
      script: createScript(),
      pipelines: [slow],
      hash: 'slow',
      plugins: [outsidePlugin(outside)],
      liveRunsPerTenant: 1,
      random: () => 0,
    });
    const results: string[] = [];
    world.events.on('sensor.checked', ({ result }) => results.push(result));
    await eventually(async () => expect(results).toContain('timeout'));
    isStuck = false;
    await eventually(async () => expect(results).toContain('refused'));
    expect(await rowOf('slow')).toMatchObject({ cursor: null, error: expect.stringContaining('is full') });
    expect(await thingsOf('slow')).toEqual([]);
    await world.stop();
  });

  it('forget what they have seen where they look at something else, and are forgotten with their entry', async () => {
    const outside = outsideOf();
    outside.things.push('one');
    const world = await startWorld(outside, [sensorPipeline('edited')]);
    await eventually(async () => expect(await thingsOf('edited')).toEqual(['one']));
    const apply = (pipelines: Pipeline[], hash: string) => world.engine.apply({ pipelines, hash });
    await apply([sensorPipeline('edited', { everyMs: 200 })], 'edited 2');
    outside.things.push('two');
    await eventually(async () => expect(await thingsOf('edited')).toEqual(['one', 'two']));
    await apply([sensorPipeline('edited', { with: { password: 'other' } })], 'edited 3');
    await eventually(async () => expect(await thingsOf('edited')).toEqual(['one', 'two', 'one', 'two']));
    const looks = outside.looks.length;
    await apply([testPipeline('edited')], 'edited 4');
    await expect(getSensor(test.db, 'default', 'edited.watch')).rejects.toThrow('there is no sensor');
    expect(outside.looks.length).toBeLessThanOrEqual(looks + 20);
    await world.stop();
  });
});
