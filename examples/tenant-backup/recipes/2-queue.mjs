// The queue: 1 goes first and 10 last, first come first served within a priority; depth and waits are told while runs wait.
import assert from 'node:assert/strict';
import { finished, get, post } from './daemon.mjs';

await post('/pipelines/in_turn/pause', { reason: 'to fill the queue' });
const priorities = [5, 10, 1, 5];
const ids = [];
for (const priority of priorities) ids.push((await post('/pipelines/in_turn/runs', { priority })).id);
const full = await get('/queue');
console.log('live', full.depth, 'by state', full.by_state, 'average wait', full.average_wait_ms, 'ms');
assert.equal(full.by_state.paused, 4);
await post('/pipelines/in_turn/resume');
await finished(ids);
const runs = await Promise.all(ids.map((id) => get(`/runs/${id}`)));
const order = [...runs].sort((a, b) => a.started_at.localeCompare(b.started_at));
console.log('started in the order', order.map(({ priority }) => priority).join(', '), 'by node', order[0].node);
assert.deepEqual(
  order.map(({ id }) => ids.indexOf(id)),
  [2, 0, 3, 1],
);
