// The record of a new run: what it takes from its pipeline, and which inputs it refuses.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CronwrightError } from '../../../src/domain/errors.ts';
import {
  concurrencySlotKey,
  createNewRun,
  limitKeys,
  type NewRunOptions,
  scheduleSlotKey,
} from '../../../src/domain/new-run.ts';
import type { InputDefinition, Pipeline } from '../../../src/domain/pipeline.ts';

const pipeline: Pipeline = {
  id: 'repo-docs',
  tenant: 'acme',
  version: '0123456789abcdef',
  inputs: {},
  env: {},
  schedules: [],
  priority: 5,
  queue: 'default',
  timeoutMs: 3_600_000,
  onInterrupted: 'retry',
  steps: [],
  finally: [],
  onFailure: [],
};

function withInputs(inputs: Record<string, InputDefinition>): Pipeline {
  return { ...pipeline, inputs };
}

function refusal(from: Pipeline, options: NewRunOptions): CronwrightError {
  try {
    createNewRun(from, 'heavy', options);
  } catch (error) {
    if (error instanceof CronwrightError) return error;
    throw error;
  }
  throw new Error('was not refused');
}

describe('a new run', () => {
  it('takes tenant, version, queue and priority from its pipeline', () => {
    const run = createNewRun(pipeline, 'light', { origin: 'api' });
    expect(run).toMatchObject({
      tenant: 'acme',
      pipeline: 'repo-docs',
      pipelineVersion: '0123456789abcdef',
      queue: 'default',
      priority: 5,
      weight: 'light',
      origin: 'api',
      inputs: null,
      schedule: null,
      nominalAt: null,
      nominalCount: 1,
      late: false,
      dryRun: false,
      actor: null,
      parentId: null,
      traceparent: null,
      runAt: null,
      limits: [],
    });
  });

  it('has a UUID v7 of its own', () => {
    const ids = Array.from({ length: 100 }, () => createNewRun(pipeline, 'heavy', { origin: 'api' }).id);
    expect(new Set(ids).size).toBe(100);
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect([...ids].sort()).toEqual(ids);
  });

  it('of a schedule keeps its nominal time and how many fell on it', () => {
    const nominalAt = new Date(1_764_000_000_000);
    const schedule = { id: 'repo-docs.nightly', nominalAt, nominalCount: 2, late: true, exclusive: true };
    const run = createNewRun(pipeline, 'heavy', { origin: 'schedule', schedule });
    expect(run).toMatchObject({ schedule: 'repo-docs.nightly', nominalAt, nominalCount: 2, late: true });
    expect(run.limits).toEqual(['schedule:repo-docs.nightly']);
  });

  it.each([0, 11, 2.5, Number.NaN, -1])('refuses priority %d and says what is allowed', (priority) => {
    const error = refusal(pipeline, { origin: 'api', priority });
    expect(error.code).toBe('invalid_input');
    expect(error.problems).toEqual([
      { path: 'priority', message: 'out of range', got: String(priority), expected: '1…10' },
    ]);
  });

  it.each([1, 10])('may have priority %d', (priority) => {
    expect(createNewRun(pipeline, 'heavy', { origin: 'api', priority }).priority).toBe(priority);
  });
});

describe('the slots a run needs', () => {
  it.each([
    [undefined, undefined, []],
    [undefined, 'p.s', ['schedule:p.s']],
    [{ limit: 1 }, undefined, ['pipeline:repo-docs']],
    [{ limit: 1, group: 'gpu' }, undefined, ['group:gpu']],
    [{ limit: 1, group: 'gpu' }, 'p.s', ['schedule:p.s', 'group:gpu']],
  ])('with concurrency %j and exclusive schedule %s are %j', (concurrency, schedule, expected) => {
    const limited = concurrency ? { ...pipeline, concurrency } : pipeline;
    expect(limitKeys(limited, schedule)).toEqual(expected);
  });

  it('are not its schedule’s where runs of it may overlap', () => {
    const schedule = { id: 'p.s', nominalAt: null, exclusive: false };
    expect(createNewRun(pipeline, 'heavy', { origin: 'schedule', schedule }).limits).toEqual([]);
  });

  it('have keys that cannot be taken for each other', () => {
    const id = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/);
    fc.assert(
      fc.property(id, id, id, (schedule, pipelineId, group) => {
        const keys = [
          scheduleSlotKey(schedule),
          concurrencySlotKey(pipelineId, undefined),
          concurrencySlotKey(pipelineId, group),
        ];
        expect(new Set(keys).size).toBe(3);
      }),
    );
  });
});

describe('inputs', () => {
  const inputs: Record<string, InputDefinition> = {
    remote: { type: 'string', required: true },
    depth: { type: 'integer', required: false, default: 1 },
    mode: { type: 'string', required: false, enum: ['fast', 'full'] },
  };

  it('are completed with defaults; what has none is null', () => {
    const run = createNewRun(withInputs(inputs), 'heavy', { origin: 'api', inputs: { remote: '.' } });
    expect(run.inputs).toEqual({ remote: '.', depth: 1, mode: null });
  });

  it('that are wrong are all named, each with what was got and what is expected', () => {
    const error = refusal(withInputs(inputs), { origin: 'api', inputs: { depth: '3', mode: 'slow', branch: 'main' } });
    expect(error.code).toBe('invalid_input');
    expect(error.problems).toEqual([
      { path: 'inputs.branch', message: 'unknown input', got: 'branch', expected: 'one of: remote, depth, mode' },
      { path: 'inputs.remote', message: 'missing', got: 'nothing', expected: 'string' },
      { path: 'inputs.depth', message: 'wrong type', got: 'string', expected: 'integer' },
      { path: 'inputs.mode', message: 'not allowed', got: '"slow"', expected: 'one of: "fast", "full"' },
    ]);
    for (const problem of error.problems) expect(error.message).toContain(problem.path);
  });

  it('of a pipeline without any are refused by name', () => {
    expect(refusal(pipeline, { origin: 'api', inputs: { x: 1 } }).problems[0]).toMatchObject({
      expected: 'one of: none',
    });
  });

  it.each(['__proto__', 'constructor', 'toString'])('called %s are unknown, not inherited', (name) => {
    const given: Record<string, unknown> = JSON.parse(`{"${name}": 1}`);
    expect(refusal(withInputs(inputs), { origin: 'api', inputs: { remote: '.', ...given } }).problems).toMatchObject(
      name === '__proto__' ? [{ message: 'unknown input' }] : [{ message: 'unknown input', got: name }],
    );
  });

  it('may have the name of something inherited', () => {
    const definition: InputDefinition = { type: 'string', required: false, default: 'none' };
    const run = createNewRun(withInputs({ constructor: definition }), 'heavy', { origin: 'api' });
    expect(run.inputs).toEqual({ constructor: 'none' });
  });

  it.each([
    ['string', 'x', true],
    ['string', 1, false],
    ['integer', 3, true],
    ['integer', 3.5, false],
    ['integer', 2 ** 53, false],
    ['integer', '3', false],
    ['number', 3.5, true],
    ['number', 3, true],
    ['boolean', false, true],
    ['boolean', 'false', false],
    ['array', [], true],
    ['array', {}, false],
    ['object', {}, true],
    ['object', [], false],
  ] as const)('of type %s: %j fits: %s', (type, value, fits) => {
    const typed = withInputs({ x: { type, required: true } });
    const create = () => createNewRun(typed, 'heavy', { origin: 'api', inputs: { x: value } });
    if (fits) expect(create().inputs).toEqual({ x: value });
    else expect(create).toThrow(CronwrightError);
  });

  it('are kept as given where they fit, whatever they hold', () => {
    const typed = withInputs({ x: { type: 'object', required: true } });
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (x) => {
        expect(createNewRun(typed, 'heavy', { origin: 'api', inputs: { x } }).inputs).toEqual({ x });
      }),
    );
  });
});
