// What the settings say of tenants and queues, whichever pipeline a run is of: slots, shares, and how long waiting counts.
import { queueSlotKey, tenantSlotKey } from './new-run.ts';

export interface TenantLimits {
  /** Runs at once. */
  concurrency?: number;
  /** Its share beside other tenants. */
  weight: number;
  /** Runs that have not ended; absent: as for all. */
  liveRuns?: number;
}

export interface QueueLimits {
  /** Runs at once, of all tenants together. */
  concurrency?: number;
  /** A run that has waited for so long goes up by one priority; absent: never. */
  agingMs?: number;
}

export interface SharedLimits {
  tenants: Readonly<Record<string, TenantLimits>>;
  queues: Readonly<Record<string, QueueLimits>>;
}

/** Whoever is not named by itself. */
export const anyName = '*';

const usual: TenantLimits = { weight: 1 };

export function limitsOfTenant(limits: SharedLimits, tenant: string): TenantLimits {
  return own(limits.tenants, tenant) ?? limits.tenants[anyName] ?? usual;
}

function limitsOfQueue(limits: SharedLimits, queue: string): QueueLimits {
  return own(limits.queues, queue) ?? limits.queues[anyName] ?? {};
}

function own<Value>(record: Readonly<Record<string, Value>>, name: string): Value | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}

/** The slots there have to be for these tenants and queues, and for all that the settings name. */
export function sharedSlots(
  limits: SharedLimits,
  known: { tenants: Iterable<string>; queues: Iterable<string> },
): { tenant: string; key: string; limit: number }[] {
  const named = (record: Readonly<Record<string, unknown>>) => Object.keys(record).filter((name) => name !== anyName);
  const slots: { tenant: string; key: string; limit: number }[] = [];
  for (const tenant of new Set([...named(limits.tenants), ...known.tenants])) {
    const limit = limitsOfTenant(limits, tenant).concurrency;
    if (limit !== undefined) slots.push({ tenant, key: tenantSlotKey(tenant), limit });
  }
  for (const queue of new Set([...named(limits.queues), ...known.queues])) {
    const limit = limitsOfQueue(limits, queue).concurrency;
    if (limit !== undefined) slots.push({ tenant: '*', key: queueSlotKey(queue), limit });
  }
  return slots;
}
