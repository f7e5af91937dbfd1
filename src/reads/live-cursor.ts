// The cursor of the live stream: an instant up to which everything was sent, give or take a few seconds.
import { CronwrightError } from '../domain/errors.ts';
import { packCursor, unpackCursor } from './cursor.ts';

const mark = 'live';

/** Nothing happened before 1970: an instant before that is its beginning. */
export function packLiveCursor(ms: number): string {
  return packCursor([mark, Math.max(0, Math.floor(ms))]);
}

/** Throws `invalid_input` naming `where` it came from. */
export function unpackLiveCursor(cursor: string, where: string): number {
  const parts = partsOf(cursor);
  const ms = parts?.[1];
  if (parts?.[0] === mark && typeof ms === 'number' && ms >= 0 && ms <= 8_640_000_000_000_000) return ms;
  throw new CronwrightError('invalid_input', `${where} is not a cursor that this stream gave out`, {
    problems: [{ path: where, message: 'unknown cursor', got: cursor.slice(0, 100), expected: 'the id of an event' }],
  });
}

function partsOf(cursor: string): (string | number)[] | undefined {
  try {
    return unpackCursor(cursor, ['string', 'number']);
  } catch {
    return undefined;
  }
}
