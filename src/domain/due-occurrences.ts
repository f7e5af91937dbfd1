// What becomes of every nominal time that has passed: pure decisions, from a cursor and a clock.
import type { CompiledSchedule, Occurrence } from './cron/next-occurrences.ts';
import type { ScheduleDefinition } from './schedule.ts';
import { distanceToNext, fireInstant, nextUnpaused, type PausedRange, type ScheduleClock } from './schedule-clock.ts';

export type DueSchedule = Pick<ScheduleDefinition, 'id' | 'overlap' | 'catchup' | 'graceMs' | 'jitterMs'>;

export interface DueQuestion {
  readonly schedule: DueSchedule;
  readonly clock: ScheduleClock;
  /** The last nominal instant that has been decided (or when the schedule was registered), Unix ms. */
  readonly cursorMs: number;
  readonly nowMs: number;
  /** Pauses since the cursor, in any order, the current one included. */
  readonly pauses?: readonly PausedRange[];
  /** Runs of this schedule that are not finished: at work, waiting for its slot or for a worker. */
  readonly liveRuns: number;
}

/** To be enqueued as a run. */
export interface EnqueueDecision {
  readonly outcome: 'enqueue';
  /** The nominal instant. */
  readonly at: Date;
  readonly nominalCount: number;
  /** Beyond its grace, or standing in for times that were missed. */
  readonly late: boolean;
  /** Cancel what is live of this schedule (`cancel_previous`). */
  readonly cancelPrevious: boolean;
}

/** To be recorded as one row: `count` nominal times between the two instants, both included. */
export interface RangeDecision {
  readonly outcome: 'missed' | 'skipped_overlap' | 'skipped_paused' | 'skipped_calendar';
  readonly firstAt: Date;
  readonly lastAt: Date;
  readonly count: number;
  readonly reason: string;
}

export type DueDecision = EnqueueDecision | RangeDecision;

export interface DueAnswer {
  /** By first instant. Counts add up to all nominal times in (question.cursorMs, answer.cursorMs]. */
  readonly decisions: readonly DueDecision[];
  /** The new cursor: the last nominal instant decided, or the old cursor. */
  readonly cursorMs: number;
  /** The nominal instant of the next run, Unix ms; null while paused without end, or where nothing fires again. */
  readonly nextMs: number | null;
  /** When to ask again, Unix ms: when that run fires (its jitter added), or when there is something to record. */
  readonly nextDueMs: number | null;
}

/**
 * Decides all that is due. The work does not grow with the number of missed times: they are counted, and only those
 * that will run (at most `catchup.max` and the current one) are looked at.
 *
 * - A time is due at its instant plus jitter; until then it stays undecided, and no later one is looked at.
 * - On time: no later than grace, and no later than half the distance to the next time.
 * - `catchup`: `none` drops what is later; `all` runs the newest `max` within the window; `last` makes one run, of the
 *   newest due time, and marks it late (where that time itself is on time, it stands in for the missed ones).
 * - Overlap is decided in order, each run that is enqueued counting as live for the next.
 */
export function decideDue(question: DueQuestion): DueAnswer {
  const { clock, cursorMs } = question;
  const dueUntilMs = newestDueMs(question);
  if (dueUntilMs === undefined) {
    return { decisions: [], cursorMs, ...nextOf(question, cursorMs) };
  }
  const spans = splitByPauses(question, dueUntilMs);
  const chosen = chooseRuns(question, spans);
  const oldestChosenMs = chosen[0]?.at.getTime() ?? Number.POSITIVE_INFINITY;
  const decisions: DueDecision[] = decideOverlaps(question, chosen);
  for (const span of spans) {
    if (span.paused) {
      decisions.push(...rangeOf(clock.all, span, 'skipped_paused', 'the schedule was paused'));
      continue;
    }
    if (clock.excluded !== undefined) {
      decisions.push(...rangeOf(clock.excluded, span, 'skipped_calendar', 'its calendar excludes the day'));
    }
    const missed = { ...span, toMs: Math.min(span.toMs, oldestChosenMs - 1) };
    decisions.push(...rangeOf(clock.fires, missed, 'missed', missedReason(question.schedule)));
  }
  decisions.sort((a, b) => firstMs(a) - firstMs(b));
  return { decisions, cursorMs: dueUntilMs, ...nextOf(question, dueUntilMs) };
}

/** Nominal times in (fromMs, toMs]. */
interface Span {
  readonly fromMs: number;
  readonly toMs: number;
  readonly paused: boolean;
}

/** The newest nominal instant whose fire instant has come; only the newest of all can still wait for its jitter. */
function newestDueMs({ schedule, clock, cursorMs, nowMs }: DueQuestion): number | undefined {
  const [older, newest] = lastTwo(clock.all.last(cursorMs, nowMs, 2));
  if (newest === undefined) {
    return undefined;
  }
  return fireInstant(schedule, clock, newest) <= nowMs ? newest : older;
}

function lastTwo(occurrences: readonly Occurrence[]): [number | undefined, number | undefined] {
  return [occurrences.at(-2)?.at.getTime(), occurrences.at(-1)?.at.getTime()];
}

function splitByPauses({ cursorMs, pauses = [] }: DueQuestion, untilMs: number): Span[] {
  const spans: Span[] = [];
  let fromMs = cursorMs;
  const add = (toMs: number, paused: boolean): void => {
    const end = Math.min(toMs, untilMs);
    if (end > fromMs) {
      spans.push({ fromMs, toMs: end, paused });
      fromMs = end;
    }
  };
  for (const pause of [...pauses].sort((a, b) => a.fromMs - b.fromMs)) {
    add(pause.fromMs - 1, false);
    add((pause.untilMs ?? Number.POSITIVE_INFINITY) - 1, true);
  }
  add(untilMs, false);
  return spans;
}

interface ChosenRun extends Occurrence {
  readonly late: boolean;
}

/** The times that become runs, in order: always the newest ones, without a hole. */
function chooseRuns({ schedule, clock, nowMs }: DueQuestion, spans: readonly Span[]): ChosenRun[] {
  const { policy, windowMs, max } = schedule.catchup;
  const limit = policy === 'all' ? Math.max(0, max) : policy === 'last' ? 1 : 0;
  const newestFirst = newestOf(clock.fires, spans, limit + 2).reverse();
  const inWindow = ({ at }: Occurrence): boolean => nowMs - at.getTime() <= windowMs;
  const chosen: ChosenRun[] = [];
  let caughtUp = 0;
  for (const occurrence of newestFirst) {
    const late = !isOnTime(schedule, clock, occurrence.at.getTime(), nowMs);
    if (late && (caughtUp >= limit || !inWindow(occurrence))) {
      break;
    }
    const standIn = chosen.at(-1);
    if (late && policy === 'last' && standIn !== undefined) {
      return [{ ...standIn, late: true }];
    }
    caughtUp += late ? 1 : 0;
    chosen.unshift({ ...occurrence, late });
  }
  return chosen;
}

function newestOf(fires: CompiledSchedule, spans: readonly Span[], limit: number): Occurrence[] {
  let newest: Occurrence[] = [];
  for (const span of spans.filter(({ paused }) => !paused).reverse()) {
    if (newest.length >= limit) {
      break;
    }
    newest = [...fires.last(span.fromMs, span.toMs, limit - newest.length), ...newest];
  }
  return newest;
}

function isOnTime(schedule: DueSchedule, clock: ScheduleClock, atMs: number, nowMs: number): boolean {
  const lateByMs = nowMs - fireInstant(schedule, clock, atMs);
  return lateByMs <= schedule.graceMs && lateByMs <= distanceToNext(clock, atMs) / 2;
}

function decideOverlaps({ schedule, liveRuns }: DueQuestion, chosen: readonly ChosenRun[]): DueDecision[] {
  const decisions: DueDecision[] = [];
  let live = liveRuns;
  for (const [index, { at, nominalCount, late }] of chosen.entries()) {
    const reason = overlapReason(schedule.overlap, live, index === chosen.length - 1);
    if (reason === undefined) {
      const cancelPrevious = schedule.overlap === 'cancel_previous' && live > 0;
      decisions.push({ outcome: 'enqueue', at, nominalCount, late, cancelPrevious });
      live = cancelPrevious ? 1 : live + 1;
      continue;
    }
    const before = decisions.at(-1);
    if (before?.outcome === 'skipped_overlap') {
      decisions.pop();
      decisions.push({ ...before, lastAt: at, count: before.count + nominalCount });
    } else {
      decisions.push({ outcome: 'skipped_overlap', firstAt: at, lastAt: at, count: nominalCount, reason });
    }
  }
  return decisions;
}

/** Why a time is not to run, or undefined. The schedule's slot holds one run: of the live ones, the others wait. */
function overlapReason(overlap: ScheduleDefinition['overlap'], live: number, newest: boolean): string | undefined {
  switch (overlap) {
    case 'skip':
      return live > 0 ? 'a run of this schedule is still live' : undefined;
    case 'queue':
      return live > 1 ? 'a run of this schedule is live and another one waits' : undefined;
    case 'cancel_previous':
      return newest ? undefined : 'a newer time takes its place';
    case 'queue_all':
    case 'allow':
      return undefined;
  }
}

function rangeOf(
  compiled: CompiledSchedule,
  { fromMs, toMs }: Span,
  outcome: RangeDecision['outcome'],
  reason: string,
): RangeDecision[] {
  const count = compiled.count(fromMs, toMs).nominal;
  const first = count === 0 ? undefined : compiled.between(fromMs, toMs, 1)[0];
  const last = count === 0 ? undefined : compiled.last(fromMs, toMs, 1)[0];
  return first === undefined || last === undefined
    ? []
    : [{ outcome, firstAt: first.at, lastAt: last.at, count, reason }];
}

function missedReason({ catchup }: DueSchedule): string {
  const hours = `${catchup.windowMs / 3_600_000} h`;
  return {
    none: 'later than its grace; catchup is none',
    last: `later than its grace; catchup is last (one run, window ${hours})`,
    all: `later than its grace; catchup is all (window ${hours}, at most ${catchup.max})`,
  }[catchup.policy];
}

function firstMs(decision: DueDecision): number {
  return (decision.outcome === 'enqueue' ? decision.at : decision.firstAt).getTime();
}

/** Excluded times are recorded with the next run, but not later than this: few rows, and a page that is not behind. */
const RECORD_EXCLUDED_WITHIN_MS = 3_600_000;

function nextOf(
  { schedule, clock, pauses = [] }: DueQuestion,
  cursorMs: number,
): Pick<DueAnswer, 'nextMs' | 'nextDueMs'> {
  const nextMs = nextUnpaused(clock.fires, pauses, cursorMs);
  const excludedMs = clock.excluded === undefined ? null : nextUnpaused(clock.excluded, pauses, cursorMs);
  const dues = [
    ...(nextMs === null ? [] : [fireInstant(schedule, clock, nextMs)]),
    ...(excludedMs === null ? [] : [excludedMs + RECORD_EXCLUDED_WITHIN_MS]),
  ];
  return { nextMs, nextDueMs: dues.length === 0 ? null : Math.min(...dues) };
}
