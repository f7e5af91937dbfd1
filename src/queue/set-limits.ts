// Brings the slot rows of configured limits to their number: missing ones are made, surplus ones retired.
import { type Queryable, statement } from '../db/database.ts';

export interface Limit {
  tenant: string;
  key: string;
  limit: number;
}

const makeSlots = statement(
  'make_slots',
  `insert into cronwright.slots (tenant, key, n, run_id, retired)
  select u.tenant, u.key, g.n, null, false
  from unnest($1::text[], $2::text[], $3::int4[]) as u(tenant, key, size)
  cross join lateral generate_series(1, u.size) as g(n)
  on conflict (tenant, key, n) do update set retired = false where slots.retired`,
  { idempotent: true },
);

// A surplus slot that is held stays its run's until the run ends; retired, it is given to nobody afterwards.
const retireSlots = statement(
  'retire_slots',
  `update cronwright.slots s set retired = true
  from unnest($1::text[], $2::text[], $3::int4[]) as u(tenant, key, size)
  where s.tenant = u.tenant and s.key = u.key and s.n > u.size and not s.retired`,
  { idempotent: true },
);

export async function setLimits(db: Queryable, limits: readonly Limit[]): Promise<void> {
  if (limits.length === 0) return;
  const columns = [limits.map((one) => one.tenant), limits.map((one) => one.key), limits.map((one) => one.limit)];
  await db.query(makeSlots, columns);
  await db.query(retireSlots, columns);
}
