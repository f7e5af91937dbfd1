// What a step is given for an attempt: a secret that cannot be read fails the step, not the engine.
import { describe, expect, it } from 'vitest';
import { createRegistry } from '../../../src/steps/registry.ts';
import { compilePipeline } from '../../../src/worker/compiled-pipeline.ts';
import type { LiveRun } from '../../../src/worker/live-run.ts';
import { evaluateInput } from '../../../src/worker/step-input.ts';
import { testPipeline, testStep } from '../../support/http-world.ts';

const step = testStep('a', [], { with: { key: '${{ secrets.key }}' } });
const [compiled] = compilePipeline(testPipeline('p', { steps: [step] }), createRegistry([])).steps;
const run = { scope: { inputs: {}, steps: {}, env: {}, secrets: {} } } as unknown as LiveRun;

async function evaluate(get: (name: string) => Promise<string | undefined>) {
  if (!compiled) throw new Error('nothing was compiled');
  return evaluateInput(run, compiled, undefined, { secrets: { get }, baseEnv: {} });
}

describe('the input of a step', () => {
  it('holds secrets, and names them for masking', async () => {
    expect(await evaluate(async () => 'hunter2')).toMatchObject({
      ok: true,
      value: { key: 'hunter2' },
      secrets: ['hunter2'],
    });
  });

  it('says which secret cannot be read, and with which class', async () => {
    const busy = Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' });
    expect(await evaluate(() => Promise.reject(busy))).toEqual({
      ok: false,
      error: { name: 'Error', message: 'secrets.key: EMFILE: too many open files', class: 'transient' },
    });
    expect(await evaluate(async () => undefined)).toMatchObject({ ok: false, error: { name: 'MissingSecret' } });
  });
});
