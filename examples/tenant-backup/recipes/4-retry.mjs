// A run that fails and is tried again as a whole: retrying until its time, then on from the step that failed.
import assert from 'node:assert/strict';
import { finished, get, post } from './daemon.mjs';

const { id } = await post('/pipelines/flaky/runs');
await finished([id]);
const run = await get(`/runs/${id}`);
const { items } = await get(`/runs/${id}/events`);
const told = items.map(({ event, reason }) => (reason ? `${event}: ${reason}` : event));
console.log(told.join('\n'));
assert.equal(run.state, 'completed');
assert.equal(run.attempt, 2);
assert.ok(items.some(({ event, to }) => event === 'run.retrying' && to === 'retrying'));

// delay(n) = min(max, initial · multiplier^(n-1)), the policy `slow` in minutes:
const minutes = Array.from({ length: 8 }, (_, n) => Math.min(60, 1 * 2 ** n));
console.log('slow:', minutes.join(', '), 'minutes');
assert.deepEqual(minutes, [1, 2, 4, 8, 16, 32, 60, 60]);
