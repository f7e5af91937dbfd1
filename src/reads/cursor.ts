// Cursors of lists: positions that callers keep but cannot read meaning into.
import { CronwrightError } from '../domain/errors.ts';

/** What one part of a cursor has to be. */
export type CursorPart = 'string' | 'number' | 'uuid';

/** Packs the position after the last item of a page. */
export function packCursor(parts: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(parts)).toString('base64url');
}

/** Reads a cursor back. Throws `invalid_input` where it was not packed from such parts. */
export function unpackCursor(cursor: string, kinds: readonly CursorPart[]): (string | number)[] {
  const parts = parse(cursor);
  if (parts?.length === kinds.length && kinds.every((kind, i) => isOfKind(parts[i], kind))) {
    return parts as (string | number)[];
  }
  throw new CronwrightError('invalid_input', 'the cursor is not one that this list gave out', {
    problems: [{ path: 'query.cursor', message: 'unknown cursor', expected: 'next_cursor of an earlier answer' }],
  });
}

/** Reads a cursor whose one part is the id of a row. */
export function unpackIdCursor(cursor: string | undefined): string | null {
  return cursor === undefined ? null : String(unpackCursor(cursor, ['uuid'])[0]);
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export function isUuid(text: string): boolean {
  return uuid.test(text);
}

function isOfKind(part: unknown, kind: CursorPart): boolean {
  if (kind === 'uuid') return typeof part === 'string' && isUuid(part);
  return kind === 'number' ? Number.isSafeInteger(part) : typeof part === 'string';
}

function parse(cursor: string): unknown[] | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString());
    return Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
