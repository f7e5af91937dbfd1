// A look of a sensor, as the daemon has it made: what it may return, what becomes of it, where it runs.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { defineSensor, type Json, type SensorResult } from '../../../src/steps/api.ts';
import { checkPlugin } from '../../../src/steps/check-plugin.ts';
import { testSensor } from '../../../src/steps/testing/test-step.ts';

const event = z.object({ n: z.int(), note: z.string().default('none') });

function sensorOf(check: (cursor: Json | undefined) => unknown) {
  return defineSensor({
    input: z.strictObject({ at: z.string().default('here') }),
    event,
    check: (_ctx, _input, cursor) => check(cursor) as SensorResult<z.infer<typeof event>>,
  });
}

describe('a look', () => {
  it('gives the cursor back that it was given, and events as their schema has made them, each key once', async () => {
    const sensor = sensorOf((cursor) => ({
      cursor: { seen: ((cursor as { seen: number } | undefined)?.seen ?? 0) + 1 },
      events: [
        { key: 'a', data: { n: 1 } },
        { key: 'a', data: { n: 1 } },
      ],
    }));
    const first = await testSensor(sensor);
    expect(first).toMatchObject({
      end: 'completed',
      cursor: { seen: 1 },
      events: [{ key: 'a', data: { n: 1, note: 'none' } }],
      more: false,
    });
    expect((await testSensor(sensor, { cursor: first.cursor })).cursor).toEqual({ seen: 2 });
  });

  it.each([
    ['no list of events', () => ({ cursor: 1 }), 'InvalidOutput', 'check returned no list of events'],
    ['nothing', () => undefined, 'InvalidOutput', 'check returned no list of events'],
    ['an event without a key', () => ({ cursor: 1, events: [{}] }), 'InvalidOutput', 'events[0].key is undefined'],
    [
      'a long key',
      () => ({ cursor: 1, events: [{ key: 'k'.repeat(501) }] }),
      'InvalidOutput',
      'a text of 501 characters',
    ],
    [
      'data of another form',
      () => ({ cursor: 1, events: [{ key: 'k', data: { n: 'x' } }] }),
      'ValidationError',
      'output does not fit its schema: events.0.data.n',
    ],
    [
      'a large cursor',
      () => ({ cursor: 'x'.repeat(65_600), events: [] }),
      'CursorTooLarge',
      'the cursor has 65602 bytes of JSON, allowed are 65536',
    ],
    [
      'too many events',
      () => ({ cursor: 1, events: Array.from({ length: 101 }, (_, n) => ({ key: String(n), data: { n } })) }),
      'TooManyEvents',
      'check returned 101 events, at most 100 were asked for',
    ],
  ])('fails with %s', async (_, check, name, message) => {
    const { error, end } = await testSensor(sensorOf(check));
    expect(end).toBe('failed');
    expect(error).toMatchObject({ name, message: expect.stringContaining(message) });
  });

  it('checks what it is given, and says it as the pipeline wrote it', async () => {
    const { error } = await testSensor(
      sensorOf(() => ({ cursor: 1, events: [] })),
      { input: { at: 7 } },
    );
    expect(error?.message).toContain('input does not fit its schema: at: ');
  });

  it('masks secrets in the cursor and in events', async () => {
    const sensor = defineSensor({
      input: z.object({}),
      event: z.object({ word: z.string() }),
      async check(ctx) {
        const word = await ctx.secrets.get('WORD');
        return { cursor: `at ${word}`, events: [{ key: 'k', data: { word } }] };
      },
    });
    const look = await testSensor(sensor, { secrets: { WORD: 'hunter2' } });
    expect(look).toMatchObject({ cursor: 'at ***', events: [{ key: 'k', data: { word: '***' } }] });
  });

  it('of a plugin from a file is made in a process of its own', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'cronwright-sensor-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const file = join(folder, 'index.mjs');
    const any = "{ '~standard': { version: 1, vendor: 'own', validate: (value) => ({ value }) } }";
    writeFileSync(
      file,
      `export default { name: 'own', version: '1.0.0', apiVersion: 1, steps: {}, sensors: { pid: {
        input: ${any}, event: ${any},
        check: (ctx, input, cursor, { maxEvents }) => ({ cursor: [cursor ?? null, maxEvents], events: [{ key: String(process.pid), data: input }] }),
      } } };`,
    );
    const look = await testSensor(file, { input: { a: 1 }, cursor: 'before', maxEvents: 7 });
    expect(look).toMatchObject({ end: 'completed', cursor: ['before', 7], events: [{ data: { a: 1 } }] });
    expect(look.events[0]?.key).toMatch(/^\d+$/);
    expect(look.events[0]?.key).not.toBe(String(process.pid));
  });
});

describe('a plugin', () => {
  it('is told what is wrong with its sensors', () => {
    const plugin = { name: 'own', version: '1.0.0', apiVersion: 1, steps: {} };
    expect(checkPlugin({ ...plugin, sensors: [] })).toEqual(['sensors is an array, expected an object of sensors']);
    const sensors = { Bad: 1, ok: { input: z.any(), event: 1, first: 'all', isolation: 'thread' } };
    expect(checkPlugin({ ...plugin, sensors })).toEqual([
      'sensor name is "Bad", expected ^[a-z][a-z0-9_]*$',
      'sensors.Bad is of type number, expected what defineSensor returns',
      'sensors.ok.check is missing, expected a function',
      'sensors.ok.event is of type number, expected a Standard Schema (zod, valibot, arktype)',
      'sensors.ok.first is "all", expected run or skip',
      'sensors.ok.isolation is "thread", expected inline or process',
    ]);
  });
});
