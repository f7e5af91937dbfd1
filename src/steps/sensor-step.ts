// A sensor as a step: one look is one attempt, so that timeouts, masking, isolation and errors are those of steps.

import type { StepDefinition } from './api.ts';
import { type Json, type StandardIssue, type StandardResult, type StandardSchema, StepError } from './api.ts';
import type { SensorDefinition, SensorEvent, SensorResult } from './define-sensor.ts';

/** What one look is given, as the input of the step. */
export interface SensorLook {
  input: unknown;
  /** Absent at the first look. */
  cursor?: Json;
  maxEvents: number;
}

/** What one look came to, checked and complete. */
export interface LookResult {
  cursor: Json;
  events: { key: string; data: Json }[];
  more: boolean;
}

/** Bytes of JSON. */
const maxCursorBytes = 65_536;
const maxKeyCharacters = 500;

/** The name of the step that stands for a sensor; no step can have it. */
export function sensorStepName(sensor: string): string {
  return `sensor:${sensor}`;
}

export function sensorStep(sensor: SensorDefinition): StepDefinition {
  return {
    input: lookSchema(sensor.input),
    output: resultSchema(sensor.event),
    effects: 'none',
    idempotency: 'natural',
    ...(sensor.isolation === undefined ? {} : { isolation: sensor.isolation }),
    async run(ctx, given) {
      const { input, cursor, maxEvents } = given as SensorLook;
      const found: unknown = await sensor.check(ctx, input, cursor, { maxEvents });
      requireShape(found);
      requireBounds(found, maxEvents);
      return found;
    },
  };
}

/** The sensor's own schema, for the `input` within. */
function lookSchema(inner: StandardSchema): StandardSchema {
  return schema((value) => {
    const { input, ...look } = value as SensorLook;
    const settle = (result: StandardResult<unknown>) =>
      result.issues ? result : { value: { ...look, input: result.value } };
    const result = inner['~standard'].validate(input);
    return result instanceof Promise ? result.then(settle) : settle(result);
  });
}

/** The sensor's own schema, for the `data` of each event; an event that is told twice counts once. */
function resultSchema(event: StandardSchema): StandardSchema {
  return schema(async (value) => {
    const { cursor, events, more } = value as SensorResult;
    const issues: StandardIssue[] = [];
    const checked = new Map<string, Json>();
    for (const [index, { key, data }] of events.entries()) {
      const result = await event['~standard'].validate(data ?? null);
      if (!result.issues) checked.set(key, (result.value ?? null) as Json);
      else
        issues.push(...result.issues.map((one) => ({ ...one, path: ['events', index, 'data', ...(one.path ?? [])] })));
    }
    if (issues.length > 0) return { issues };
    const found = [...checked].map(([key, data]) => ({ key, data }));
    return { value: { cursor: cursor ?? null, events: found, more: more === true } satisfies LookResult };
  });
}

function schema(
  validate: (value: unknown) => StandardResult<unknown> | Promise<StandardResult<unknown>>,
): StandardSchema {
  return { '~standard': { version: 1, vendor: 'cronwright', validate } };
}

function requireShape(found: unknown): asserts found is SensorResult {
  const events = (found as Partial<SensorResult> | null | undefined)?.events;
  if (!Array.isArray(events)) throw invalid('check returned no list of events, expected { cursor, events }');
  for (const [index, event] of (events as Partial<SensorEvent>[]).entries()) {
    const key = event?.key;
    if (typeof key === 'string' && key !== '' && key.length <= maxKeyCharacters) continue;
    const got = typeof key === 'string' ? `a text of ${key.length} characters` : typeof key;
    throw invalid(`events[${index}].key is ${got}, expected text of 1 to ${maxKeyCharacters} characters`);
  }
}

function requireBounds({ cursor, events }: SensorResult, maxEvents: number): void {
  if (events.length > maxEvents) {
    const text = `check returned ${events.length} events, at most ${maxEvents} were asked for: return the oldest, a cursor for them, and more`;
    throw new StepError('fatal', text, { name: 'TooManyEvents' });
  }
  const bytes = Buffer.byteLength(JSON.stringify(cursor ?? null));
  if (bytes <= maxCursorBytes) return;
  throw new StepError('fatal', `the cursor has ${bytes} bytes of JSON, allowed are ${maxCursorBytes}`, {
    name: 'CursorTooLarge',
  });
}

function invalid(message: string): StepError {
  return new StepError('fatal', message, { name: 'InvalidOutput' });
}
