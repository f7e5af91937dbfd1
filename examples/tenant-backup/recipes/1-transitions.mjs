// A run from scheduled to completed: each change of its state is kept, and what a state forbids is refused with both states named.
import assert from 'node:assert/strict';
import { ask, finished, get, post } from './daemon.mjs';

const soon = new Date(Date.now() + 1_000).toISOString();
const { id } = await post('/pipelines/quick/runs', { run_at: soon });
console.log('created', id, (await get(`/runs/${id}`)).state);
await finished([id]);
const { items } = await get(`/runs/${id}/events`);
const changes = items.filter(({ to }) => to !== null).map(({ event, from, to }) => `${event}: ${from ?? '∅'} → ${to}`);
console.log(changes.join('\n'));
assert.equal(items[0].to, 'scheduled');
assert.equal(items.at(-1).to, 'completed');

const refused = await ask('POST', `/runs/${id}/pause`, {});
console.log(refused.status, refused.body.detail);
assert.equal(refused.status, 409);
