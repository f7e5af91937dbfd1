// Lets one node at a time migrate: a row with an expiry by the database's clock.
import { setTimeout as sleep } from 'node:timers/promises';
import { type Database, statement } from './database.ts';

const leaseSeconds = 30;
const renewEveryMs = 10_000;
const pollMs = 100;

/** Runs `work` while holding the lease; waits while another node holds it. A lease whose holder died lapses in 30 s. */
export async function withMigrationLease<T>(db: Database, holder: string, work: () => Promise<T>): Promise<T> {
  while ((await db.query(takeLease, [holder, leaseSeconds])).count === 0) await sleep(pollMs);
  const renewal = setInterval(() => {
    // A renewal that fails is made up by the next; migrations stay correct without it, each statement being idempotent.
    db.query(takeLease, [holder, leaseSeconds]).catch(() => {});
  }, renewEveryMs);
  try {
    return await work();
  } finally {
    clearInterval(renewal);
    await db.query(dropLease, [holder]);
  }
}

// At most one holder has lease_until > now.
const takeLease = statement(
  'take_migration_lease',
  `insert into cronwright.migration_lease as l (id, holder, lease_until)
   values (1, $1::text, now() + $2::int4 * interval '1 second')
   on conflict (id) do update set holder = excluded.holder, lease_until = excluded.lease_until
   where l.holder = excluded.holder or l.lease_until < now()`,
  { idempotent: true },
);

const dropLease = statement('drop_migration_lease', 'delete from cronwright.migration_lease where holder = $1::text', {
  idempotent: true,
});
