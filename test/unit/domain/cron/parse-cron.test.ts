// The dialect, item by item: what each text allows, and what is refused where and why.
import { describe, expect, it } from 'vitest';
import { hasBit } from '../../../../src/domain/cron/bit-set.ts';
import { CronError } from '../../../../src/domain/cron/cron-error.ts';
import { compileCron } from '../../../../src/domain/cron/next-occurrences.ts';
import { type FieldPattern, parseCron } from '../../../../src/domain/cron/parse-cron.ts';
import { parseField } from '../../../../src/domain/cron/parse-field.ts';
import { cpuMs } from '../../../support/cpu-time.ts';

const values = (field: Parameters<typeof parseField>[3], text: string, id?: string) =>
  parseField(text, text, 0, field, id).values;

function fields(expression: string): FieldPattern {
  const pattern = parseCron(expression);
  if (pattern.kind !== 'fields') {
    throw new Error(`${expression} has no fields`);
  }
  return pattern;
}

function refusalOf(expression: string, id?: string): CronError {
  try {
    parseCron(expression, id);
  } catch (error) {
    if (error instanceof CronError) {
      return error;
    }
    throw error;
  }
  throw new Error(`${expression} is not refused`);
}

describe('values of a field', () => {
  it.each([
    ['minute', '0,30', [0, 30]],
    ['minute', '007', [7]],
    ['minute', '*/20', [0, 20, 40]],
    ['minute', '10/20', [10, 30, 50]],
    ['minute', '57/2', [57, 59]],
    ['minute', '5/100', [5]],
    ['minute', '*/60', [0]],
    ['minute', '10-20/100', [10]],
    ['minute', '55-5/5', [55, 0, 5]],
    ['hour', '22-2', [22, 23, 0, 1, 2]],
    ['hour', '22-2/2', [22, 0, 2]],
    ['hour', '4/6', [4, 10, 16, 22]],
    ['hour', '9-9', [9]],
    ['day of month', '30-2', [30, 31, 1, 2]],
    ['month', 'NOV-FEB', [11, 12, 1, 2]],
    ['month', 'jan,Mar', [1, 3]],
    ['month', 'FEB/5', [2, 7, 12]],
    ['weekday', 'FRI-MON', [5, 6, 0, 1]],
    ['weekday', '7', [0]],
    ['weekday', '5-7', [5, 6, 0]],
    ['weekday', '0-7', [0, 1, 2, 3, 4, 5, 6]],
    ['weekday', '1-7/2', [1, 3, 5, 0]],
    ['weekday', '7-2', [0, 1, 2]],
    ['weekday', '6-1/2', [6, 1]],
    ['weekday', '1/2', [1, 3, 5]],
    ['weekday', '7/3', [0, 3, 6]],
    ['weekday', '0-mon', [0, 1]],
    ['weekday', '*/7', [0]],
  ] as const)('of %s "%s" are %j', (field, text, expected) => {
    expect(values(field, text)).toEqual([...expected].sort((a, b) => a - b));
  });

  it('may be a list of anything, given twice or beside a star', () => {
    expect(values('minute', '57,20/20,32-34/2,58,58')).toEqual([20, 32, 34, 40, 57, 58]);
    expect(values('hour', '5,*')).toHaveLength(24);
  });

  it('are the same in upper and lower case', () => {
    expect(fields('0 0 lw mar fril')).toEqual(fields('0 0 LW MAR FRIL'));
  });
});

describe('the hash H', () => {
  it('is a stable value of the field, at most 28 in day of month', () => {
    for (let index = 0; index < 300; index++) {
      const id = `pipeline-${index}.nightly`;
      const [day = 0] = values('day of month', 'H', id);
      expect(day).toBeGreaterThanOrEqual(1);
      expect(day).toBeLessThanOrEqual(28);
      expect(values('day of month', 'H', id)).toEqual([day]);
    }
  });

  it('spreads ids over the whole field', () => {
    const minutes = new Set(Array.from({ length: 1000 }, (_, index) => values('minute', 'H', `p${index}.s`)[0]));
    expect(minutes.size).toBe(60);
  });

  it('never changes: these ids keep these times', () => {
    expect(values('minute', 'H', 'repo-docs.nightly')).toEqual([11]);
    expect(values('hour', 'H', 'repo-docs.nightly')).toEqual([22]);
  });

  it('with a step starts in its first values', () => {
    for (let index = 0; index < 100; index++) {
      const minutes = values('minute', 'H/15', `p${index}.s`);
      expect(minutes).toHaveLength(4);
      expect(minutes[0]).toBeLessThan(15);
      const days = values('day of month', 'H/10', `p${index}.s`);
      expect(days[0]).toBeLessThanOrEqual(10);
      expect(days.at(-1)).toBeLessThanOrEqual(28);
      expect(values('hour', 'H/500', `p${index}.s`)).toHaveLength(1);
    }
  });

  it('is refused where there is no id', () => {
    expect(refusalOf('0 H * * *')).toMatchObject({ column: 2, reason: expect.stringContaining('no id') });
    expect(refusalOf('0 H/2 * * *', '')).toMatchObject({ column: 2 });
  });
});

describe('expressions', () => {
  it('may have blanks and tabs between fields, and line ends around them', () => {
    expect(fields(' \t0  0\t1 * *  \r\n')).toEqual(fields('0 0 1 * *'));
  });

  it.each([
    ['@hourly', '0 * * * *'],
    ['@Daily', '0 0 * * *'],
    ['@midnight', '0 0 * * *'],
    ['@weekly', '0 0 * * 0'],
    ['@monthly', '0 0 1 * *'],
    ['@yearly', '0 0 1 1 *'],
    ['@ANNUALLY', '0 0 1 1 *'],
  ])('%s is %s', (nickname, expression) => {
    expect(parseCron(nickname)).toEqual(parseCron(expression));
  });

  it.each([
    ['@every 90s', 90],
    ['@every 1h30m', 5400],
    ['@every 2h0m5s', 7205],
    ['@EVERY  1M', 60],
    ['@every 1s', 1],
  ])('%s is %d seconds', (expression, periodSeconds) => {
    expect(parseCron(expression)).toEqual({ kind: 'every', periodSeconds });
  });

  it('get second 0 with five fields', () => {
    expect(hasBit(fields('* * * * *').seconds, 0)).toBe(true);
    expect(hasBit(fields('* * * * *').seconds, 1)).toBe(false);
  });

  it.each([
    ['0 2 * * *', true],
    ['0-59 0-23 * * *', true],
    ['0,30 1,2 L * MON', true],
    ['@daily', true],
    ['@hourly', false],
    ['* 2 * * *', false],
    ['0 ? * * *', false],
    ['0/30 1 * * *', false],
    ['0 2/24 * * *', false],
    ['0-0/1 2 * * *', false],
    ['* 0 2 * * *', false],
    ['0 0 2 */2 * *', true],
    ['@every 24h', false],
  ])('"%s" names times of day: %s', (expression, fixedTime) => {
    expect(compileCron(expression, 'UTC').fixedTime).toBe(fixedTime);
  });

  it('name times of day with H, and an interval with H and a step', () => {
    expect(compileCron('H H * * *', 'UTC', { id: 'a.b' }).fixedTime).toBe(true);
    expect(compileCron('H/30 2 * * *', 'UTC', { id: 'a.b' }).fixedTime).toBe(false);
  });
});

describe('refused expressions', () => {
  it.each([
    ['', 0, 'empty'],
    [' \t ', 0, 'empty'],
    ['* * * *', 7, '5 fields'],
    ['* * * * * * *', 12, '5 fields'],
    ['60 * * * *', 0, 'minute is 0 to 59'],
    ['* 24 * * *', 2, 'hour is 0 to 23'],
    ['* * 0 * *', 4, 'day of month is 1 to 31'],
    ['* * 1-32 * *', 6, 'day of month is 1 to 31'],
    ['* * * 0 *', 6, 'month is 1 to 12'],
    ['* * * * 8', 8, 'weekday is 0 to 7'],
    ['60 * * * * *', 0, 'second is 0 to 59'],
    ['99999999999999999999 * * * *', 0, 'minute is 0 to 59'],
    [',1 * * * *', 0, 'empty item'],
    ['1, * * * *', 2, 'empty item'],
    ['1,,2 * * * *', 2, 'empty item'],
    ['/ * * * *', 0, 'a step needs a start'],
    ['*/ * * * *', 0, 'cannot read'],
    ['/5 * * * *', 0, 'a step needs a start'],
    ['*/0 * * * *', 2, 'at least 1'],
    ['3/00 * * * *', 2, 'at least 1'],
    ['1-5/0 * * * *', 4, 'at least 1'],
    ['*/5/2 * * * *', 0, 'cannot read'],
    ['*/-1 * * * *', 0, 'cannot read'],
    ['1--5 * * * *', 0, 'cannot read'],
    ['1-2-3 * * * *', 0, 'cannot read'],
    ['-5 * * * *', 0, 'not negative'],
    ['5- * * * *', 0, 'cannot read'],
    ['+5 * * * *', 0, 'cannot read'],
    ['1.5 * * * *', 0, 'cannot read'],
    ['1_0 * * * *', 0, 'cannot read'],
    ['0x1 * * * *', 0, 'cannot read'],
    ['*5 * * * *', 0, 'cannot read'],
    ['** * * * *', 0, 'cannot read'],
    ['*-5 * * * *', 0, 'cannot read'],
    ['1-* * * * *', 0, 'cannot read'],
    ['?/5 * * * *', 0, 'stands alone'],
    ['* * ?,5 * *', 4, 'stands alone'],
    ['* * 5,? * *', 6, 'stands alone'],
    ['* * ?? * *', 4, 'stands alone'],
    ['L * * * *', 0, 'cannot read'],
    ['* * * L *', 6, 'cannot read'],
    ['* * * * L', 8, 'no meaning in weekday'],
    ['* * * * 1,L', 10, 'no meaning in weekday'],
    ['* * L-3 * *', 4, 'offset from the last day'],
    ['* * L/2 * *', 4, 'offset from the last day'],
    ['* * 1-L * *', 4, 'cannot read'],
    ['* * WL * *', 4, 'cannot read'],
    ['* * W * *', 4, 'cannot read'],
    ['* * 0W * *', 4, 'day of month is 1 to 31'],
    ['* * 32W * *', 4, 'day of month is 1 to 31'],
    ['* * 1-5W * *', 4, 'cannot read'],
    ['* * 1W/2 * *', 4, 'cannot read'],
    ['LW * * * * *', 0, 'cannot read'],
    ['* * * * 5W', 8, 'cannot read'],
    ['* * * * 5#0', 10, '1 to 5'],
    ['* * * * 5#6', 10, '1 to 5'],
    ['* * * * SUN#03', 12, '1 to 5'],
    ['* * * * 5#', 8, 'cannot read'],
    ['* * * * #2', 8, 'cannot read'],
    ['* * * * 8#1', 8, 'weekday is 0 to 7'],
    ['* * * * 5#1-3', 8, 'cannot read'],
    ['* * * * 5L/2', 8, 'cannot read'],
    ['* * * * 1-5L', 8, 'cannot read'],
    ['* * 4#1 * *', 4, 'cannot read'],
    ['* * * * SUNDAY', 8, 'cannot read'],
    ['* * * JANUARY *', 6, 'cannot read'],
    ['* * * FOO *', 6, 'expected a number or one of JAN'],
    ['* * MON * *', 4, 'expected a number'],
    ['* * * MON *', 6, 'expected a number or one of JAN'],
    ['* * * * JAN', 8, 'expected a number or one of SUN'],
    ['* * * JAN-FOO *', 10, 'expected a number or one of JAN'],
    ['* JAN * * *', 2, 'expected a number in hour'],
    ['H(0-29) * * * *', 0, '"H" stands alone'],
    ['H-5 * * * *', 0, '"H" stands alone'],
    ['5-H * * * *', 0, 'cannot read'],
    ['¹ * * * *', 0, 'U+00B9'],
    ['* * * * ſun', 8, 'U+017F'],
    ['*\u00a0* * * *', 1, 'U+00A0'],
    ['* *\n* * *', 3, 'U+000A'],
    ['*\u0000 * * * *', 1, 'U+0000'],
    ['* * * * * # comment', 12, '5 fields'],
    ['@reboot', 0, 'unknown nickname'],
    ['@constructor', 0, 'unknown nickname'],
    ['@', 0, 'unknown nickname'],
    ['@daily 5', 7, 'nothing follows'],
    ['@every', 6, 'expected a period'],
    ['@every 0s', 7, '1s to'],
    ['@every 60', 7, 'expected a period'],
    ['@every 500ms', 7, 'expected a period'],
    ['@every 1.5h', 7, 'expected a period'],
    ['@every -5s', 7, 'expected a period'],
    ['@every 30m1h', 7, 'expected a period'],
    ['@every 1h 30m', 10, 'nothing follows'],
    ['@every 99999999h', 7, '36525 days'],
    ['TZ=UTC * * * * *', 0, 'cannot read'],
  ])('"%s" at column %d: %s', (expression, column, reason) => {
    const refusal = refusalOf(expression, 'a.b');
    expect(refusal.reason).toContain(reason);
    expect(refusal.column).toBe(column);
    expect(refusal.message).toContain(refusal.reason);
  });

  it('may be 256 characters long and no longer', () => {
    const filled = `${'0,'.repeat(123)}0 * * * *`;
    expect(filled.padEnd(256)).toHaveLength(256);
    expect(parseCron(filled.padEnd(256)).kind).toBe('fields');
    expect(refusalOf(filled.padEnd(257))).toMatchObject({ column: 256, reason: expect.stringContaining('257') });
  });

  it('are refused in milliseconds, even 100 kB of them', () => {
    const started = cpuMs();
    expect(refusalOf('*,'.repeat(50_000)).column).toBe(256);
    expect(cpuMs() - started).toBeLessThan(50);
  });
});
