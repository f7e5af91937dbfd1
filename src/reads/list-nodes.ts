// Which daemons there are, whether they live, and what they carry.
import { z } from 'zod';
import { type Queryable, statement } from '../db/database.ts';
import { instant, maybeInstant } from './view-fields.ts';

export const nodeView = z
  .object({
    id: z.uuid(),
    name: z.string(),
    version: z.string(),
    state: z.enum(['live', 'silent', 'stopped']).describe('silent: no heartbeat for 30 s'),
    started_at: instant,
    stopped_at: maybeInstant,
    last_heartbeat_at: instant,
    workers: z.int().describe('heavy runs it carries at once'),
    in_flight: z.int().describe('light runs it carries at once'),
    running_heavy: z.int(),
    running_light: z.int(),
    queues: z.array(z.string()).nullable().describe('null: all'),
    labels: z.array(z.string()).describe('what it has to offer, for `runs_on`'),
    config_hash: z.string().nullable().describe('what its own files say; null: it carries out one run only'),
    config_differs: z.boolean().describe('its own files do not say what is in force'),
  })
  .meta({ id: 'Node' });

export type NodeView = z.infer<typeof nodeView>;

/** The default lease, after which a node's runs are rescued; nodes with another one are shown by the same measure. */
const silentAfterMs = 30_000;

const list = statement(
  'list_nodes',
  `select n.id, n.name, n.version,
    case when n.stopped_at is not null then 'stopped'
      when n.beat_at < now() - $1::int4 * interval '1 millisecond' then 'silent' else 'live' end as state,
    n.started_at, n.stopped_at, n.beat_at as last_heartbeat_at, n.workers, n.in_flight,
    coalesce(q.heavy, 0) as running_heavy, coalesce(q.light, 0) as running_light, n.queues,
    coalesce(n.labels, array[]::text[]) as labels, n.config_hash,
    coalesce(n.config_hash <> (select hash from cronwright.config_applies order by seq desc limit 1), false)
      as config_differs
  from cronwright.nodes n
  left join (
    select node, count(*) filter (where weight = 'heavy') as heavy, count(*) filter (where weight = 'light') as light
    from cronwright.queue where state = 'running' group by node
  ) q on q.node = n.id
  where n.stopped_at is null or n.stopped_at > now() - interval '1 day'
  order by n.stopped_at is not null, n.name, n.started_at desc
  limit 500`,
);

/** Nodes that stopped more than a day ago are left out. */
export async function listNodes(db: Queryable): Promise<NodeView[]> {
  return (await db.query<NodeView>(list, [silentAfterMs])).rows;
}
