// When a schedule fires next, on the clock of its zone: the five expressions that people use most, and the nights the clock changes.
import assert from 'node:assert/strict';
import { post } from './daemon.mjs';

const from = '2026-01-30T12:00:00Z';
const first = async (expression, timezone, at = from) =>
  (await post('/cron/next', { expression, timezone, from: at, count: 1 })).occurrences[0];

for (const [expression, timezone, expected] of [
  ['0 2 * * *', 'UTC', '2026-01-31T02:00:00.000Z'],
  ['0 2 * * *', 'America/New_York', '2026-01-31T07:00:00.000Z'],
  ['0 */4 * * *', 'UTC', '2026-01-30T16:00:00.000Z'],
  ['0 0 * * 0', 'UTC', '2026-02-01T00:00:00.000Z'],
  ['0 0 1 * *', 'UTC', '2026-02-01T00:00:00.000Z'],
  ['*/15 * * * *', 'UTC', '2026-01-30T12:15:00.000Z'],
]) {
  const next = await first(expression, timezone);
  console.log(expression.padEnd(14), timezone.padEnd(18), next);
  assert.equal(new Date(next).toISOString(), expected);
}
// On 8 March the clock of New York goes from 02:00 to 03:00: what is meant for 02:30 runs once, at 03:00 there.
const gap = await first('30 2 * * *', 'America/New_York', '2026-03-08T00:00:00-05:00');
console.log('in the gap', gap);
assert.equal(new Date(gap).toISOString(), '2026-03-08T07:00:00.000Z');
