import { describe, expect, it } from 'vitest';
import { type ForkEdits, stepsKeptByFork, stepsKeptByRetry } from '../../../src/domain/kept-steps.ts';
import type { StepState } from '../../../src/domain/run.ts';
import { testStep } from '../../support/http-world.ts';

// fetch ─ analyze ─┬─ write ─ publish
//                  └─ count (reads inputs.limit)
const pipeline = {
  env: {},
  steps: [
    testStep('fetch', [], { with: { remote: '${{ inputs.remote }}' } }),
    testStep('analyze', ['fetch']),
    testStep('write', ['analyze'], { with: { files: '${{ steps.analyze.output.files }}' } }),
    testStep('count', ['analyze'], { if: 'inputs.limit > 3' }),
    testStep('publish', ['write'], { with: { text: 'of ${{ steps.fetch.output.commit }}' } }),
  ],
};
const all = states({
  fetch: 'completed',
  analyze: 'completed',
  write: 'completed',
  count: 'completed',
  publish: 'completed',
});

function states(of: Record<string, StepState>): Map<string, StepState> {
  return new Map(Object.entries(of));
}

function edits(
  some: Partial<{ from: string; inputs: string[]; outputs: string[]; changed: string[] }> = {},
): ForkEdits {
  return {
    from: some.from,
    inputs: new Set(some.inputs),
    outputs: new Set(some.outputs),
    changed: new Set(some.changed),
  };
}

const kept = (of: Map<string, StepState>, some: Parameters<typeof edits>[0]) =>
  stepsKeptByFork(pipeline, of, edits(some)).kept;

describe('what a fork keeps', () => {
  it('keeps what completed where nothing is edited', () => {
    expect(kept(states({ fetch: 'completed', analyze: 'completed', write: 'failed', count: 'completed' }), {})).toEqual(
      ['fetch', 'analyze', 'count'],
    );
  });

  it('runs the named step again, and everything that needs it, and nothing beside it', () => {
    expect(kept(all, { from: 'write' })).toEqual(['fetch', 'analyze', 'count']);
  });

  it('runs again what names an edited input, in its condition too, and what needs that', () => {
    expect(kept(all, { inputs: ['limit'] })).toEqual(['fetch', 'analyze', 'write', 'publish']);
    expect(kept(all, { inputs: ['remote'] })).toEqual([]);
  });

  it('keeps what the named step needs although it names an edited input', () => {
    expect(kept(all, { inputs: ['remote', 'limit'], from: 'write' })).toEqual(['fetch', 'analyze']);
  });

  it('runs again what names an edited output, however far below, and keeps what stands between', () => {
    const plan = stepsKeptByFork(pipeline, all, edits({ outputs: ['fetch'] }));
    expect(plan.kept).toEqual(['fetch', 'analyze', 'write', 'count']);
    expect(plan.again.get('publish')).toContain('steps.fetch');
  });

  it('runs everything again where the environment of the pipeline names an edited input', () => {
    const withEnv = { ...pipeline, env: { REMOTE: '${{ inputs.remote }}' } };
    expect(stepsKeptByFork(withEnv, all, edits({ inputs: ['remote'] })).kept).toEqual([]);
  });

  it('takes an input that is named by a computed name for any input', () => {
    const computed = { env: {}, steps: [testStep('one', [], { with: { all: '${{ inputs }}' } })] };
    expect(stepsKeptByFork(computed, states({ one: 'completed' }), edits({ inputs: ['x'] })).kept).toEqual([]);
  });

  it('runs again what has another definition, but for what the named step needs', () => {
    expect(kept(all, { changed: ['count', 'fetch'] })).toEqual([]);
    expect(kept(all, { changed: ['count', 'fetch'], from: 'write' })).toEqual(['fetch', 'analyze']);
  });

  it('does not keep what needs a tolerated step that failed and runs again', () => {
    expect(kept(states({ fetch: 'completed', analyze: 'failed', write: 'completed', count: 'completed' }), {})).toEqual(
      ['fetch'],
    );
  });

  it('lets a fan-out go on only where nothing it could see is another', () => {
    const half = states({ fetch: 'completed', analyze: 'completed', write: 'failed' });
    expect(stepsKeptByFork(pipeline, half, edits()).continued).toContain('write');
    expect(stepsKeptByFork(pipeline, half, edits({ outputs: ['analyze'] })).continued).not.toContain('write');
    expect(stepsKeptByFork(pipeline, half, edits({ from: 'write' })).continued).not.toContain('write');
    expect(stepsKeptByFork(pipeline, half, edits({ from: 'analyze' })).continued).not.toContain('write');
  });
});

describe('what a retry keeps', () => {
  it('gives a step that was skipped because another one failed its chance', () => {
    const of = states({ fetch: 'completed', analyze: 'failed', write: 'skipped', count: 'completed' });
    expect(stepsKeptByRetry(pipeline, of)).toEqual(['fetch', 'count']);
  });

  it('keeps a step that was skipped by its own condition', () => {
    const of = states({ fetch: 'completed', analyze: 'completed', count: 'skipped' });
    expect(stepsKeptByRetry(pipeline, of)).toEqual(['fetch', 'analyze', 'count']);
  });
});
