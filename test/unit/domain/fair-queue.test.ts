// Order keys alone, without a database: who is claimed when, in which share, and that nobody is left behind.
import { describe, expect, it } from 'vitest';
import { costOf, FairQueue } from '../../../src/domain/fair-queue.ts';

/** Runs in the order in which they are claimed. */
function claimOrder(runs: readonly { tenant: string; tag: number }[]): string[] {
  return [...runs].sort((a, b) => a.tag - b.tag).map((run) => run.tenant);
}

function enqueue(fair: FairQueue, tenant: string, count: number, weight = 1, queue = 'default') {
  return Array.from({ length: count }, () => ({
    tenant,
    tag: fair.next({ tenant, queue, priority: 5 }, costOf(weight), true),
  }));
}

describe('the order between tenants', () => {
  it('puts the single run of one tenant next, however many another has waiting', () => {
    const fair = new FairQueue();
    const flood = enqueue(fair, 'flood', 100_000);
    for (const { tag } of flood.slice(0, 40_000)) fair.reach('default', 5, tag);
    const [single] = enqueue(fair, 'quiet', 1);
    const ahead = flood.slice(40_000).filter(({ tag }) => tag < (single?.tag ?? 0));
    expect(ahead.length).toBeLessThanOrEqual(1);
  });

  it('gives weights of 3 and 1 three quarters and one quarter', () => {
    const fair = new FairQueue();
    const order = claimOrder([...enqueue(fair, 'small', 4_000, 1), ...enqueue(fair, 'large', 4_000, 3)]);
    const first = order.slice(0, 4_000);
    const share = first.filter((tenant) => tenant === 'large').length / first.length;
    expect(share).toBeGreaterThan(0.75 * 0.9);
    expect(share).toBeLessThan(0.75 * 1.1);
  });

  it('keeps the runs of one tenant in the order in which they came', () => {
    const fair = new FairQueue();
    const tags = enqueue(fair, 'alone', 1_000).map((run) => run.tag);
    expect(tags).toEqual([...tags].sort((a, b) => a - b));
    expect(new Set(tags).size).toBe(1_000);
  });

  it('owes nothing for the time in which a tenant asked for nothing', () => {
    const fair = new FairQueue();
    const busy = enqueue(fair, 'busy', 1_000);
    fair.reach('default', 5, busy[899]?.tag ?? 0);
    const late = claimOrder([...busy.slice(900), ...enqueue(fair, 'late', 1_000)]);
    // From now on they take turns: not all of the latecomer's first.
    expect(late.slice(0, 100).filter((tenant) => tenant === 'late').length).toBeLessThanOrEqual(51);
  });

  it('does not let a queue that stood empty go before all others of its node', () => {
    const fair = new FairQueue();
    const old = enqueue(fair, 'a', 1_000, 1, 'old');
    fair.reach('old', 5, old[499]?.tag ?? 0);
    const fresh = enqueue(fair, 'a', 1_000, 1, 'fresh');
    const order = [...old.slice(500).map((run) => ({ ...run, tenant: 'old' })), ...fresh].sort((a, b) => a.tag - b.tag);
    const before = order.slice(0, 200).filter((run) => run.tenant === 'old').length;
    expect(before).toBeGreaterThan(80);
  });

  it('adds up what several nodes give out to one tenant at the same time', () => {
    const [here, there] = [new FairQueue(), new FairQueue()];
    enqueue(here, 'a', 10);
    enqueue(there, 'a', 10);
    // What the table says after both have noted theirs.
    here.learn('a', 'default', 5, 20_000);
    const known = here.lane('default', 5).tenants.get('a');
    expect(known?.tag).toBe(30_000);
    expect(enqueue(here, 'a', 1)[0]?.tag).toBe(31_000);
  });

  it('forgets tenants that have nothing ahead of the rest', () => {
    const fair = new FairQueue();
    const [run] = enqueue(fair, 'a', 1);
    fair.forgetPast();
    expect(fair.lane('default', 5).tenants.size).toBe(1);
    const known = fair.lane('default', 5).tenants.get('a');
    if (known) known.unsaved = 0;
    fair.reach('default', 5, run?.tag ?? 0);
    fair.forgetPast();
    expect(fair.lane('default', 5).tenants.size).toBe(0);
  });
});
