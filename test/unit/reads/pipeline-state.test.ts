// A run in older words: nine states and six of its phases, from the run and its steps.
import { describe, expect, it } from 'vitest';
import type { RunDetail } from '../../../src/reads/get-run.ts';
import { describePipelineState } from '../../../src/reads/pipeline-state.ts';
import type { StepView } from '../../../src/reads/run-steps.ts';

const labels = { decompose: 'Decomposing', enrich: 'Enriching', prompts: 'Generating prompts' };

function runIn(state: string, more: Partial<RunDetail> = {}): RunDetail {
  return { id: 'x', pipeline: 'p', state, started_at: new Date(0), ...more } as RunDetail;
}

function stepsIn(...states: (string | Partial<StepView>)[]): StepView[] {
  return Object.entries(labels).map(([step, label], i) => {
    const given = states[i] ?? 'pending';
    const own = typeof given === 'string' ? { state: given } : given;
    return { step, label, kind: 'step', retries: 0, retry_at: null, started_at: new Date(0), ...own } as StepView;
  });
}

const stateOf = (run: RunDetail, ...states: (string | Partial<StepView>)[]) =>
  describePipelineState(run, stepsIn(...states)).state;

describe('a run in older words', () => {
  it('is in one of nine states', () => {
    expect(stateOf(runIn('scheduled', { started_at: null }))).toBe('IDLE');
    expect(stateOf(runIn('pending', { started_at: null }))).toBe('IDLE');
    expect(stateOf(runIn('running'))).toBe('INITIALIZING');
    expect(stateOf(runIn('running'), 'running')).toBe('DECOMPOSING');
    expect(stateOf(runIn('waiting'), 'completed', 'running')).toBe('ENRICHING');
    expect(stateOf(runIn('running'), 'completed', 'completed', 'running')).toBe('GENERATING_PROMPTS');
    expect(stateOf(runIn('paused'), 'completed')).toBe('PAUSED');
    expect(stateOf(runIn('completed'), 'completed', 'completed', 'completed')).toBe('COMPLETED');
    expect(stateOf(runIn('rolled_back'), 'compensated')).toBe('ROLLED_BACK');
    for (const state of ['failed', 'cancelled', 'dead_letter', 'rollback_failed']) {
      expect(stateOf(runIn(state), 'failed')).toBe('FAILED');
    }
  });

  it('is in its next phase between two', () => {
    expect(stateOf(runIn('running'), 'completed')).toBe('ENRICHING');
    expect(stateOf(runIn('pending'), 'completed', 'completed')).toBe('GENERATING_PROMPTS');
  });

  it('is in its last phase until it has ended', () => {
    expect(stateOf(runIn('running'), 'completed', 'completed', 'completed')).toBe('GENERATING_PROMPTS');
    expect(stateOf(runIn('running'), 'completed', 'completed', 'skipped')).toBe('GENERATING_PROMPTS');
  });

  it('is in the phase that will be tried again', () => {
    expect(stateOf(runIn('retrying'), 'completed', 'failed')).toBe('ENRICHING');
  });

  it('tells each phase in one of six states', () => {
    const phasesOf = (run: RunDetail, ...states: (string | Partial<StepView>)[]) =>
      describePipelineState(run, stepsIn(...states)).phases.map((phase) => phase.state);
    const retried = { state: 'running' as const, retries: 1 };
    expect(phasesOf(runIn('running'), 'completed', 'running')).toEqual(['COMPLETED', 'RUNNING', 'PENDING']);
    expect(phasesOf(runIn('running'), 'skipped', retried)).toEqual(['SKIPPED', 'RETRYING', 'PENDING']);
    expect(phasesOf(runIn('waiting'), { state: 'waiting', retry_at: new Date(0) })[0]).toBe('RETRYING');
    expect(phasesOf(runIn('waiting'), 'waiting')[0]).toBe('RUNNING');
    expect(phasesOf(runIn('cancelled'), 'completed', 'cancelled')).toEqual(['COMPLETED', 'FAILED', 'PENDING']);
    const neverBegun = { state: 'cancelled' as const, started_at: null };
    expect(phasesOf(runIn('failed'), 'failed', neverBegun)).toEqual(['FAILED', 'SKIPPED', 'PENDING']);
    expect(phasesOf(runIn('retrying'), 'failed')[0]).toBe('RETRYING');
    expect(phasesOf(runIn('paused'), 'completed', 'compensated')).toEqual(['COMPLETED', 'PENDING', 'PENDING']);
  });

  it('has a phase of its own for each step that a pipeline adds, by its label or else its id', () => {
    const review = { step: 'review', label: 'Reviewing by peers', kind: 'step', state: 'running' } as StepView;
    const bare = { step: 'publish', label: null, kind: 'step', state: 'pending' } as StepView;
    const all = [...stepsIn('completed', 'completed', 'completed'), review, bare];
    const { state, phases } = describePipelineState(runIn('running'), all);
    expect(state).toBe('REVIEWING_BY_PEERS');
    expect(phases.slice(3).map(({ name }) => name)).toEqual(['REVIEWING_BY_PEERS', 'PUBLISH']);
  });

  it('names phases by their labels, and leaves out what runs at the end in any case', () => {
    const last = { step: 'tidy', label: null, kind: 'finally', state: 'pending' } as StepView;
    const { phases, phase } = describePipelineState(runIn('running'), [...stepsIn('completed', 'running'), last]);
    expect(phases.map(({ name }) => name)).toEqual(['DECOMPOSING', 'ENRICHING', 'GENERATING_PROMPTS']);
    expect(phase).toBe('enrich');
  });
});
