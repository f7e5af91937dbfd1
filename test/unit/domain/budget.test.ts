// Which budget holds, and how money is shown.
import { describe, expect, it } from 'vitest';
import { budgetOf, costRatio, showEstimate, showUsd } from '../../../src/domain/budget.ts';

describe('the budget of a run', () => {
  const budgets = {
    '*': { perMonth: 10, onExceeded: 'wait' },
    acme: { perRun: 2, perMonth: 100, onExceeded: 'wait' },
  } as const;

  it.each([
    ['is that of its tenant', 'acme', undefined, { perRun: 2, perMonth: 100, onRunExceeded: 'wait' }],
    ['is that of all for a tenant without one', 'other', undefined, { perMonth: 10, onMonthExceeded: 'wait' }],
    [
      "is its pipeline's where that is lower",
      'acme',
      { perRun: 1, onExceeded: 'fail' },
      { perRun: 1, perMonth: 100, onRunExceeded: 'fail', onMonthExceeded: 'wait' },
    ],
    [
      "is its tenant's where the pipeline allows more",
      'acme',
      { perRun: 3, onExceeded: 'fail' },
      { perRun: 2, onRunExceeded: 'wait' },
    ],
    ["is its pipeline's alone where nobody else says one", 'other', { perRun: 3, onExceeded: 'fail' }, { perRun: 3 }],
  ] as const)('%s', (_, tenant, pipeline, expected) => {
    expect(budgetOf(budgets, tenant, pipeline)).toMatchObject(expected);
  });

  it('is none where nobody says one, and a name of an object is no tenant', () => {
    expect(budgetOf({}, 'toString', undefined)).toMatchObject({ perRun: undefined, perMonth: undefined });
  });
});

describe('money', () => {
  it.each([
    [0, '$0.00'],
    [0.15, '$0.15'],
    [0.1623, '$0.1623'],
    [12, '$12.00'],
    [0.0023, '$0.0023'],
    [0.000001, '$0.000001'],
    [1234.5, '$1234.50'],
  ])('%d is shown as %s', (usd, text) => {
    expect(showUsd(usd)).toBe(text);
  });

  it('that is estimated is a range up to twice the low end', () => {
    expect(showEstimate(0.15)).toBe('$0.15 - $0.30');
  });

  it('spent by estimated is a ratio, where something was estimated', () => {
    expect([costRatio(0.1623, 0.15), costRatio(1, 0), costRatio(1, null)]).toEqual([1.082, null, null]);
  });
});
