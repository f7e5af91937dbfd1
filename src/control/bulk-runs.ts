// A verb for many runs at once: shows first what it would do, then does it in batches, for a bounded time a call.
import { CronwrightError, errorMessage } from '../domain/errors.ts';
import { nextStates, type Origin, type RunState, runStates } from '../domain/run.ts';
import { countMatches, type MatchedRun, matchRuns, type RunMatch } from '../queue/match-runs.ts';
import { cancelRun } from './cancel-run.ts';
import { pauseRun } from './pause-run.ts';
import { resumeRun } from './resume-run.ts';
import { retryRun } from './retry-run.ts';
import { rollbackRun } from './rollback-run.ts';
import { setPriority } from './set-priority.ts';
import type { Caller, RunStarter } from './start-run.ts';

export const bulkActions = ['pause', 'resume', 'cancel', 'retry', 'priority', 'rollback'] as const;
export type BulkAction = (typeof bulkActions)[number];

export interface BulkFilter {
  states?: readonly RunState[] | undefined;
  pipeline?: string | undefined;
  schedule?: string | undefined;
  origins?: readonly Origin[] | undefined;
  from?: Date | undefined;
  to?: Date | undefined;
  ids?: readonly string[] | undefined;
}

export interface BulkRequest {
  action: BulkAction;
  filter: BulkFilter;
  /** Only says what would be done. */
  preview: boolean;
  /** As many as the preview said; where it is another number by now, nothing is done. */
  expected?: number | undefined;
  /** Goes on where an earlier call stopped. */
  cursor?: string | undefined;
  reason?: string | undefined;
  /** For `priority`. */
  priority?: number | undefined;
  /** For `cancel`: undo what was done first. */
  rollback?: boolean | undefined;
  /** For `rollback`: the step that is kept. */
  to?: string | undefined;
  /** For `retry`: also those that were retried already. */
  force?: boolean | undefined;
}

export interface BulkAnswer {
  action: BulkAction;
  preview: boolean;
  /** Runs that match; null in a call that goes on. */
  count: number | null;
  /** The first of them. */
  runs: MatchedRun[];
  done: number;
  skipped: number;
  failed: number;
  /** Why, of the first that were not done. */
  details: { id: string; outcome: 'skipped' | 'failed'; reason: string }[];
  /** Call again with it: time was up. */
  nextCursor: string | null;
}

const live = runStates.filter((state) => nextStates(state).length > 0);
const badlyEnded: readonly RunState[] = ['failed', 'cancelled', 'dead_letter'];

/** What a verb is for where the filter names no states. */
const natural: Record<BulkAction, readonly RunState[]> = {
  pause: ['scheduled', 'pending', 'running', 'retrying'],
  resume: ['paused'],
  cancel: live.filter((state) => nextStates(state).includes('cancelled')),
  retry: badlyEnded,
  priority: live,
  rollback: ['failed', 'cancelled', 'rollback_failed'],
};

const shown = 20;
const mostDetails = 100;
const atOnce = 8;
/** How many runs are looked for at a time, and after how long a call begins with no more. */
const usual = { batch: 100, budgetMs: 10_000 };

/** Throws `invalid_input`, and `conflict` where another number of runs matches than was expected. */
export async function bulkRuns(
  starter: RunStarter,
  request: BulkRequest,
  caller: Caller,
  pace: typeof usual = usual,
): Promise<BulkAnswer> {
  const { db } = starter.context;
  if (Object.values(request.filter).every((value) => value === undefined)) throw noFilter();
  if (request.action === 'priority' && request.priority === undefined && !request.preview) throw noPriority();
  const { match, untilMs } = matchOf(starter, request, caller);
  const isFirst = request.cursor === undefined;
  const count = isFirst ? await countMatches(db, match) : null;
  if (count !== null && request.expected !== undefined && request.expected !== count) {
    throw otherCount(request.expected, count);
  }
  const answer: BulkAnswer = {
    action: request.action,
    preview: request.preview,
    count,
    runs: isFirst ? await matchRuns(db, match, shown) : [],
    done: 0,
    skipped: 0,
    failed: 0,
    details: [],
    nextCursor: null,
  };
  if (!request.preview) await act(starter, request, caller, { match, untilMs, answer, pace });
  return answer;
}

/** What is made after the first call, such as the retries themselves, is not matched by a later one. */
function matchOf(
  { context }: RunStarter,
  { action, filter, cursor }: BulkRequest,
  caller: Caller,
): { match: RunMatch; untilMs: number } {
  const { untilMs, after } =
    cursor === undefined ? { untilMs: context.clock.now() + 1, after: null } : readCursor(cursor);
  const to = Math.min(filter.to?.getTime() ?? Number.POSITIVE_INFINITY, untilMs);
  const match = {
    tenant: caller.tenant,
    states: filter.states ?? natural[action],
    pipeline: filter.pipeline ?? null,
    schedule: filter.schedule ?? null,
    origins: filter.origins ?? null,
    from: filter.from ?? null,
    to: new Date(to),
    ids: filter.ids ?? null,
    after,
  };
  return { match, untilMs };
}

async function act(
  starter: RunStarter,
  request: BulkRequest,
  caller: Caller,
  { match, untilMs, answer, pace }: { match: RunMatch; untilMs: number; answer: BulkAnswer; pace: typeof usual },
): Promise<void> {
  const { clock, db } = starter.context;
  const deadline = clock.monotonic() + pace.budgetMs;
  let after = match.after;
  for (;;) {
    const runs = await matchRuns(db, { ...match, after }, pace.batch);
    const queue = [...runs];
    const lane = async () => {
      for (let run = queue.shift(); run; run = queue.shift()) await actOn(starter, request, caller, run.id, answer);
    };
    await Promise.all(Array.from({ length: atOnce }, lane));
    after = runs.at(-1)?.id ?? after;
    if (runs.length < pace.batch) return;
    if (clock.monotonic() >= deadline) {
      answer.nextCursor = `${untilMs}.${after}`;
      return;
    }
  }
}

async function actOn(
  starter: RunStarter,
  request: BulkRequest,
  caller: Caller,
  id: string,
  answer: BulkAnswer,
): Promise<void> {
  try {
    await doIt(starter, request, caller, id);
    answer.done += 1;
  } catch (error) {
    // What the run's state forbids, or somebody did meanwhile, is no failure.
    const isSkip = error instanceof CronwrightError && (error.code === 'conflict' || error.code === 'not_found');
    const outcome = isSkip ? 'skipped' : 'failed';
    answer[outcome] += 1;
    const reason = error instanceof CronwrightError ? error.message : 'something went wrong in the daemon';
    if (answer.details.length < mostDetails) answer.details.push({ id, outcome, reason });
    if (!(error instanceof CronwrightError)) {
      starter.context.events.emit('service.crashed', { service: `bulk ${request.action}`, error: errorMessage(error) });
    }
  }
}

async function doIt(starter: RunStarter, request: BulkRequest, caller: Caller, id: string): Promise<void> {
  const { context } = starter;
  const { tenant, actor } = caller;
  const { reason, priority = 5 } = request;
  switch (request.action) {
    case 'pause':
      await pauseRun(context, { tenant, id, actor, reason });
      return;
    case 'resume':
      await resumeRun(context, { tenant, id, actor, reason });
      return;
    case 'cancel':
      await cancelRun(context, { tenant, id, actor, reason, rollback: request.rollback });
      return;
    case 'retry':
      await retryRun(starter, id, caller, { force: request.force });
      return;
    case 'priority':
      await setPriority(context, { tenant, id, actor, priority, reason });
      return;
    case 'rollback':
      await rollbackRun(starter, id, { to: request.to, reason }, caller);
      return;
  }
}

function readCursor(text: string): { untilMs: number; after: string } {
  const parts = /^(\d{1,15})\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/.exec(text);
  if (parts?.[1] && parts[2]) return { untilMs: Number(parts[1]), after: parts[2] };
  throw new CronwrightError('invalid_input', `"${text}" is not a cursor of this list`, {
    problems: [{ path: 'cursor', message: 'not a cursor', got: text, expected: 'next_cursor of the call before' }],
  });
}

function noFilter(): CronwrightError {
  const expected = 'at least one of states, pipeline, schedule, origins, from, to, ids';
  return new CronwrightError('invalid_input', `the filter is empty, expected ${expected}`, {
    problems: [{ path: 'filter', message: 'empty', expected }],
  });
}

function noPriority(): CronwrightError {
  return new CronwrightError('invalid_input', 'priority: missing, expected a whole number from 1 to 10', {
    problems: [{ path: 'priority', message: 'missing', expected: 'a whole number from 1 to 10' }],
  });
}

function otherCount(expected: number, count: number): CronwrightError {
  const match = count === 1 ? '1 run matches' : `${count} runs match`;
  const message = `${match} by now, and ${expected} ${expected === 1 ? 'was' : 'were'} expected: nothing was done`;
  return new CronwrightError('conflict', message, { details: { expected, count } });
}
