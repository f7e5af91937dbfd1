// Several tenants: the same pipeline at another time in another zone for each, and none sees the runs of another.
import assert from 'node:assert/strict';
import { ask, finished, get, post, tenant } from './daemon.mjs';

for (const name of ['acme', 'bolt', 'cobalt']) {
  const one = await get('/schedules/tenant-backup.nightly', tenant(name));
  console.log(name.padEnd(7), one.cron.padEnd(14), one.timezone.padEnd(17), 'next', one.next_at, `(${one.next_local})`);
}
const { id } = await post('/pipelines/tenant-backup/runs', { dry_run: true }, tenant('bolt'));
await finished([id], tenant('bolt'));
const summary = await get('/tenants/bolt');
console.log(summary.by_pipeline);
const run = await get(`/runs/${id}`, tenant('bolt'));
assert.equal(run.tenant, 'bolt');
assert.equal(run.state, 'completed', run.error?.message);
const foreign = await ask('GET', `/runs/${id}`, undefined, tenant('acme'));
console.log('asked for by another tenant:', foreign.status);
assert.equal(foreign.status, 404);
