// After the clock went far back: brings cursors that now lie in the future back to now, so that schedules fire again.
import { type Queryable, statement } from '../db/database.ts';

const rewind = statement(
  'rewind_schedules',
  `update cronwright.schedules
  set cursor_at = coalesce($1::timestamptz, now()), next_at = coalesce($1::timestamptz, now()), version = version + 1
  where next_at is not null and cursor_at > coalesce($1::timestamptz, now()) + $2::int4 * interval '1 millisecond'`,
  { idempotent: true },
);

/** Returns how many schedules were brought back. */
export async function rewindSchedules(db: Queryable, toleranceMs: number, now: Date | null = null): Promise<number> {
  return (await db.query(rewind, [now, toleranceMs])).count;
}
