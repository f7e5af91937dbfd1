// Where a stream begins, by what a client asks for: its cursor is always one that is taken again.
import { describe, expect, it } from 'vitest';
import { CronwrightError } from '../../../../src/domain/errors.ts';
import { liveQuery } from '../../../../src/http/live/live-filter.ts';
import { readStart } from '../../../../src/http/routes/live-routes.ts';
import { packLiveCursor, unpackLiveCursor } from '../../../../src/reads/live-cursor.ts';

const nowMs = Date.UTC(2026, 0, 31, 12);
const live = { now: () => nowMs };
const start = (query: Record<string, string>, header?: string) =>
  readStart(liveQuery.parse(query), live, 'query', header);
const instantOf = (cursor: string) => unpackLiveCursor(cursor, 'it');

function refusal(act: () => unknown): CronwrightError {
  try {
    act();
  } catch (error) {
    if (error instanceof CronwrightError) return error;
  }
  throw new Error('was not refused');
}

describe('the start of a stream', () => {
  it.each([
    ['0001-01-01T00:00:00Z', 0],
    ['1969-12-31T23:59:59.999Z', 0],
    ['1970-01-01T00:00:05Z', 5_000],
    ['2026-01-31T11:59:59.999Z', nowMs - 1],
    ['2026-01-31T12:01:00Z', nowMs],
  ])('from %s has a cursor that is taken again', (from, expected) => {
    const begun = start({ from });
    expect(begun.fromMs).toBe(expected);
    expect(instantOf(begun.cursor)).toBe(expected);
    const again = start({ last_event_id: begun.cursor });
    expect(again).toEqual({ fromMs: Math.max(0, expected - 10_000), cursor: begun.cursor });
    expect(start({}, begun.cursor)).toEqual(again);
  });

  it('is now where nothing is asked for', () => {
    expect(start({})).toEqual({ fromMs: undefined, cursor: packLiveCursor(nowMs) });
  });

  it('is refused more than a minute ahead of the clock, with what was given and what was expected', () => {
    for (const where of ['query', 'message'] as const) {
      const query = liveQuery.parse({ from: '2026-01-31T12:01:00.001Z' });
      expect(refusal(() => readStart(query, live, where))).toMatchObject({
        code: 'invalid_input',
        problems: [
          {
            path: `${where}.from`,
            got: '2026-01-31T12:01:00.001Z',
            expected: 'an instant that is not after 2026-01-31T12:00:00.000Z',
          },
        ],
      });
    }
  });

  it('is now for a cursor that is ahead of the clock', () => {
    const ahead = packLiveCursor(nowMs + 3_600_000);
    const expected = { fromMs: nowMs - 10_000, cursor: packLiveCursor(nowMs) };
    expect(start({ last_event_id: ahead })).toEqual(expected);
    expect(start({}, ahead)).toEqual(expected);
  });

  it('is named where it is wrong: the header, the query or the message', () => {
    const pathOf = (act: () => unknown) => refusal(act).problems[0]?.path;
    const query = liveQuery.parse({ last_event_id: 'nonsense' });
    expect(pathOf(() => readStart(query, live, 'query'))).toBe('query.last_event_id');
    expect(pathOf(() => readStart(query, live, 'message'))).toBe('message.last_event_id');
    expect(pathOf(() => readStart({}, live, 'query', 'nonsense'))).toBe('header.Last-Event-ID');
  });
});
