// In which order started steps are undone, whatever their clocks say.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { allNeeds, type Undoable, undoOrder } from '../../../src/worker/undo-order.ts';

const at = (ms: number | null) => (ms === null ? null : new Date(ms));
const unit = (step: string, started: number | null, finished: number | null, item = -1): Undoable => ({
  step,
  item,
  startedAt: at(started),
  finishedAt: at(finished),
});
const diamond = [
  { id: 'a', needs: [] },
  { id: 'b', needs: ['a'] },
  { id: 'c', needs: ['a'] },
  { id: 'd', needs: ['b', 'c'] },
];
const order = (units: readonly Undoable[], steps = diamond) =>
  undoOrder(units, steps).map(({ step, item }) => (item < 0 ? step : `${step}/${item}`));

describe('the order of undoing', () => {
  it('is newest first by end, and what did not finish before all', () => {
    expect(order([unit('a', 0, 10), unit('b', 10, 40), unit('c', 10, 20), unit('d', 40, null)])).toEqual([
      'd',
      'b',
      'c',
      'a',
    ]);
    expect(order([unit('a', 0, 10), unit('b', 10, null), unit('c', 12, null)])).toEqual(['c', 'b', 'a']);
  });

  it('goes by needs where clocks of two nodes disagree', () => {
    expect(order([unit('a', 500, 510), unit('b', 10, 40), unit('d', 41, 50)])).toEqual(['d', 'b', 'a']);
  });

  it('takes items of a fan-out one by one', () => {
    expect(order([unit('b', 1, 9, 0), unit('b', 2, 5, 1), unit('b', 3, 7, 2), unit('a', 0, 1)])).toEqual([
      'b/0',
      'b/2',
      'b/1',
      'a',
    ]);
  });

  it('never undoes a step before one that needs it, for any times', () => {
    const time = fc.option(fc.integer({ min: 0, max: 5 }));
    fc.assert(
      fc.property(fc.array(fc.tuple(time, time), { minLength: 4, maxLength: 4 }), (times) => {
        const units = diamond.map(({ id }, i) => unit(id, times[i]?.[0] ?? null, times[i]?.[1] ?? null));
        const undone = order(units);
        for (const { id, needs } of diamond) {
          for (const need of needs) expect(undone.indexOf(id)).toBeLessThan(undone.indexOf(need));
        }
      }),
    );
  });

  it('knows all that a step needs, however far above', () => {
    expect([...allNeeds(['d'], diamond)].sort()).toEqual(['a', 'b', 'c']);
    expect([...allNeeds(['a'], diamond)]).toEqual([]);
  });
});
