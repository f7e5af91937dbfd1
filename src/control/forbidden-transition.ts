// The one answer to a verb that a run's state forbids: a conflict that names both states.
import { CronwrightError } from '../domain/errors.ts';
import { isTerminal, type RunState } from '../domain/run.ts';

/** `requested` is the state that the verb would lead to; `why` follows where the state alone does not say it. */
export function forbiddenTransition(id: string, state: RunState, requested: RunState, why?: string): CronwrightError {
  const reason = why ?? (isTerminal(state) ? 'it has ended' : 'this state cannot be left that way');
  return new CronwrightError('conflict', `run "${id}" is ${state} and cannot become ${requested}: ${reason}`, {
    details: { state, requested },
  });
}
