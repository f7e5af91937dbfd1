// Fire times against the oracle: thousands of random patterns, mostly around changes of the clock.
import fc from 'fast-check';
import { IANAZone } from 'luxon';
import { describe, expect, it } from 'vitest';
import { compileCron } from '../../../../src/domain/cron/next-occurrences.ts';
import { oracleOccurrences, readWindow, type ZoneWindow } from '../../../support/cron-oracle.ts';

const SAMPLES = Number(process.env.ORACLE_SAMPLES ?? 20_000);
const SEED = Number(process.env.ORACLE_SEED ?? 20_261);

const ZONES = [
  'UTC',
  'America/New_York',
  'Europe/London',
  'Australia/Lord_Howe',
  'Africa/Cairo',
  'Pacific/Apia',
  'America/Nuuk',
  'Africa/Casablanca',
  'Antarctica/Troll',
  'America/Santiago',
  'Asia/Tehran',
  'America/Caracas',
  'Asia/Amman',
];

/** Where offsets have seconds, or gaps are odd: New York and Monrovia leave local mean time, Dublin starts DST. */
const ODD_CHANGES: readonly (readonly [string, string])[] = [
  ['America/New_York', '1883-11-18T17:00:00Z'],
  ['Africa/Monrovia', '1972-01-07T00:44:30Z'],
  ['Europe/Dublin', '1916-05-21T02:25:21Z'],
  ['Asia/Kathmandu', '1919-12-31T18:18:44Z'],
];

const DAY = 86_400;
const REACH = 3.5 * DAY;

const windows: ZoneWindow[] = [
  ...ZONES.flatMap((zone) => changesOf(zone).map((around) => readWindow(zone, around, REACH, 60))),
  ...['2024-02-28', '2025-12-31'].flatMap((date) =>
    ['UTC', 'Europe/London'].map((zone) => readWindow(zone, Date.parse(date) / 1000, REACH, 60)),
  ),
  ...ODD_CHANGES.map(([zone, at]) => readWindow(zone, Date.parse(at) / 1000, 3 * 3600, 1)),
];

/** Days in which a zone's offset changes: the first, the last, and a spread between. */
function changesOf(name: string): number[] {
  const zone = IANAZone.create(name);
  const changes: number[] = [];
  for (let day = Date.UTC(2008, 0, 1); day < Date.UTC(2027, 0, 1); day += DAY * 1000) {
    if (zone.offset(day) !== zone.offset(day + DAY * 1000)) {
      changes.push(day / 1000 + DAY / 2);
    }
  }
  const stride = Math.max(1, Math.floor(changes.length / 8));
  return changes.filter((_, index) => index % stride === 0 || index === changes.length - 1);
}

describe('fire times and the oracle', () => {
  it(`agree on ${SAMPLES} samples (seed ${SEED})`, { timeout: 600_000 }, () => {
    fc.assert(
      fc.property(sample(), ({ index, expression, fromMs, untilMs, dst }) => {
        const window = windowAt(index);
        const expected = oracleOccurrences(expression, window, fromMs, untilMs, dst);
        const compiled = compileCron(expression, window.zone, { dst });
        const got = (found: ReturnType<typeof compiled.next>) =>
          found.map((occurrence) => [occurrence.at.getTime() / 1000, occurrence.nominalCount]);
        expect(got(compiled.between(fromMs, untilMs, 40))).toEqual(expected.slice(0, 40));
        expect(got(compiled.last(fromMs, untilMs, 5))).toEqual(expected.slice(-5));
        expect(compiled.count(fromMs, untilMs)).toEqual({
          nominal: expected.reduce((sum, [, count]) => sum + count, 0),
          instants: expected.length,
        });
      }),
      { numRuns: SAMPLES, seed: SEED },
    );
  });
});

function windowAt(index: number): ZoneWindow {
  const window = windows[index];
  if (window === undefined) {
    throw new Error(`no window ${index}`);
  }
  return window;
}

function sample() {
  // By index: a counterexample is to be read by people, and a window holds thousands of readings.
  return fc.nat({ max: windows.length - 1 }).chain((index) => {
    const window = windowAt(index);
    const reach = window.step === 60 ? 2 * DAY : 1.5 * 3600;
    const near = window.step === 60 ? 4 * 3600 : 2000;
    const date = new Date((window.walls[window.instants.indexOf(window.center)] ?? 0) * 1000);
    return fc
      .record({
        expression: expressionArbitrary(date),
        offset: fc.oneof(
          { weight: 4, arbitrary: fc.integer({ min: -near, max: near }) },
          { weight: 1, arbitrary: fc.integer({ min: -reach, max: reach }) },
        ),
        millis: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 999 })),
        length: fc.oneof(
          { weight: 3, arbitrary: fc.integer({ min: 0, max: near }) },
          { weight: 1, arbitrary: fc.integer({ min: 0, max: reach }) },
        ),
        dst: fc.oneof(
          { weight: 2, arbitrary: fc.constant({}) },
          {
            weight: 3,
            arbitrary: fc.record(
              {
                gap: fc.constantFrom('next' as const, 'skip' as const),
                overlap: fc.constantFrom('first' as const, 'last' as const, 'both' as const),
              },
              { requiredKeys: [] },
            ),
          },
        ),
      })
      .map(({ expression, offset, millis, length, dst }) => {
        const fromMs = (window.center + offset) * 1000 + millis;
        const untilMs = Math.min(fromMs + length * 1000, (window.center + reach) * 1000);
        return { index, zone: window.zone, expression, from: new Date(fromMs).toISOString(), fromMs, untilMs, dst };
      });
  });
}

/** Expressions that often name the date, hour or weekday of a change. */
function expressionArbitrary(date: Date): fc.Arbitrary<string> {
  const near = (value: number, low: number, high: number) =>
    fc.integer({ min: Math.max(low, value - 1), max: Math.min(high, value + 1) });
  const hour = fc.oneof(
    near(date.getUTCHours(), 0, 23),
    fc.integer({ min: 0, max: 4 }),
    fc.integer({ min: 0, max: 23 }),
  );
  const minute = fc.oneof(fc.constantFrom(0, 15, 30, 45, 59), fc.integer({ min: 0, max: 59 }));
  const dayOfMonth = fc.oneof(near(date.getUTCDate(), 1, 31), fc.integer({ min: 1, max: 31 }));
  const weekday = fc.oneof(near(date.getUTCDay(), 0, 6), fc.integer({ min: 0, max: 7 }));
  const month = near(date.getUTCMonth() + 1, 1, 12);
  const stars = fc.constantFrom('*', '*', '?');
  const months = ['JAN', 'FEB', 'Mar', 'APR', 'MAY', 'JUN', 'jul', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC'];
  const weekdays = ['SUN', 'MON', 'Tue', 'WED', 'THU', 'fri', 'SAT'];
  const weekdayItem = fc.oneof(
    { weight: 4, arbitrary: item(weekday, 8) },
    fc.constantFrom('5-7', '0-7', '1-7/2', '7', 'FRI-MON', 'sat-sun', '7-2', 'MON-FRI', '6-1/2', 'wed', '3-0'),
    fc.tuple(weekday, fc.constantFrom('L', '#1', '#2', '#3', '#4', '#5')).map(([day, nth]) => `${day}${nth}`),
    fc.tuple(fc.constantFrom(...weekdays), fc.constantFrom('L', '#1', '#2', '#4')).map(([day, nth]) => day + nth),
  );
  const dayItem = fc.oneof(
    { weight: 4, arbitrary: item(dayOfMonth, 31) },
    fc.constantFrom('L', 'LW', 'l'),
    dayOfMonth.map((day) => `${day}W`),
  );
  const monthItem = fc.oneof(
    item(month, 12),
    month.map((value) => months[value - 1] ?? 'JAN'),
    fc.constantFrom('SEP-nov', 'NOV-FEB', '2-11'),
  );
  const fields = fc.tuple(
    fc.oneof({ weight: 5, arbitrary: fc.constant('') }, fc.constantFrom('0 ', '* ', '*/20 ', '30 ', '0,59 ', '10-12 ')),
    fc.oneof({ weight: 1, arbitrary: stars }, { weight: 5, arbitrary: list(item(minute, 60)) }),
    fc.oneof({ weight: 2, arbitrary: stars }, { weight: 5, arbitrary: list(item(hour, 24)) }),
    fc.oneof({ weight: 4, arbitrary: stars }, { weight: 3, arbitrary: list(dayItem) }),
    fc.oneof({ weight: 6, arbitrary: stars }, { weight: 1, arbitrary: list(monthItem) }),
    fc.oneof({ weight: 4, arbitrary: stars }, { weight: 3, arbitrary: list(weekdayItem) }),
  );
  return fc.oneof(
    { weight: 30, arbitrary: fields.map(([second, ...rest]) => second + rest.join(' ')) },
    { weight: 1, arbitrary: fc.constantFrom('@hourly', '@daily', '@MIDNIGHT', '@weekly', '@monthly', '@yearly') },
  );
}

function item(value: fc.Arbitrary<number>, size: number): fc.Arbitrary<string> {
  const step = fc.oneof(fc.integer({ min: 1, max: 7 }), fc.integer({ min: 1, max: size + 5 }));
  // A range that starts at 7 means one that starts at 0, which the oracle's ring does not know with a step.
  const start = value.filter((number) => !(size === 8 && number === 7));
  return fc.oneof(
    { weight: 5, arbitrary: value.map(String) },
    fc.tuple(start, start).map(([a, b]) => `${a}-${b}`),
    fc.tuple(start, start, step).map(([a, b, n]) => `${a}-${b}/${n}`),
    fc.tuple(start, step).map(([a, n]) => `${a}/${n}`),
    step.map((n) => `*/${n}`),
  );
}

function list(items: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc.array(items, { minLength: 1, maxLength: 3 }).map((all) => all.join(','));
}
