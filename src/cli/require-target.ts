// The one thing that a command on runs is meant for: a run, or a filter.
import { CronwrightError } from '../domain/errors.ts';

export type RunTarget = { run: string } | { where: string };

/** Throws `invalid_input` where neither or both are given. */
export function requireTarget(run: string | undefined, where: string | undefined): RunTarget {
  if (run !== undefined && where === undefined) return { run };
  if (run === undefined && where !== undefined) return { where };
  const got = run === undefined ? 'nothing is named' : 'both are given';
  throw new CronwrightError('invalid_input', `${got}, expected a run or --where <filter>`);
}
