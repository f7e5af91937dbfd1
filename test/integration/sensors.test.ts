// Sensors on PostgreSQL: each new thing starts one run, whoever looks, whatever dies, whatever fails in between.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createPostgres } from '../../src/db/postgres.ts';
import type { Pipeline } from '../../src/domain/pipeline.ts';
import type { SensorDefinition } from '../../src/domain/sensor.ts';
import { definePlugin, defineSensor, type Json, type SensorResult } from '../../src/steps/api.ts';
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
          await outside.onLook?.();
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

  async function startWorld(outside: Outside, pipelines: Pipeline[], options: { db?: TestDatabase['db'] } = {}) {
    const world = await startEngineWorld({
      db: options.db ?? test.db,
      script: createScript(),
      pipelines,
      hash: JSON.stringify(pipelines.map(({ id, sensors }) => [id, sensors])),
      plugins: [outsidePlugin(outside)],
      random: () => 0,
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
    for (let number = 1; number <= 20; number += 1) {
      outside.things.push(`thing ${number}`);
      await eventually(async () => expect(await thingsOf('shared')).toContain(`thing ${number}`));
    }
    const runs = await runsOf('shared');
    expect(runs.map(({ inputs }) => inputs.thing)).toEqual(outside.things);
    expect(runs[0]).toMatchObject({ origin: 'sensor', actor: 'sensor:shared.watch' });
    expect(await rowOf('shared')).toMatchObject({ cursor: '21', found: 21, failures: 0 });
    await one.reached(runs[20]?.id ?? '');
    await one.stop();
    await two.stop();
    await other.close();
  });
});
