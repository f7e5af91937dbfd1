// The whole of it: inserted once however often it is asked for, many at once, executed, and looked at afterwards.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { ask, finished, get, post } from './daemon.mjs';

const key = { 'idempotency-key': randomUUID() };
const one = await post('/pipelines/quick/runs', { inputs: { name: 'Ada' } }, key);
const again = await post('/pipelines/quick/runs', { inputs: { name: 'Ada' } }, key);
console.log('asked twice:', one.id, again.id);
assert.equal(again.id, one.id);
const other = await ask('POST', '/pipelines/quick/runs', { inputs: { name: 'Bob' } }, key);
console.log('another body with the same key:', other.status);
assert.equal(other.status, 409);

const names = Array.from({ length: 100 }, (_, n) => ({ inputs: { name: `number ${n}` } }));
const { count, ids } = await post('/pipelines/quick/runs/batch', { runs: names });
console.log('inserted at once:', count);
await finished([one.id, ...ids]);
const run = await get(`/runs/${ids[99]}`);
const { items: steps } = await get(`/runs/${ids[99]}/steps`);
console.log(run.state, 'after', run.duration_ms, 'ms:', steps[0].output.text);
assert.equal(steps[0].output.text, 'Hello number 99');
