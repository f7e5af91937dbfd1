// When a run will end, by the past or by its progress, and why there is no saying.
import { describe, expect, it } from 'vitest';
import { type EstimatedRun, estimateEnd } from '../../../src/domain/run-estimate.ts';

const at = (seconds: number) => new Date(seconds * 1_000);
const run = (more: Partial<EstimatedRun> = {}): EstimatedRun => ({
  state: 'running',
  waitKind: null,
  startedAt: at(0),
  progress: 25,
  wakesAt: null,
  now: at(60),
  ...more,
});
const past = (since: number, seconds: number) => ({ since: at(since), medianMs: seconds * 1_000 });
const none = (eta_reason: string) => ({ eta: null, eta_from: null, eta_reason });

describe('the probable end of a run', () => {
  it.each([
    ['elapsed and progress, without a past', run(), undefined, { eta: at(240), eta_from: 'linear', eta_reason: null }],
    ['how long others took from here', run(), past(50, 100), { eta: at(150), eta_from: 'history', eta_reason: null }],
    ['the past at 0 %', run({ progress: 0 }), past(0, 90), { eta: at(90), eta_from: 'history', eta_reason: null }],
    [
      'its progress once it took longer than others',
      run(),
      past(0, 30),
      { eta: at(240), eta_from: 'linear', eta_reason: null },
    ],
    [
      'the wait and what is left after it',
      run({ state: 'waiting', waitKind: 'step_retry', wakesAt: at(100) }),
      past(50, 20),
      { eta: at(120), eta_from: 'history', eta_reason: null },
    ],
    [
      'the wait besides what is left by progress',
      run({ state: 'retrying', wakesAt: at(100) }),
      undefined,
      { eta: at(280), eta_from: 'linear', eta_reason: null },
    ],
    [
      'a timer is waited for',
      run({ state: 'waiting', waitKind: 'timer', wakesAt: at(100) }),
      past(50, 20),
      { eta: at(120), eta_from: 'history', eta_reason: null },
    ],
    ['nothing at 0 % without a past', run({ progress: 0 }), undefined, none('no_progress')],
    ['nothing at 0 % after more time than others took', run({ progress: 0 }), past(0, 30), none('overdue')],
    ['nothing before it starts', run({ state: 'pending', startedAt: null }), past(0, 30), none('not_started')],
    ['nothing while it is paused', run({ state: 'paused' }), past(50, 100), none('paused')],
    [
      'nothing while a person is asked',
      run({ state: 'waiting', waitKind: 'approval' }),
      past(50, 100),
      none('waits_for_people'),
    ],
    ['nothing while it is undone', run({ state: 'rolling_back' }), past(50, 100), none('rolling_back')],
    ['nothing once it has ended', run({ state: 'failed' }), past(50, 100), none('ended')],
  ] as const)('comes from %s', (_, one, before, estimate) => {
    expect(estimateEnd(one, before)).toEqual(estimate);
  });
});
