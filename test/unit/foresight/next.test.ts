// The answer to "when does it fire next": every known case, and what wrong questions get.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { CronwrightError, type Problem } from '../../../src/domain/errors.ts';
import { type NextQuestion, nextOccurrences } from '../../../src/foresight/next.ts';
import { cpuMs } from '../../support/cpu-time.ts';

interface CronCase {
  id: string;
  kind: 'next' | 'invalid' | 'never' | 'not_at';
  expression: string;
  timezone: string;
  from: string;
  expect: string[];
  not_at?: string;
}

const cases: CronCase[] = readFileSync(new URL('../../fixtures/cron-cases.jsonl', import.meta.url), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line));

const answer = ({ expression, timezone, from, expect: expected }: CronCase): string[] =>
  nextOccurrences({ expression, timezone, from, count: Math.max(1, expected.length) }).occurrences;

function problemsOf(question: NextQuestion): readonly Problem[] {
  try {
    nextOccurrences(question);
  } catch (error) {
    if (error instanceof CronwrightError && error.code === 'invalid_input') {
      return error.problems;
    }
    throw error;
  }
  return [];
}

describe('the known cases', () => {
  it('are all here', () => {
    expect(cases).toHaveLength(548);
  });

  it.each(cases.filter(({ kind }) => kind === 'next'))('$id: $expression in $timezone fires as expected', (known) => {
    expect(answer(known)).toEqual(known.expect);
  });

  it.each(cases.filter(({ kind }) => kind === 'not_at'))('$id: $expression does not fire at $not_at', (known) => {
    expect(answer(known)).not.toContain(known.not_at);
  });

  it.each(cases.filter(({ kind }) => kind === 'never'))('$id: $expression never fires', (known) => {
    expect(answer(known)).toEqual([]);
  });

  it.each(cases.filter(({ kind }) => kind === 'invalid'))('$id: "$expression" is refused with a column', (known) => {
    const { expression, timezone, from } = known;
    const [problem] = problemsOf({ expression, timezone, from, count: 1 });
    expect(problem).toMatchObject({ path: 'expression', column: expect.any(Number), message: expect.any(String) });
  });
});

describe('a question about the next occurrences', () => {
  const question: NextQuestion = { expression: '*/5 * * * *', from: '2026-01-01T00:00:00Z', count: 3 };

  it('is answered strictly after the instant it starts from, in UTC by default', () => {
    expect(nextOccurrences(question).occurrences).toEqual([
      '2026-01-01T00:05:00Z',
      '2026-01-01T00:10:00Z',
      '2026-01-01T00:15:00Z',
    ]);
  });

  it('may start between seconds, from an offset, from a date or from a Date', () => {
    const first = (from: string | Date) => nextOccurrences({ ...question, from, count: 1 }).occurrences[0];
    expect(first('2026-01-01T00:04:59.999Z')).toBe('2026-01-01T00:05:00Z');
    expect(first('2026-01-01T00:05:00.001Z')).toBe('2026-01-01T00:10:00Z');
    expect(first('2026-01-01T02:04:00+02:00')).toBe('2026-01-01T00:05:00Z');
    expect(first('2026-01-01')).toBe('2026-01-01T00:05:00Z');
    expect(first(new Date('2026-01-01T00:03:00Z'))).toBe('2026-01-01T00:05:00Z');
  });

  it('takes the id for H and the dst options', () => {
    const hashed = nextOccurrences({ ...question, expression: 'H * * * *', id: 'docs.nightly', count: 2 });
    expect(hashed.occurrences).toHaveLength(2);
    const dst = { ...question, expression: '30 2 * * *', timezone: 'America/New_York', from: '2026-03-08', count: 1 };
    expect(nextOccurrences(dst).occurrences).toEqual(['2026-03-08T07:00:00Z']);
    expect(nextOccurrences({ ...dst, dst: { gap: 'skip' } }).occurrences).toEqual(['2026-03-09T06:30:00Z']);
  });

  it('answers 1,000 occurrences and refuses 1,001, none and parts of one', () => {
    expect(nextOccurrences({ ...question, count: 1000 }).occurrences).toHaveLength(1000);
    for (const count of [1001, 0, -1, 1.5, Number.NaN]) {
      expect(problemsOf({ ...question, count })).toMatchObject([{ path: 'count' }]);
    }
  });

  it('is told everything that is wrong with it, each with its place', () => {
    const wrong: NextQuestion = {
      expression: '*/5 * * 13 *',
      from: 'yesterday',
      count: 0,
      dst: { gap: 'sometimes' as 'next' },
    };
    expect(problemsOf(wrong)).toMatchObject([
      { path: 'from', got: 'yesterday' },
      { path: 'count', got: '0' },
      { path: 'dst.gap', got: 'sometimes', expected: 'next, skip' },
      { path: 'expression', column: 9, message: 'month is 1 to 12, got 13' },
    ]);
    expect(problemsOf({ ...question, timezone: 'Europe/Berlln' })).toMatchObject([{ path: 'timezone' }]);
  });

  it.each([
    '2026-02-30T00:00:00Z',
    '2026-01-01T00:00:00',
    '2026-01-01 00:00:00Z',
    '1767225600',
    '',
  ])('refuses to start from "%s"', (from) => {
    expect(problemsOf({ ...question, from })).toMatchObject([{ path: 'from' }]);
  });

  it('refuses 100 kB of text at once, and does not repeat it', () => {
    const started = cpuMs();
    const [problem] = problemsOf({ ...question, expression: '* '.repeat(50_000) });
    expect(cpuMs() - started).toBeLessThan(50);
    expect(problem?.got?.length).toBeLessThanOrEqual(100);
  });
});
