import { describe, expect, it } from 'vitest';
import { sqlTypes } from '../../../src/db/sql-values.ts';

function parse(oid: number, text: string): unknown {
  return (sqlTypes.getTypeParser(oid) as (text: string) => unknown)(text);
}

describe('values from the database', () => {
  it('cuts microseconds off an instant, also before 1970 and beyond the year 9999', () => {
    expect(parse(1184, '2026-03-29 01:30:00.123999+00')).toEqual(new Date('2026-03-29T01:30:00.123Z'));
    expect(parse(1184, '1883-11-18 12:03:57.5+00')).toEqual(new Date('1883-11-18T12:03:57.500Z'));
    expect(parse(1184, '0050-01-01 00:00:00+00')).toEqual(new Date('0050-01-01T00:00:00.000Z'));
    expect(parse(1184, '12026-01-01 00:00:00+00')).toEqual(new Date('+012026-01-01T00:00:00.000Z'));
  });

  it.each([
    'infinity',
    '-infinity',
    '2026-03-29 01:30:00+02',
    '0044-03-15 00:00:00+00 BC',
  ])('refuses the instant %s rather than misreading it', (text) => {
    expect(() => parse(1184, text)).toThrow(text);
  });

  it('refuses int8 beyond what a number holds exactly', () => {
    expect(parse(20, '9007199254740991')).toBe(9_007_199_254_740_991);
    expect(() => parse(20, '9007199254740992')).toThrow(/9007199254740992/);
  });

  it('leaves dates, numerics, timestamps without zone and unknown types as text', () => {
    expect(parse(1082, '2026-02-28')).toBe('2026-02-28');
    expect(parse(1700, '1.10')).toBe('1.10');
    expect(parse(1114, '2026-02-28 00:00:00')).toBe('2026-02-28 00:00:00');
    expect(parse(999_999, 'whatever')).toBe('whatever');
  });

  it('reads arrays with nulls, quotes, nesting and bounds', () => {
    expect(parse(1009, '{}')).toEqual([]);
    expect(parse(1009, '{a,NULL,"NULL","b \\"c\\" \\\\",""}')).toEqual(['a', null, 'NULL', 'b "c" \\', '']);
    expect(parse(1007, '{{1,2},{3,NULL}}')).toEqual([[1, 2], [3, null]]); // biome-ignore format: a matrix
    expect(parse(1007, '[0:1]={5,6}')).toEqual([5, 6]);
    expect(parse(3807, '{"{\\"a\\": [1, \\"x\\"]}",null}')).toEqual([{ a: [1, 'x'] }, null]);
  });

  it('refuses an array that does not end', () => {
    expect(() => parse(1009, '{a,b')).toThrow(/end/);
    expect(() => parse(1009, '{"a')).toThrow(/quote/);
  });
});
