// What becomes of nominal times that have passed: grace, catch-up, overlap, calendar, pauses and jitter.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type DueDecision, type DueQuestion, decideDue } from '../../../src/domain/due-occurrences.ts';
import { type ScheduleCalendar, type ScheduleDefinition, scheduleDefaults } from '../../../src/domain/schedule.ts';
import { createScheduleClock, fireInstant } from '../../../src/domain/schedule-clock.ts';
import { cpuMs } from '../../support/cpu-time.ts';

type Given = Partial<Omit<DueQuestion, 'schedule' | 'clock' | 'cursorMs' | 'nowMs'>> &
  Partial<Omit<ScheduleDefinition, 'catchup'>> & { catchup?: Partial<ScheduleDefinition['catchup']> };

const ms = (time: string) => Date.parse(time.length > 5 ? time : `2026-06-10T${time}:00Z`);
const at = (date: Date) => date.toISOString().slice(11, 19).replace(/:00$/, '');

function question(cron: string, cursor: string, now: string, given: Given = {}): DueQuestion {
  const { pauses, liveRuns = 0, catchup, ...rest } = given;
  const schedule = {
    id: 'docs.nightly',
    timezone: 'UTC',
    overlap: 'queue_all' as const,
    graceMs: scheduleDefaults.graceMs,
    jitterMs: 0,
    ...rest,
    cron,
    catchup: { ...scheduleDefaults.catchup, ...catchup },
  };
  return {
    schedule,
    clock: createScheduleClock(schedule),
    cursorMs: ms(cursor),
    nowMs: ms(now),
    liveRuns,
    ...(pauses === undefined ? {} : { pauses }),
  };
}

/** One line a decision: easier to read, and to write, than objects. */
function show(decision: DueDecision): string {
  if (decision.outcome === 'enqueue') {
    const marks = [decision.late ? 'late' : '', decision.cancelPrevious ? 'cancels' : ''].filter(Boolean).join(' ');
    return `run ${at(decision.at)}${marks && ` ${marks}`}`;
  }
  const { outcome, firstAt, lastAt, count } = decision;
  return `${outcome} ${at(firstAt)}-${at(lastAt)} x${count}`;
}

function decide(cron: string, cursor: string, now: string, given: Given = {}): string[] {
  return decideDue(question(cron, cursor, now, given)).decisions.map(show);
}

describe('a time that has come', () => {
  it('runs, and moves the cursor to itself', () => {
    const answer = decideDue(question('0 * * * *', '09:30', '10:00'));
    expect(answer.decisions.map(show)).toEqual(['run 10:00']);
    expect(answer).toMatchObject({ cursorMs: ms('10:00'), nextMs: ms('11:00'), nextDueMs: ms('11:00') });
  });

  it('does not run before, and not again', () => {
    expect(decideDue(question('0 * * * *', '09:30', '09:59'))).toEqual({
      decisions: [],
      cursorMs: ms('09:30'),
      nextMs: ms('10:00'),
      nextDueMs: ms('10:00'),
    });
    expect(decide('0 * * * *', '10:00', '10:00')).toEqual([]);
  });

  it('does not run again when the clock went back', () => {
    const answer = decideDue(question('0 * * * *', '10:00', '08:30'));
    expect(answer).toMatchObject({ decisions: [], cursorMs: ms('10:00'), nextMs: ms('11:00') });
  });

  it('carries the count of the nominal times that landed on it', () => {
    const [decision] = decideDue(
      question('0,30 2 * * *', '2026-03-08T05:00:00Z', '2026-03-08T07:00:00Z', { timezone: 'America/New_York' }),
    ).decisions;
    expect(decision).toMatchObject({ outcome: 'enqueue', nominalCount: 2 });
  });
});

describe('grace', () => {
  it('is a minute', () => {
    expect(decide('0 * * * *', '09:30', '2026-06-10T10:01:00Z')).toEqual(['run 10:00']);
    expect(decide('0 * * * *', '09:30', '2026-06-10T10:01:00.001Z')).toEqual(['run 10:00 late']);
    expect(decide('0 * * * *', '09:30', '10:04', { graceMs: 300_000 })).toEqual(['run 10:00']);
  });

  it('is at most half the distance to the next time', () => {
    expect(decide('* * * * *', '09:59', '2026-06-10T10:00:30Z')).toEqual(['run 10:00']);
    expect(decide('* * * * *', '09:59', '2026-06-10T10:00:31Z')).toEqual(['run 10:00 late']);
    expect(decide('* * * * * *', '2026-06-10T09:59:59Z', '2026-06-10T10:00:00.500Z')).toEqual(['run 10:00']);
  });

  it('counts from the fire instant, jitter included', () => {
    const given = { jitterMs: 600_000 };
    const asked = question('0 * * * *', '09:30', '10:30', given);
    const fires = fireInstant(asked.schedule, asked.clock, ms('10:00'));
    const decideAt = (nowMs: number) => decideDue({ ...asked, nowMs }).decisions.map(show);
    expect(fires).toBeGreaterThan(ms('10:00'));
    expect(decideAt(fires - 1)).toEqual([]);
    expect(decideAt(fires + 60_000)).toEqual(['run 10:00']);
    expect(decideAt(fires + 60_001)).toEqual(['run 10:00 late']);
  });
});

describe('missed times', () => {
  it('are dropped with catchup none, but for the one that is on time', () => {
    expect(decide('0 * * * *', '05:30', '10:30', { catchup: { policy: 'none' } })).toEqual(['missed 06:00-10:00 x5']);
    expect(decide('0 * * * *', '05:30', '10:00', { catchup: { policy: 'none' } })).toEqual([
      'missed 06:00-09:00 x4',
      'run 10:00',
    ]);
  });

  it('come down to one late run with catchup last', () => {
    expect(decide('0 * * * *', '05:30', '10:30')).toEqual(['missed 06:00-09:00 x4', 'run 10:00 late']);
  });

  it('come down to the newest due time with catchup last, also when that one is on time', () => {
    expect(decide('0 * * * *', '05:30', '10:00')).toEqual(['missed 06:00-09:00 x4', 'run 10:00 late']);
  });

  it('all run with catchup all, the newest up to max', () => {
    const all = (max: number) => decide('0 * * * *', '06:30', '10:30', { catchup: { policy: 'all', max } });
    expect(all(100)).toEqual(['run 07:00 late', 'run 08:00 late', 'run 09:00 late', 'run 10:00 late']);
    expect(all(2)).toEqual(['missed 07:00-08:00 x2', 'run 09:00 late', 'run 10:00 late']);
    expect(all(0)).toEqual(['missed 07:00-10:00 x4']);
  });

  it('do not use up max for the one that is on time', () => {
    expect(decide('0 * * * *', '06:30', '10:00', { catchup: { policy: 'all', max: 1 } })).toEqual([
      'missed 07:00-08:00 x2',
      'run 09:00 late',
      'run 10:00',
    ]);
  });

  it('are made up for within the window only', () => {
    const catchup = { policy: 'all', windowMs: 2 * 3_600_000 } as const;
    expect(decide('0 * * * *', '05:30', '10:30', { catchup })).toEqual([
      'missed 06:00-08:00 x3',
      'run 09:00 late',
      'run 10:00 late',
    ]);
    const daily = (now: string) => decide('0 2 * * *', '2026-06-01T00:00:00Z', now);
    expect(daily('2026-06-09T01:30:00Z')).toEqual(['missed 02:00-02:00 x7', 'run 02:00 late']);
    // Yesterday's is 24 h and 30 s old: out of the window, so today's is on time and nothing else.
    expect(daily('2026-06-09T02:00:30Z')).toEqual(['missed 02:00-02:00 x8', 'run 02:00']);
  });

  it('never stop a schedule, however many they are', () => {
    const started = cpuMs();
    for (const policy of ['none', 'last', 'all'] as const) {
      const asked = question('* * * * * *', '2026-05-01T00:00:00Z', '2026-06-01T00:00:00Z', { catchup: { policy } });
      const { decisions, cursorMs, nextMs } = decideDue(asked);
      expect(sumOf(decisions)).toBe(31 * 86_400);
      expect(decisions.length).toBeLessThanOrEqual(103);
      expect(cursorMs).toBe(ms('2026-06-01T00:00:00Z'));
      expect(nextMs).toBe(ms('2026-06-01T00:00:01Z'));
    }
    const years = question('* * * * * *', '1990-01-01T00:00:00Z', '2026-06-01T00:00:00Z', {
      timezone: 'Europe/London',
    });
    expect(sumOf(decideDue(years).decisions)).toBe((years.nowMs - years.cursorMs) / 1000);
    expect(cpuMs() - started).toBeLessThan(1000);
  });
});

describe('overlap', () => {
  const three = (overlap: ScheduleDefinition['overlap'], liveRuns: number) =>
    decide('0 * * * *', '07:30', '10:30', { overlap, liveRuns, catchup: { policy: 'all' } });

  it('skip lets one run live', () => {
    expect(three('skip', 0)).toEqual(['run 08:00 late', 'skipped_overlap 09:00-10:00 x2']);
    expect(three('skip', 1)).toEqual(['skipped_overlap 08:00-10:00 x3']);
  });

  it('queue lets one more wait', () => {
    expect(three('queue', 0)).toEqual(['run 08:00 late', 'run 09:00 late', 'skipped_overlap 10:00-10:00 x1']);
    expect(three('queue', 1)).toEqual(['run 08:00 late', 'skipped_overlap 09:00-10:00 x2']);
    expect(three('queue', 2)).toEqual(['skipped_overlap 08:00-10:00 x3']);
  });

  it('queue_all and allow let all through', () => {
    for (const overlap of ['queue_all', 'allow'] as const) {
      expect(three(overlap, 7)).toEqual(['run 08:00 late', 'run 09:00 late', 'run 10:00 late']);
    }
  });

  it('cancel_previous runs the newest and cancels what lives', () => {
    expect(three('cancel_previous', 1)).toEqual(['skipped_overlap 08:00-09:00 x2', 'run 10:00 late cancels']);
    expect(three('cancel_previous', 0)).toEqual(['skipped_overlap 08:00-09:00 x2', 'run 10:00 late']);
  });
});

describe('pauses', () => {
  const pause = (from: string, until: string | null) => ({
    fromMs: ms(from),
    untilMs: until === null ? null : ms(until),
  });

  it('are never owed', () => {
    expect(decide('0 * * * *', '05:30', '10:00', { pauses: [pause('05:45', '09:30')] })).toEqual([
      'skipped_paused 06:00-09:00 x4',
      'run 10:00',
    ]);
    expect(
      decide('0 * * * *', '05:30', '10:30', { catchup: { policy: 'all' }, pauses: [pause('07:00', '09:00')] }),
    ).toEqual(['run 06:00 late', 'skipped_paused 07:00-08:00 x2', 'run 09:00 late', 'run 10:00 late']);
  });

  it('may overlap, come in any order and lie elsewhere', () => {
    const pauses = [pause('08:30', '09:30'), pause('05:45', '08:45'), pause('01:00', '02:00'), pause('12:00', null)];
    expect(decide('0 * * * *', '05:30', '10:00', { pauses })).toEqual([
      'skipped_paused 06:00-08:00 x3',
      'skipped_paused 09:00-09:00 x1',
      'run 10:00',
    ]);
  });

  it('without end leave nothing to wait for, with one its first time after', () => {
    const endless = decideDue(question('0 * * * *', '05:30', '10:30', { pauses: [pause('05:45', null)] }));
    expect(endless).toMatchObject({ cursorMs: ms('10:00'), nextMs: null, nextDueMs: null });
    expect(endless.decisions.map(show)).toEqual(['skipped_paused 06:00-10:00 x5']);
    const ending = decideDue(question('0 * * * *', '05:30', '05:50', { pauses: [pause('05:45', '09:00')] }));
    expect(ending).toMatchObject({ decisions: [], nextMs: ms('09:00'), nextDueMs: ms('09:00') });
  });

  it('leave missed what was missed before and after them', () => {
    expect(decide('0 * * * *', '03:30', '10:30', { pauses: [pause('05:45', '07:30')] })).toEqual([
      'missed 04:00-05:00 x2',
      'skipped_paused 06:00-07:00 x2',
      'missed 08:00-09:00 x2',
      'run 10:00 late',
    ]);
  });
});

describe('a calendar', () => {
  // 2026-06-10 is a Wednesday.
  const weekdays = { calendar: { excludeWeekdays: [0, 6] } };

  it('skips what it excludes, and does not make up for it', () => {
    expect(decide('0 12 * * *', '2026-06-11T13:00:00Z', '2026-06-15T12:00:00Z', weekdays)).toEqual([
      'missed 12:00-12:00 x1',
      'skipped_calendar 12:00-12:00 x2',
      'run 12:00',
    ]);
  });

  it('names the next run, and asks again within an hour to record what it skipped', () => {
    const answer = decideDue(question('0 12 * * *', '2026-06-12T11:00:00Z', '2026-06-12T12:00:00Z', weekdays));
    expect(answer).toMatchObject({ nextMs: ms('2026-06-15T12:00:00Z'), nextDueMs: ms('2026-06-13T13:00:00Z') });
    const after = decideDue(question('0 12 * * *', '2026-06-12T12:00:00Z', '2026-06-13T13:00:00Z', weekdays));
    expect(after.decisions.map(show)).toEqual(['skipped_calendar 12:00-12:00 x1']);
    expect(after).toMatchObject({ cursorMs: ms('2026-06-13T12:00:00Z'), nextDueMs: ms('2026-06-14T13:00:00Z') });
  });

  it('judges by the date on the wall', () => {
    // 02:00 in Tokyo on Saturday is Friday in UTC.
    const given = { ...weekdays, timezone: 'Asia/Tokyo' };
    expect(decide('0 2 * * *', '2026-06-12T16:00:00Z', '2026-06-12T17:00:00Z', given)).toEqual([
      'skipped_calendar 17:00-17:00 x1',
    ]);
  });
});

describe('jitter', () => {
  it('is stable, and below the distance to the next time', () => {
    const offsets = Array.from({ length: 200 }, (_, index) => {
      const { schedule, clock } = question('*/5 * * * *', '09:00', '10:00', { id: `p${index}.s`, jitterMs: 3_600_000 });
      expect(fireInstant(schedule, clock, ms('10:00'))).toBe(fireInstant(schedule, clock, ms('10:00')));
      return fireInstant(schedule, clock, ms('10:00')) - ms('10:00');
    });
    expect(Math.min(...offsets)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...offsets)).toBeLessThan(300_000);
    expect(new Set(offsets).size).toBeGreaterThan(150);
  });

  it('delays the run but not its nominal time', () => {
    const asked = question('0 * * * *', '09:30', '10:00', { jitterMs: 600_000 });
    const fires = fireInstant(asked.schedule, asked.clock, ms('10:00'));
    expect(decideDue(asked)).toEqual({ decisions: [], cursorMs: ms('09:30'), nextMs: ms('10:00'), nextDueMs: fires });
    expect(decideDue({ ...asked, nowMs: fires }).decisions.map(show)).toEqual(['run 10:00']);
  });
});

describe('whatever happens', () => {
  it('every nominal time has exactly one outcome, and is decided once', { timeout: 120_000 }, () => {
    fc.assert(
      fc.property(questions(), ({ asked, steps }) => {
        let cursorMs = asked.cursorMs;
        let sum = 0;
        let seen = Number.NEGATIVE_INFINITY;
        for (const nowMs of [...steps.map((step) => asked.cursorMs + step).sort((a, b) => a - b), asked.nowMs]) {
          const answer = decideDue({ ...asked, cursorMs, nowMs });
          for (const decision of answer.decisions) {
            const [first, last] =
              decision.outcome === 'enqueue' ? [decision.at, decision.at] : [decision.firstAt, decision.lastAt];
            expect(first.getTime()).toBeGreaterThan(seen);
            expect(last.getTime()).toBeGreaterThanOrEqual(first.getTime());
            expect(last.getTime()).toBeLessThanOrEqual(nowMs);
          }
          expect(sumOf(answer.decisions)).toBe(asked.clock.all.count(cursorMs, answer.cursorMs).nominal);
          checkRuns(asked, nowMs, answer.decisions);
          // Asked again at the same moment, nothing is due, and what comes next lies ahead.
          const again = decideDue({ ...asked, cursorMs: answer.cursorMs, nowMs });
          expect(again.decisions).toEqual([]);
          expect(again.nextDueMs ?? Number.POSITIVE_INFINITY).toBeGreaterThan(nowMs);
          sum += sumOf(answer.decisions);
          seen = cursorMs = answer.cursorMs;
        }
        expect(sum).toBe(asked.clock.all.count(asked.cursorMs, cursorMs).nominal);
      }),
      { numRuns: 600, seed: 7 },
    );
  });
});

function sumOf(decisions: readonly DueDecision[]): number {
  return decisions.reduce((sum, each) => sum + (each.outcome === 'enqueue' ? each.nominalCount : each.count), 0);
}

function checkRuns(asked: DueQuestion, nowMs: number, decisions: readonly DueDecision[]): void {
  const runs = decisions.filter((decision) => decision.outcome === 'enqueue');
  const { catchup, overlap } = asked.schedule;
  const late = runs.filter((run) => run.late);
  expect(late.length).toBeLessThanOrEqual({ none: 0, last: 1, all: catchup.max }[catchup.policy]);
  expect(asked.liveRuns + runs.length).toBeLessThanOrEqual(
    { skip: Math.max(1, asked.liveRuns), queue: Math.max(2, asked.liveRuns) }[overlap as 'skip' | 'queue'] ?? 1e9,
  );
  for (const run of runs) {
    const time = run.at.getTime();
    expect(asked.pauses?.some(({ fromMs, untilMs }) => fromMs <= time && time < (untilMs ?? 1e15))).not.toBe(true);
    expect(run.late && nowMs - time > catchup.windowMs).toBe(false);
  }
}

function questions() {
  const hour = 3_600_000;
  const start = ms('2026-03-28T00:00:00Z');
  const instants = fc.integer({ min: 0, max: 72 * hour });
  return fc
    .record({
      cron: fc.constantFrom(
        '* * * * *',
        '*/7 * * * *',
        '0 * * * *',
        '0,30 1,2 * * *',
        '@every 13m',
        '30 2 * * *',
        '5 4 * * 1',
      ),
      timezone: fc.constantFrom('UTC', 'Europe/Berlin', 'America/Nuuk'),
      overlap: fc.constantFrom('skip', 'queue', 'queue_all', 'cancel_previous', 'allow') as fc.Arbitrary<
        ScheduleDefinition['overlap']
      >,
      policy: fc.constantFrom('none', 'last', 'all') as fc.Arbitrary<ScheduleDefinition['catchup']['policy']>,
      windowMs: fc.constantFrom(0, hour, 24 * hour),
      max: fc.integer({ min: 0, max: 5 }),
      jitterMs: fc.constantFrom(0, 0, 45_000, 2 * hour),
      graceMs: fc.constantFrom(0, 60_000, hour),
      calendar: fc.constantFrom<ScheduleCalendar | undefined>(
        undefined,
        { excludeDates: ['2026-03-29'] },
        { includeWeekdays: [0, 2] },
        { includeWeekdays: [] },
      ),
      liveRuns: fc.integer({ min: 0, max: 3 }),
      length: instants,
      steps: fc.array(instants, { maxLength: 3 }),
      pauses: fc.array(fc.tuple(instants, fc.option(fc.integer({ min: 0, max: 10 * hour }))), { maxLength: 3 }),
    })
    .map(({ cron, length, steps, pauses, policy, windowMs, max, calendar, ...given }) => ({
      steps: steps.filter((step) => step <= length),
      asked: question(cron, new Date(start).toISOString(), new Date(start + length).toISOString(), {
        ...given,
        ...(calendar === undefined ? {} : { calendar }),
        catchup: { policy, windowMs, max },
        pauses: pauses.map(([from, span]) => ({
          fromMs: start + from,
          untilMs: span === null ? null : start + from + span,
        })),
      }),
    }));
}
