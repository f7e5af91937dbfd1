// The settings of tenants and queues in force on this node: the slots their runs need, and the rows of those slots.
import { queuesOf } from '../domain/child-run.ts';
import type { RunTerms } from '../domain/new-run.ts';
import type { Pipeline } from '../domain/pipeline.ts';
import { limitsOfTenant, type SharedLimits, sharedSlots } from '../domain/shared-limits.ts';
import type { Limit } from '../queue/set-limits.ts';

export interface SharedTerms extends Pick<RunTerms, 'limitsOf'> {
  readonly limits: SharedLimits;
  /** From now on these hold for new runs. */
  replace(limits: SharedLimits): void;
  weightOf(tenant: string): number;
  /** Live runs that a tenant may have. */
  liveRunsOf(tenant: string): number;
  /** The slot rows to make; runs need no slot that has never been among them. */
  slotsFor(pipelines: readonly Pipeline[]): Limit[];
}

export function createSharedTerms(initial: SharedLimits, liveRunsPerTenant: number): SharedTerms {
  let limits = initial;
  let keys = new Set<string>();
  /** By tenant and queue: what every run of them needs. */
  let needed = new Map<string, readonly string[]>();

  return {
    get limits() {
      return limits;
    },
    replace(next) {
      limits = next;
      needed = new Map();
      keys = new Set();
    },
    weightOf: (tenant) => limitsOfTenant(limits, tenant).weight,
    liveRunsOf: (tenant) => limitsOfTenant(limits, tenant).liveRuns ?? liveRunsPerTenant,
    limitsOf(tenant, queue) {
      const pair = `${tenant} ${queue}`;
      const known = needed.get(pair);
      if (known) return known;
      const list = [`tenant:${tenant}`, `queue:${queue}`].filter((key) => keys.has(key));
      needed.set(pair, list);
      return list;
    },
    slotsFor(pipelines) {
      const tenants = pipelines.map((one) => one.tenant);
      const slots = sharedSlots(limits, { tenants, queues: pipelines.flatMap(queuesOf) });
      keys = new Set(slots.map((slot) => slot.key));
      needed = new Map();
      return slots;
    },
  };
}
