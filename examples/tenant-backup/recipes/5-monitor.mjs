// What a monitor asks: how it has been going, how full the queue is, each tenant, and the same by SQL.
import assert from 'node:assert/strict';
import { finished, get, post } from './daemon.mjs';

const { id: first } = await post('/pipelines/quick/runs');
await finished([first]);
const stats = await get('/stats');
console.log('last day:', stats.total, 'runs,', stats.completed, 'completed, success rate', stats.success_rate);
assert.ok(stats.completed > 0);
const queue = await get('/queue');
console.log('queue:', queue.depth, 'live, oldest wait', queue.oldest_wait_ms, 'average wait', queue.average_wait_ms);
assert.equal(typeof queue.average_wait_ms, 'number');
const { items: tenants } = await get('/tenants');
for (const one of tenants)
  console.log('tenant', one.tenant, one.runs, 'runs, success rate', one.success_rate, 'next', one.next_at);
assert.ok(tenants.length >= 4);
const yetToRun = await get('/runs?state=scheduled,pending');
console.log('yet to run:', yetToRun.items.length);

const { id } = await post('/pipelines/look/runs');
await finished([id]);
const { items: steps } = await get(`/runs/${id}/steps`);
for (const { step, output } of steps) console.log(step, JSON.stringify(output.rows));
const states = steps.find(({ step }) => step === 'runs').output.rows.map(({ state }) => state);
assert.ok(states.includes('COMPLETED'));
assert.ok(steps.find(({ step }) => step === 'queue').output.rows.some(({ status }) => status === 'processing'));
