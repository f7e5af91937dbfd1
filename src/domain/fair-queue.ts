// Who comes first between tenants: start-time fair queueing over order keys that are fixed when a run is enqueued.

/**
 * One queue at one priority. A run's key is the later of the queue's virtual time (the key claimed last) and the key its
 * tenant got last, plus what a run costs the tenant. Runs are claimed by key: a tenant that asks for much gets keys far ahead,
 * and one that asks for little comes next. After Goyal, Vin and Cheng, "Start-time fair queuing" (1996), with every run of one
 * length: how long it takes is not known before.
 */
export interface FairLane {
  readonly queue: string;
  readonly priority: number;
  /** The greatest key claimed. */
  virtual: number;
  /** The greatest key given out. */
  given: number;
  /** Keys by tenant. */
  readonly tenants: Map<string, { tag: number; unsaved: number }>;
  /** The virtual time has moved since it was saved. */
  isMoved: boolean;
}

/** What a run costs a tenant of weight 1. */
const runCost = 1_000;

export function costOf(weight: number): number {
  return Math.max(1, Math.round(runCost / weight));
}

export class FairQueue {
  readonly lanes = new Map<string, FairLane>();
  /** The greatest virtual time of each priority. */
  private readonly furthest: number[] = [];

  lane(queue: string, priority: number): FairLane {
    const key = `${priority} ${queue}`;
    let lane = this.lanes.get(key);
    if (!lane) {
      lane = { queue, priority, virtual: 0, given: 0, tenants: new Map(), isMoved: false };
      this.lanes.set(key, lane);
    }
    return lane;
  }

  /** The next key of a tenant. `isKept` false: what comes after it does not queue behind it. */
  next(run: { tenant: string; queue: string; priority: number }, cost: number, isKept: boolean): number {
    const lane = this.lane(run.queue, run.priority);
    // A node may claim from several queues by key: one that stood empty takes up at the time of the others, not at its own.
    if (lane.given <= lane.virtual) lane.virtual = Math.max(lane.virtual, this.furthest[run.priority] ?? 0);
    let tenant = lane.tenants.get(run.tenant);
    if (!tenant) {
      tenant = { tag: 0, unsaved: 0 };
      lane.tenants.set(run.tenant, tenant);
    }
    const tag = Math.max(lane.virtual, tenant.tag) + cost;
    if (!isKept) return tag;
    tenant.tag = tag;
    tenant.unsaved += cost;
    lane.given = Math.max(lane.given, tag);
    return tag;
  }

  /** A run with this key was claimed, here or (`isKnown`: as all can read) elsewhere. */
  reach(queue: string, priority: number, tag: number, isKnown = false): void {
    const lane = this.lane(queue, priority);
    if (tag > (this.furthest[priority] ?? 0)) this.furthest[priority] = tag;
    if (tag <= lane.virtual) return;
    lane.virtual = tag;
    if (!isKnown) lane.isMoved = true;
  }

  /** What is known from elsewhere: a key of a tenant, on top of which come those that were given out here meanwhile. */
  learn(tenant: string, queue: string, priority: number, tag: number): void {
    const lane = this.lane(queue, priority);
    const known = lane.tenants.get(tenant) ?? { tag: 0, unsaved: 0 };
    known.tag = Math.max(known.tag, tag + known.unsaved);
    lane.tenants.set(tenant, known);
    lane.given = Math.max(lane.given, known.tag);
  }

  /** Tenants whose keys are all behind the virtual time begin from there again: nothing need be known of them. */
  forgetPast(): void {
    for (const lane of this.lanes.values()) {
      for (const [tenant, { tag, unsaved }] of lane.tenants) {
        if (tag <= lane.virtual && unsaved === 0) lane.tenants.delete(tenant);
      }
    }
  }
}
