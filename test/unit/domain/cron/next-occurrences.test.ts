// Fire times in the zones of the world: changes of the clock, rare days, and what they cost.
import { describe, expect, it } from 'vitest';
import { compileCron } from '../../../../src/domain/cron/next-occurrences.ts';
import { ZoneError } from '../../../../src/domain/cron/zone-transitions.ts';
import type { DstPolicy } from '../../../../src/domain/schedule.ts';
import { cpuMs } from '../../../support/cpu-time.ts';

const show = (at: Date) => at.toISOString().replace('.000Z', 'Z');

function fires(expression: string, timezone: string, from: string, count: number, dst: Partial<DstPolicy> = {}) {
  return compileCron(expression, timezone, { dst })
    .next(Date.parse(from), count)
    .map(({ at, nominalCount }) => (nominalCount === 1 ? show(at) : `${show(at)} x${nominalCount}`));
}

describe('a time that does not exist', () => {
  const from = '2026-03-08T05:00:00Z';

  it('runs once, at the end of the gap, where the schedule names times of day', () => {
    expect(fires('30 2 * * *', 'America/New_York', from, 2)).toEqual(['2026-03-08T07:00:00Z', '2026-03-09T06:30:00Z']);
  });

  it('is skipped by an interval', () => {
    expect(fires('*/30 2 * * *', 'America/New_York', from, 1)).toEqual(['2026-03-09T06:00:00Z']);
  });

  it('obeys dst.gap whatever the schedule', () => {
    expect(fires('30 2 * * *', 'America/New_York', from, 1, { gap: 'skip' })).toEqual(['2026-03-09T06:30:00Z']);
    expect(fires('*/30 2 * * *', 'America/New_York', from, 1, { gap: 'next' })).toEqual(['2026-03-08T07:00:00Z x2']);
  });

  it('is counted with the time that is really there', () => {
    expect(fires('0,30 2,3 * * *', 'America/New_York', from, 2)).toEqual([
      '2026-03-08T07:00:00Z x3',
      '2026-03-08T07:30:00Z',
    ]);
  });

  it('is judged by its own date where the gap ends on another one', () => {
    // Samoa had no 30 December 2011; Greenland leaves Saturday evening for Sunday.
    expect(fires('0 9 30 12 *', 'Pacific/Apia', '2011-12-01T00:00:00Z', 1)).toEqual(['2011-12-30T10:00:00Z']);
    expect(fires('0 9 30 12 *', 'Pacific/Apia', '2011-12-01T00:00:00Z', 1, { gap: 'skip' })).toEqual([
      '2012-12-29T19:00:00Z',
    ]);
    expect(fires('30 23 * * SAT', 'America/Nuuk', '2024-03-30T12:00:00Z', 1)).toEqual(['2024-03-31T01:00:00Z']);
  });

  it('is found from the second before the gap, and not after its end', () => {
    expect(fires('30 2 * * *', 'America/New_York', '2026-03-08T06:59:59.999Z', 1)).toEqual(['2026-03-08T07:00:00Z']);
    expect(fires('30 2 * * *', 'America/New_York', '2026-03-08T07:00:00Z', 1)).toEqual(['2026-03-09T06:30:00Z']);
  });
});

describe('a time that occurs twice', () => {
  const from = '2026-11-01T05:00:00Z';

  it('runs at the first only where the schedule names times of day', () => {
    expect(fires('30 1 * * *', 'America/New_York', from, 2)).toEqual(['2026-11-01T05:30:00Z', '2026-11-02T06:30:00Z']);
  });

  it('runs both times as an interval', () => {
    expect(fires('30 * * * *', 'America/New_York', from, 3)).toEqual([
      '2026-11-01T05:30:00Z',
      '2026-11-01T06:30:00Z',
      '2026-11-01T07:30:00Z',
    ]);
  });

  it('obeys dst.overlap whatever the schedule', () => {
    expect(fires('30 1 * * *', 'America/New_York', from, 1, { overlap: 'last' })).toEqual(['2026-11-01T06:30:00Z']);
    expect(fires('30 1 * * *', 'America/New_York', from, 2, { overlap: 'both' })).toEqual([
      '2026-11-01T05:30:00Z',
      '2026-11-01T06:30:00Z',
    ]);
    expect(fires('30 * * * *', 'America/New_York', from, 2, { overlap: 'first' })).toEqual([
      '2026-11-01T05:30:00Z',
      '2026-11-01T07:30:00Z',
    ]);
    expect(fires('30 * * * *', 'America/New_York', '2026-11-01T04:00:00Z', 3, { overlap: 'last' })).toEqual([
      '2026-11-01T04:30:00Z',
      '2026-11-01T06:30:00Z',
      '2026-11-01T07:30:00Z',
    ]);
  });

  it('does not run again when the question starts among the repeated ones', () => {
    expect(fires('30 1 * * *', 'America/New_York', '2026-11-01T06:10:00Z', 1)).toEqual(['2026-11-02T06:30:00Z']);
  });
});

describe('@every', () => {
  it('counts from the epoch, whatever zone and daylight saving say', () => {
    for (const zone of ['UTC', 'America/New_York', 'Australia/Lord_Howe']) {
      expect(fires('@every 45m', zone, '2026-03-08T06:00:00Z', 3)).toEqual([
        '2026-03-08T06:45:00Z',
        '2026-03-08T07:30:00Z',
        '2026-03-08T08:15:00Z',
      ]);
    }
    expect(fires('@every 90s', 'UTC', '1970-01-01T00:00:00Z', 2)).toEqual([
      '1970-01-01T00:01:30Z',
      '1970-01-01T00:03:00Z',
    ]);
    expect(fires('@every 1h', 'UTC', '1969-12-31T22:30:00Z', 2)).toEqual([
      '1969-12-31T23:00:00Z',
      '1970-01-01T00:00:00Z',
    ]);
  });
});

describe('rare days', () => {
  it('are found years ahead, across a century without a leap day', () => {
    expect(fires('0 0 29 2 *', 'UTC', '2096-03-01T00:00:00Z', 1)).toEqual(['2104-02-29T00:00:00Z']);
    // 29 February on a Sunday, both wanted: 28 years apart, 40 across 2100.
    expect(fires('0 0 29 2 */7', 'UTC', '2088-03-01T00:00:00Z', 1)).toEqual(['2128-02-29T00:00:00Z']);
  });

  it('match either day field, or both where one starts with a star', () => {
    const days = (expression: string) =>
      compileCron(expression, 'UTC')
        .between(Date.parse('2026-05-31T00:00:01Z'), Date.parse('2026-06-30T23:59:59Z'), 100)
        .map(({ at }) => at.getUTCDate());
    expect(days('0 0 1,15 * 5')).toEqual([1, 5, 12, 15, 19, 26]);
    expect(days('0 0 */2 * 5')).toEqual([5, 19]);
    expect(days('0 0 5-20 * */2')).toEqual([6, 7, 9, 11, 13, 14, 16, 18, 20]);
    expect(days('0 0 *,1 * 5')).toEqual([5, 12, 19, 26]);
    expect(days('0 0 1-31 * 5')).toHaveLength(30);
    expect(days('0 0 ? * 5L')).toEqual([26]);
    expect(days('0 0 15,LW,1W * ?')).toEqual([1, 15, 30]);
    expect(days('0 0 L * MON#1,5#3')).toEqual([1, 19, 30]);
    expect(days('0 0 */3 * FRI#1,FRI#4,MONL')).toEqual([]);
  });

  it('end with the year 9999', () => {
    expect(fires('0 0 1 1 *', 'Europe/Berlin', '9998-06-01T00:00:00Z', 5)).toEqual(['9998-12-31T23:00:00Z']);
  });

  it('that never come are known at once', () => {
    for (const expression of ['0 0 31 2 *', '0 0 31 4,6,9,11 *', '0 0 */31 * 1#2', '0 0 LW * */7', '0 0 */30 2 1#5']) {
      const started = cpuMs();
      const compiled = compileCron(expression, 'UTC');
      expect(compiled.neverFires, expression).toBe(true);
      expect(compiled.next(0, 5)).toEqual([]);
      expect(compiled.count(0, 4e12)).toEqual({ nominal: 0, instants: 0 });
      expect(cpuMs() - started, expression).toBeLessThan(300);
    }
    expect(compileCron('0 0 31 1,2 *', 'UTC').neverFires).toBe(false);
  });
});

describe('time zones', () => {
  it('have offsets with seconds before they had standard time', () => {
    expect(fires('0 12 * * *', 'America/New_York', '1883-11-16T00:00:00Z', 3)).toEqual([
      '1883-11-16T16:56:02Z',
      '1883-11-17T16:56:02Z',
      '1883-11-18T16:56:02Z',
    ]);
    expect(fires('0 12 * * *', 'America/New_York', '1883-11-18T17:00:00Z', 1)).toEqual(['1883-11-19T17:00:00Z']);
  });

  it('may change back within a week', () => {
    // Recife had summer time from 8 to 15 October 2000.
    expect(fires('0 12 * * *', 'America/Recife', '2000-10-07T18:00:00Z', 8)).toEqual([
      ...['08', '09', '10', '11', '12', '13', '14'].map((day) => `2000-10-${day}T14:00:00Z`),
      '2000-10-15T15:00:00Z',
    ]);
  });

  it.each([
    'Europe/Berlln',
    '',
    'local',
    '+02:00',
    'UTC+2',
    'Europe/Berlin ',
    '../etc',
    'BST',
    'IST',
    'x'.repeat(100_000),
  ])('"%.20s" is refused', (zone) => {
    expect(() => compileCron('* * * * *', zone)).toThrow(ZoneError);
  });

  it.each([
    'UTC',
    'Etc/GMT+5',
    'US/Eastern',
    'EST',
    'GMT',
    'America/Argentina/Ushuaia',
    'America/Port-au-Prince',
  ])('"%s" is known', (zone) => {
    expect(compileCron('* * * * *', zone).next(0, 1)).toHaveLength(1);
  });
});

describe('many times', () => {
  it('are counted and their newest found without stepping through them', () => {
    const compiled = compileCron('* * * * * *', 'Europe/Berlin');
    const now = Date.parse('2026-06-01T00:00:00Z');
    const started = cpuMs();
    expect(compiled.count(0, now)).toEqual({ nominal: now / 1000, instants: now / 1000 });
    expect(compiled.last(0, now, 3).map(({ at }) => show(at))).toEqual([
      '2026-05-31T23:59:58Z',
      '2026-05-31T23:59:59Z',
      '2026-06-01T00:00:00Z',
    ]);
    expect(cpuMs() - started).toBeLessThan(200);
  });

  it('of 10,000 schedules with patterns of their own are computed at once', () => {
    const zones = ['UTC', 'Asia/Tokyo', 'Europe/London', 'America/New_York'];
    const started = cpuMs();
    for (let index = 0; index < 10_000; index++) {
      const id = `pipeline-${index}.every-few-seconds`;
      compileCron('H/20 * * * * *', zones[index % 4] ?? 'UTC', { id }).next(1_780_000_000_000 + index, 1);
    }
    // 0.2 s on an idle core, and it is the dear case: every schedule has a pattern of its own.
    expect(cpuMs() - started).toBeLessThan(2000);
  });
});

describe('a calendar', () => {
  const july = (calendar: Parameters<ReturnType<typeof compileCron>['onDays']>[0], expression = '0 12 * * *') =>
    (['inside', 'outside'] as const).map((side) =>
      compileCron(expression, 'America/New_York')
        .onDays(calendar, side)
        .between(Date.parse('2026-07-01T04:00:00Z'), Date.parse('2026-07-11T03:59:59Z'), 100)
        .map(({ at }) => at.getUTCDate()),
    );

  it('lets weekdays through, and dates as exceptions', () => {
    expect(july({ excludeWeekdays: [0, 6] })).toEqual([
      [1, 2, 3, 6, 7, 8, 9, 10],
      [4, 5],
    ]);
    expect(july({ includeWeekdays: [1, 3], includeDates: ['2026-07-04'], excludeDates: ['2026-07-06'] })).toEqual([
      [1, 4, 8],
      [2, 3, 5, 6, 7, 9, 10],
    ]);
    expect(july({ excludeDates: ['2026-07-03'] })[0]).toEqual([1, 2, 4, 5, 6, 7, 8, 9, 10]);
  });

  it('of dates alone lets only them through', () => {
    expect(july({ includeDates: ['2026-07-02', '2026-07-09'] })[0]).toEqual([2, 9]);
  });

  it('applies to @every by the local date', () => {
    const [inside, outside] = july({ includeDates: ['2026-07-02'] }, '@every 6h');
    // 2 July in New York: 04:00Z on the 2nd to 04:00Z on the 3rd.
    expect(inside).toEqual([2, 2, 2, 3]);
    expect(outside).toHaveLength(36);
  });

  it('may end within a gap or among repeated times', () => {
    const berlin = (expression: string, date: string, after: string, dst: Partial<DstPolicy> = {}) =>
      compileCron(expression, 'Europe/Berlin', { dst })
        .onDays({ includeDates: [date] }, 'inside')
        .next(Date.parse(after), 9)
        .map(({ at }) => show(at));
    expect(berlin('30 2 * * *', '2026-03-29', '2026-03-29T00:59:59Z')).toEqual(['2026-03-29T01:00:00Z']);
    expect(berlin('30 2 * * *', '2026-10-25', '2026-10-25T00:00:00Z', { overlap: 'both' })).toEqual([
      '2026-10-25T00:30:00Z',
      '2026-10-25T01:30:00Z',
    ]);
    expect(berlin('30 2 * * *', '2026-10-25', '2026-10-25T00:30:00Z', { overlap: 'last' })).toEqual([
      '2026-10-25T01:30:00Z',
    ]);
  });

  it('that lets nothing through ends the search', () => {
    const started = cpuMs();
    expect(compileCron('* * * * *', 'UTC').onDays({ includeWeekdays: [] }, 'inside').next(0, 1)).toEqual([]);
    expect(
      compileCron('@every 168h', 'UTC')
        .onDays({ excludeWeekdays: [4] }, 'inside')
        .next(0, 1),
    ).toEqual([]);
    expect(cpuMs() - started).toBeLessThan(1000);
  });

  it('splits all times into two parts', () => {
    const compiled = compileCron('*/7 * * * *', 'Europe/London');
    const calendar = { excludeWeekdays: [6], excludeDates: ['2026-03-29', '2026-10-25'], includeDates: ['2026-05-02'] };
    const [from, to] = [Date.parse('2026-01-01T00:00:00Z'), Date.parse('2026-12-31T00:00:00Z')];
    const [inside, outside] = (['inside', 'outside'] as const).map((side) => compiled.onDays(calendar, side));
    const sum = (inside?.count(from, to).nominal ?? 0) + (outside?.count(from, to).nominal ?? 0);
    expect(sum).toBe(compiled.count(from, to).nominal);
    expect(outside?.count(from, to).nominal).toBeGreaterThan(0);
  });
});
