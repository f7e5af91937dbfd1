// Which peers are not called now because they asked for quiet.
import { type Queryable, statement } from '../db/database.ts';

export interface QuietPeer {
  tenant: string;
  key: string;
  until: Date;
  reason: string;
  /** The run that was told. */
  run_id: string;
}

const list = statement(
  'list_quiet_peers',
  `select tenant, key, until, reason, run_id from cronwright.rate_limits
  where until > now() order by until, tenant, key limit 20`,
);

/** Of all tenants, the first to end first. */
export async function listQuietPeers(db: Queryable): Promise<QuietPeer[]> {
  return (await db.query<QuietPeer>(list)).rows;
}
