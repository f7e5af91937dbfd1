// Which configuration is in force on all nodes, and who put it there.
import { z } from 'zod';
import type { Queryable } from '../db/database.ts';
import { newestApply } from '../store/config-applies.ts';
import { instant } from './view-fields.ts';

export const configInForceView = z
  .object({
    hash: z.string(),
    node: z.uuid().describe('the node whose files it came from'),
    node_name: z.string(),
    applied_at: instant,
  })
  .meta({ id: 'ConfigInForce' });

export type ConfigInForceView = z.infer<typeof configInForceView>;

/** Null where nothing was ever applied. */
export async function configInForce(db: Queryable): Promise<ConfigInForceView | null> {
  const apply = await newestApply(db);
  if (!apply) return null;
  return { hash: apply.hash, node: apply.node, node_name: apply.nodeName, applied_at: apply.at };
}
