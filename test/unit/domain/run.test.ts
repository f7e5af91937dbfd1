// The table of states, against DESIGN §4 written out once more as pairs.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  canTransition,
  isTerminal,
  nextStates,
  type RunState,
  resultOfState,
  runStates,
  terminalStates,
} from '../../../src/domain/run.ts';

const allowed: readonly string[] = [
  'scheduled → pending',
  'scheduled → paused',
  'scheduled → cancelled',
  'pending → running',
  'pending → paused',
  'pending → cancelled',
  'running → completed',
  'running → failed',
  'running → cancelled',
  'running → waiting',
  'running → retrying',
  'running → paused',
  'running → rolling_back',
  'running → pending',
  'running → dead_letter',
  'waiting → pending',
  'waiting → failed',
  'waiting → cancelled',
  'waiting → rolling_back',
  'retrying → pending',
  'retrying → paused',
  'retrying → cancelled',
  'paused → pending',
  'paused → cancelled',
  'rolling_back → rolled_back',
  'rolling_back → rollback_failed',
  'rolling_back → paused',
  'rollback_failed → rolling_back',
];

const pairs = runStates.flatMap((from) => runStates.map((to) => ({ from, to, pair: `${from} → ${to}` })));

describe('what may follow a state', () => {
  it.each(pairs)('$pair', ({ from, to, pair }) => {
    expect(canTransition(from, to)).toBe(allowed.includes(pair));
    expect(nextStates(from).includes(to)).toBe(allowed.includes(pair));
  });

  it('is nothing after a terminal state, and only then', () => {
    expect(runStates.filter(isTerminal)).toEqual(['completed', 'failed', 'cancelled', 'rolled_back', 'dead_letter']);
    expect([...terminalStates].sort()).toEqual(runStates.filter(isTerminal).sort());
  });

  it('leads from every live state to an end', () => {
    fc.assert(
      fc.property(fc.constantFrom(...runStates.filter((state) => !isTerminal(state))), (state) => {
        expect([...reachable(state)].some(isTerminal)).toBe(true);
      }),
    );
  });

  it('reaches every state from a new run', () => {
    const reached = new Set([...reachable('scheduled'), ...reachable('pending')]);
    expect(runStates.filter((state) => !reached.has(state) && state !== 'scheduled')).toEqual([]);
  });
});

describe('the result of a run', () => {
  it.each([
    ['completed', 'success'],
    ['failed', 'failure'],
    ['cancelled', 'cancellation'],
    ['rolled_back', 'failure'],
    ['dead_letter', 'error'],
  ] as const)('%s is %s', (state, result) => {
    expect(resultOfState(state, false)).toBe(result);
  });

  it('is timeout where it timed out, whatever was done about it', () => {
    expect(terminalStates.map((state) => resultOfState(state, true))).toEqual(terminalStates.map(() => 'timeout'));
  });
});

function reachable(from: RunState, seen: Set<RunState> = new Set()): Set<RunState> {
  for (const next of nextStates(from)) {
    if (seen.has(next)) continue;
    seen.add(next);
    reachable(next, seen);
  }
  return seen;
}
